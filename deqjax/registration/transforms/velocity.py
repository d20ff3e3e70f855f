"""Diffeomorphic maps: the flow of a stationary velocity field."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp

from deqjax.pytree import operand
from deqjax.registration.grid import Grid
from deqjax.registration.smoothing import smooth
from deqjax.registration.transforms.dense import DisplacementMap, upsample


@operand
class VelocityMap:
    """``y = exp(v)(x)``: the point that x reaches after a unit of time in the velocity v.

    It is computed by scaling and squaring: ``u = v / 2^steps``, then ``u(x) <- u(x) + u(x + u(x))``, steps times.

    The exact flow of a smooth velocity never folds. The computed one is sampled at the voxels, and it can fold for two
    reasons: if v changes by more than ``2^steps / 2`` mm per mm, the first small map folds already; and where the flow
    brings neighbouring points closer than the linear interpolation of the samples resolves, they can exchange places.
    More steps cure the first reason, and a smoother velocity or smaller voxels cure the second. Count the folds with
    `deqjax.registration.measures.folded_fraction`, which the status of a registration contains.

    Attributes:
      velocity: v, (*grid.shape, d), in mm per unit of time.
      grid: the grid of the velocity.
      steps: the number of squarings.

    Source: V. Arsigny et al., "A log-Euclidean framework for statistics on diffeomorphisms", MICCAI 2006, algorithm 2.

    >>> grid = Grid.of((8, 8))
    >>> VelocityMap(jnp.full((8, 8, 2), 0.5), grid).inverse().apply_points(jnp.array([3.0, 3.0])).round(4)
    Array([2.5, 2.5], dtype=float32)
    """

    velocity: jax.Array
    grid: Grid
    steps: int = field(default=7, metadata={"static": True})

    def exponential(self) -> DisplacementMap:
        """Return the same map as a displacement at every voxel."""
        points = self.grid.points()
        square = lambda _, u: u + DisplacementMap(u, self.grid).apply_points(points + u) - points - u
        vectors = self.velocity / 2**self.steps
        return DisplacementMap(jax.lax.fori_loop(0, self.steps, square, vectors), self.grid)

    def apply_points(self, points: jax.Array) -> jax.Array:
        return self.exponential().apply_points(points)

    def displacement(self, grid: Grid) -> jax.Array:
        return self.exponential().displacement(grid)

    def inverse(self) -> "VelocityMap":
        return VelocityMap(-self.velocity, self.grid, self.steps)

    def jacobian_determinant(self, points: jax.Array) -> jax.Array:
        return self.exponential().jacobian_determinant(points)


@dataclass(frozen=True)
class Velocity:
    """A stationary velocity at every voxel, ``v = G p``: the parameters p, (*shape, d), in mm, smoothed by a Gaussian.

    Attributes:
      smoothing: the standard deviation of the Gaussian G, in mm.
      steps: the number of squarings of the exponential.

    >>> Velocity().init(Grid.of((9, 10))).shape
    (9, 10, 2)
    """

    smoothing: float = 8.0
    steps: int = 5

    def init(self, grid: Grid, scale: int = 1) -> jax.Array:
        return jnp.zeros((*grid.shape, grid.ndim))

    def map(self, parameters: jax.Array, grid: Grid, scale: int = 1) -> VelocityMap:
        return VelocityMap(smooth(parameters, self.smoothing / grid.spacing()), grid, self.steps)

    def displacement(self, parameters: jax.Array, grid: Grid, scale: int = 1) -> jax.Array:
        return self.map(parameters, grid, scale).exponential().vectors

    def refine(self, parameters: jax.Array, finer: jax.Array, ratios: Sequence[float]) -> jax.Array:
        return upsample(parameters, finer, ratios)

    def field(self, parameters: jax.Array, grid: Grid, scale: int = 1) -> tuple[jax.Array, Grid]:
        return smooth(parameters, self.smoothing / grid.spacing()), grid
