"""Dense displacement fields: one vector for each voxel."""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from deqjax.pytree import operand
from deqjax.registration.grid import Grid
from deqjax.registration.interpolation import interpolate
from deqjax.registration.smoothing import smooth
from deqjax.registration.transforms.inverse import InverseMap
from deqjax.registration.transforms.jacobians import central_differences, determinant


@operand
class DisplacementMap:
    """``y = x + u(x)``, with u linear between the voxel centres of its grid and constant beyond the outermost ones.

    Attributes:
      vectors: u, (*grid.shape, d), in mm along the world axes.
      grid: the grid of the vectors.

    >>> grid = Grid.of((3, 3), spacing=2.0)
    >>> stretch = DisplacementMap(0.5 * grid.points(), grid)
    >>> stretch.apply_points(jnp.array([1.0, 3.0])), stretch.jacobian_determinant(jnp.array([2.0, 2.0]))
    (Array([1.5, 4.5], dtype=float32), Array(2.25, dtype=float32))
    """

    vectors: jax.Array
    grid: Grid

    def apply_points(self, points: jax.Array) -> jax.Array:
        return points + interpolate(self.vectors, self.grid.index(points))

    def displacement(self, grid: Grid) -> jax.Array:
        return interpolate(self.vectors, self.grid.index(grid.points()))

    def inverse(self) -> InverseMap:
        return InverseMap(self)

    def jacobian_determinant(self, points: jax.Array) -> jax.Array:
        """Return the determinant of central differences on the grid, interpolated linearly."""
        slopes = interpolate(central_differences(self.vectors, self.grid), self.grid.index(points))
        return determinant(jnp.eye(self.grid.ndim, dtype=slopes.dtype) + slopes)


@dataclass(frozen=True)
class Dense:
    """A displacement at every voxel, ``u = G p``: the parameters p, (*shape, d), in mm, smoothed by a Gaussian G.

    The gradient with respect to p is the smoothed force of the demons algorithm, so the smoothing alone regularises.

    Attributes:
      smoothing: the standard deviation of G, in mm; 0 for no smoothing.

    Source: J.-P. Thirion, "Image matching as a diffusion process: an analogy with Maxwell's demons", Med. Image Anal.
    2:243, 1998, for the smoothed force.

    >>> Dense().init(Grid.of((9, 10))).shape
    (9, 10, 2)
    """

    smoothing: float = 8.0

    def init(self, grid: Grid, scale: int = 1) -> jax.Array:
        return jnp.zeros((*grid.shape, grid.ndim))

    def map(self, parameters: jax.Array, grid: Grid, scale: int = 1) -> DisplacementMap:
        return DisplacementMap(self.displacement(parameters, grid, scale), grid)

    def displacement(self, parameters: jax.Array, grid: Grid, scale: int = 1) -> jax.Array:
        return smooth(parameters, self.smoothing / grid.spacing())

    def refine(self, parameters: jax.Array, finer: jax.Array, ratios: Sequence[float]) -> jax.Array:
        return upsample(parameters, finer, ratios)

    def field(self, parameters: jax.Array, grid: Grid, scale: int = 1) -> tuple[jax.Array, Grid]:
        return self.displacement(parameters, grid, scale), grid


def upsample(field: jax.Array, finer: jax.Array, ratios: Sequence[float]) -> jax.Array:
    """Interpolate a field of one level at the voxels of the next level, which has the same first voxel.

    Args:
      field: (*shape, d).
      finer: an array of the shape of the result.
      ratios: the voxel size of the level divided by that of the next level, for each axis.

    >>> upsample(jnp.array([[[0.0], [2.0]]]), jnp.zeros((1, 3, 1)), (1.0, 2.0))[0, :, 0]
    Array([0., 1., 2.], dtype=float32)
    """
    steps = [jnp.arange(m, dtype=finer.dtype) / r for m, r in zip(finer.shape[:-1], ratios, strict=True)]
    index = jnp.stack(jnp.meshgrid(*steps, indexing="ij"), axis=-1)
    return interpolate(field, index)
