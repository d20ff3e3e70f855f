"""Registration as a fixed point: the symmetric diffeomorphic demons, solved and differentiated as one."""

from dataclasses import field
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from deqjax.implicit import Adjoint, Unrolled, fixed_point
from deqjax.pytree import operand
from deqjax.registration.gaussian import smooth
from deqjax.registration.grid import Grid
from deqjax.registration.objective import Objective
from deqjax.registration.sample import Order, coefficients
from deqjax.registration.similarities import MSE
from deqjax.registration.similarities.similarity import LeastSquares
from deqjax.registration.transforms.displacement_map import central_slopes
from deqjax.registration.transforms.velocity import Velocity, VelocityMap
from deqjax.solvers import Broyden, Stats
from deqjax.types import Solver

STATIC: Any = {"static": True}


@operand
class DemonsArgs:
    """Everything that `demons_step` needs beside the velocity; gradients reach all of it.

    Attributes:
      forward, backward: the fixed image against the moving one and the other way round, on one grid.
      smoothing: standard deviation of the Gaussian, (), mm.
      weight: of the regularisation, (), relative to the mean squared slope of the image.
      squarings: of the exponential; 0 takes the velocity for the displacement.
    """

    forward: Objective
    backward: Objective
    smoothing: jax.Array
    weight: jax.Array
    squarings: int = field(metadata=STATIC)


def demons_step(velocity: jax.Array, args: DemonsArgs) -> jax.Array:
    """One step ``v -> G (v + (F(exp v) - F'(exp -v)) / 2)``, (*shape, d), mm.

    F is the `force` on the fixed image's side, F' that on the other, G a Gaussian. Where images agree G alone acts.

    Source: T. Vercauteren et al., "Symmetric log-domain diffeomorphic registration: a demons-based approach", MICCAI
    2008, section 2.3, with the sum of velocities in place of the Baker-Campbell-Hausdorff series.
    """
    return smooth(velocity + both_forces(velocity, args), args.smoothing / args.forward.fixed_grid.spacing())


def both_forces(velocity: jax.Array, args: DemonsArgs) -> jax.Array:
    """``(F(exp v) - F'(exp -v)) / 2``, (*shape, d), mm: see `demons_step`."""
    grid = args.forward.fixed_grid
    there = VelocityMap(velocity, grid, args.squarings).exponential().vectors
    back = VelocityMap(-velocity, grid, args.squarings).exponential().vectors
    return (force(args.forward, there, args.weight) - force(args.backward, back, args.weight)) / 2


def force(objective: Objective, displacement: jax.Array, weight: jax.Array) -> jax.Array:
    """``-g s / (c |s|^2 + weight mean c |s|^2)``: Gauss and Newton's step of each voxel by itself, (*shape, d), mm.

    s is the slope of the warped image, g and c the similarity's derivative and curvature with respect to it. For `MSE`
    this is Thirion's force, with a constant in the place of the squared difference. Beyond the moving image, where its
    edge is repeated, s is 0; cutting it off there would leave a step that has no fixed point.

    Source: J.-P. Thirion 1998, see `deqjax.registration.transforms.Dense`, equation 4.
    """
    grid = objective.fixed_grid
    warped, mask = objective.warped(displacement)[0], objective.mask
    derivative = jax.grad(lambda warped: objective.similarity(objective.fixed, warped, mask, grid))(warped)
    curvature = objective.similarity.curvature(objective.fixed, warped, mask, grid)  # type: ignore[attr-defined]
    slope = central_slopes(warped[..., None], grid)[..., 0, :]
    energy = curvature * jnp.sum(slope**2, axis=-1)
    floor = weight * jnp.sum(mask * energy) / jnp.sum(mask)
    return -(derivative / (energy + floor + 1e-30))[..., None] * slope


def swapped(objective: Objective) -> Objective:
    """The same images the other way round, both on the fixed grid: the moving one as ``init`` brings it there."""
    grid, ndim = objective.fixed_grid, objective.fixed_grid.ndim
    moving, mask = objective.warped(jnp.zeros((*grid.shape, ndim), objective.fixed.dtype))
    rest = objective.transform, objective.similarity, objective.regulariser, objective.scale, objective.order
    return Objective(moving, coefficients(objective.fixed, ndim, objective.order), mask, grid, grid, None, *rest)


def demons(
    fixed: ArrayLike,
    moving: ArrayLike,
    smoothing: ArrayLike = 4.0,
    weight: ArrayLike = 0.1,
    *,
    grid: Grid | None = None,
    mask: ArrayLike | None = None,
    similarity: LeastSquares | None = None,
    start: jax.Array | None = None,
    squarings: int = 5,
    order: Order = 1,
    solver: Solver | None = None,
    adjoint: Adjoint | Unrolled | None = None,
) -> tuple[VelocityMap, Stats]:
    """Solve ``v = demons_step(v)`` on one level, differentiable with respect to ``smoothing`` and ``weight``.

    A loss of the map so reaches the strength of the regularisation, through the implicit function theorem. Exchanging
    the images, without a mask, gives the inverse map. For far images and many levels use `register` with
    `optimisers.Demons`, which runs these steps.

    Args:
      fixed, moving: real images (x, y[, z]) on one grid.
      smoothing: standard deviation of the Gaussian that smooths the velocity, mm; an array may be traced.
      weight: the larger, the smaller each voxel's step, and the weaker a slope has to be to be left to the Gaussian.
      grid: where both images lie; voxels of 1 mm by default.
      mask: weights (x, y[, z]) on the fixed image; None for everywhere.
      similarity: one with a curvature, `MSE` by default.
      start: a velocity (x, y[, z], d), mm; zero by default.
      squarings: of the exponential; 0 for the plain, additive demons.
      order: of the interpolation, 1 or 3.
      solver: `Broyden` with 100 steps and ``rtol`` 1e-4 by default: on a pair of 2-D brains of 64 x 64 it took 43
        evaluations (smoothing 8, weight 0.03) where `Picard` took 152 and `Anderson` 177.
      adjoint: see `deqjax.fixed_point`.

    Returns:
      The map and how the solve went, with a batch of 1.

    Raises:
      ValueError: images, mask and grid of different shapes; a complex image.

    >>> points = Grid.of((16, 16)).points()
    >>> fixed, moving = (jnp.exp(-jnp.sum((points - place) ** 2, -1) / 20) for place in (7.0, 7.5))
    >>> map, stats = demons(fixed, moving)
    >>> map.apply_points(jnp.array([6.0, 8.0])).round(1), bool(stats.converged[0])
    (Array([6.5, 8.5], dtype=float32), True)
    """
    fixed, moving = jnp.asarray(fixed), jnp.asarray(moving)
    grid = Grid(jnp.eye(fixed.ndim + 1), fixed.shape) if grid is None else grid
    weights = jnp.ones(fixed.shape) if mask is None else jnp.asarray(mask, float)
    if not fixed.shape == moving.shape == grid.shape == weights.shape:
        raise ValueError(
            f"fixed {fixed.shape}, moving {moving.shape}, mask {weights.shape} and grid {grid.shape} have to have one "
            "shape: warp the moving image to the fixed grid first"
        )
    if jnp.iscomplexobj(fixed) or jnp.iscomplexobj(moving):
        raise ValueError("the fixed or the moving image is complex: demons follow slopes of real images, use jnp.abs")
    similarity = MSE() if similarity is None else similarity
    solver = Broyden(max_steps=100) if solver is None else solver
    first = jnp.zeros((*grid.shape, grid.ndim)) if start is None else start
    images = fixed.astype(first.dtype), moving.astype(first.dtype), weights, grid, first
    velocity, stats = _solve(images, smoothing, weight, similarity, squarings, order, solver, adjoint)
    return VelocityMap(velocity, grid, squarings), stats


@partial(jax.jit, static_argnums=(3, 4, 5, 6, 7))
def _solve(
    images: tuple[Any, ...],
    smoothing: ArrayLike,
    weight: ArrayLike,
    similarity: LeastSquares,
    squarings: int,
    order: Order,
    solver: Solver,
    adjoint: Adjoint | Unrolled | None,
) -> tuple[jax.Array, Stats]:
    fixed, moving, weights, grid, first = images
    rest = Velocity(0.0, squarings), similarity, None, 1, order
    forward = Objective(fixed, coefficients(moving, grid.ndim, order), weights, grid, grid, None, *rest)
    args = DemonsArgs(forward, swapped(forward), jnp.asarray(smoothing, float), jnp.asarray(weight, float), squarings)
    velocity, stats = fixed_point(batched_step, first[None], args, solver=solver, adjoint=adjoint)
    return velocity[0], stats


def batched_step(velocity: jax.Array, args: DemonsArgs) -> jax.Array:
    """`demons_step` on a batch of one, as `deqjax.fixed_point` wants it."""
    return demons_step(velocity[0], args)[None]
