"""The symmetric diffeomorphic demons as a fixed point that is solved and differentiated implicitly."""

from dataclasses import field
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from deqjax.implicit import Adjoint, Unrolled, fixed_point
from deqjax.pytree import operand
from deqjax.registration.grid import Grid
from deqjax.registration.interpolation import Order, interpolation_coefficients
from deqjax.registration.objective import STATIC, Objective
from deqjax.registration.similarities import MSE
from deqjax.registration.smoothing import smooth
from deqjax.registration.transforms.jacobians import central_differences
from deqjax.registration.transforms.velocity import Velocity, VelocityMap
from deqjax.registration.types import LeastSquares, has_curvature
from deqjax.solvers import Broyden, Stats
from deqjax.types import Solver


@operand
class DemonsArgs:
    """All arguments of `demons_step` except the velocity; each of them has a gradient.

    Attributes:
      forward: the objective of the fixed and the moving image, on one grid.
      backward: the objective with the images exchanged, on the same grid.
      smoothing: the standard deviation of the Gaussian, (), in mm.
      weight: the weight of the regularisation, (), relative to the mean squared slope of the image.
      squarings: the number of squarings of the exponential; with 0 the velocity is the displacement.
    """

    forward: Objective
    backward: Objective
    smoothing: jax.Array
    weight: jax.Array
    squarings: int = field(metadata=STATIC)


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
    """Solve ``v = demons_step(v)`` on one level, differentiably with respect to ``smoothing`` and ``weight``.

    The implicit function theorem gives the gradient of a loss of the map with respect to the strength of the
    regularisation. Exchanging the images, without a mask, gives the inverse map. For large displacements and several
    levels use `register` with `optimizers.Demons`, which runs the same steps.

    Args:
      fixed: the fixed image, real, (x, y[, z]).
      moving: the moving image, real, on the same grid.
      smoothing: the standard deviation of the Gaussian that smooths the velocity, in mm; it may be a traced array.
      weight: a larger weight gives smaller steps at each voxel, and voxels with a weak slope follow the Gaussian alone.
      grid: the grid of both images; None for voxels of 1 mm.
      mask: weights (x, y[, z]) on the fixed image; None for all voxels.
      similarity: a similarity with a curvature; `MSE` by default.
      start: the initial velocity, (x, y[, z], d), in mm; None for zero.
      squarings: the number of squarings of the exponential; 0 for the plain, additive demons.
      order: the interpolation order, 1 or 3.
      solver: the solver of the fixed point, by default `Broyden` with 100 steps and ``rtol`` 1e-4: on a pair of 2-D
        brains of 64 x 64 it took 43 evaluations (smoothing 8, weight 0.03), `Picard` 152 and `Anderson` with history 5
        177.
      adjoint: see `deqjax.fixed_point`.

    Returns:
      The map, and the statistics of the solver for a batch of 1.

    Raises:
      ValueError: if the images, the mask and the grid have different shapes, an image is complex, or the similarity has
        no curvature.

    >>> points = Grid.of((16, 16)).points()
    >>> fixed, moving = (jnp.exp(-jnp.sum((points - centre) ** 2, -1) / 20) for centre in (7.0, 7.5))
    >>> found, stats = demons(fixed, moving)
    >>> found.apply_points(jnp.array([6.0, 8.0])).round(1), bool(stats.converged[0])
    (Array([6.5, 8.5], dtype=float32), True)
    """
    fixed, moving = jnp.asarray(fixed), jnp.asarray(moving)
    grid = Grid(jnp.eye(fixed.ndim + 1), fixed.shape) if grid is None else grid
    weights = jnp.ones(fixed.shape) if mask is None else jnp.asarray(mask, float)
    if not fixed.shape == moving.shape == grid.shape == weights.shape:
        raise ValueError(
            f"fixed {fixed.shape}, moving {moving.shape}, mask {weights.shape} and grid {grid.shape} must have one "
            "shape: warp the moving image to the fixed grid first"
        )
    if jnp.iscomplexobj(fixed) or jnp.iscomplexobj(moving):
        raise ValueError("the fixed or the moving image is complex: demons need real images, use jnp.abs")
    similarity = MSE() if similarity is None else similarity
    if not has_curvature(similarity):
        raise ValueError(f"demons need a similarity with a curvature, such as MSE(); {similarity} has none")
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
    args = demons_args(fixed, moving, weights, grid, smoothing, weight, similarity, squarings, order)
    velocity, stats = fixed_point(batched_step, first[None], args, solver=solver, adjoint=adjoint)
    return velocity[0], stats


def demons_args(
    fixed: jax.Array,
    moving: jax.Array,
    weights: jax.Array,
    grid: Grid,
    smoothing: ArrayLike,
    weight: ArrayLike,
    similarity: LeastSquares,
    squarings: int,
    order: Order,
) -> DemonsArgs:
    """Return the arguments of `demons_step` for two images on one grid; see `demons` for them."""
    settings = Velocity(0.0, squarings), similarity, None, 1, order
    coefficients = interpolation_coefficients(moving, grid.ndim, order)
    forward = Objective(fixed, coefficients, weights, grid, grid, None, *settings)
    sizes = jnp.asarray(smoothing, float), jnp.asarray(weight, float)
    return DemonsArgs(forward, exchange_images(forward), *sizes, squarings)


def demons_step(velocity: jax.Array, args: DemonsArgs) -> jax.Array:
    """Compute one step ``v -> G (v + (F(exp v) - F'(exp -v)) / 2)``, (*shape, d), in mm.

    F is the `force` of the fixed and the moving image, F' the one with the images exchanged, and G a Gaussian. Where
    the images agree, the forces are 0 and the step is G alone.

    Source: T. Vercauteren et al., "Symmetric log-domain diffeomorphic registration: a demons-based approach", MICCAI
    2008, section 2.3, with the sum of velocities in place of the Baker-Campbell-Hausdorff series.
    """
    return gaussian(velocity + symmetric_force(velocity, args), args)


def gaussian(velocity: jax.Array, args: DemonsArgs) -> jax.Array:
    """Smooth a velocity, (*shape, d), by the Gaussian G of `demons_step`."""
    return smooth(velocity, args.smoothing / args.forward.fixed_grid.spacing())


def batched_step(velocity: jax.Array, args: DemonsArgs) -> jax.Array:
    """Compute `demons_step` for a batch of one, as `deqjax.fixed_point` calls it."""
    return demons_step(velocity[0], args)[None]


def symmetric_force(velocity: jax.Array, args: DemonsArgs) -> jax.Array:
    """Return ``(F(exp v) - F'(exp -v)) / 2``, (*shape, d), in mm; see `demons_step`."""
    grid = args.forward.fixed_grid
    forward = VelocityMap(velocity, grid, args.squarings).exponential().vectors
    backward = VelocityMap(-velocity, grid, args.squarings).exponential().vectors
    return (force(args.forward, forward, args.weight) - force(args.backward, backward, args.weight)) / 2


def force(objective: Objective, displacement: jax.Array, weight: jax.Array) -> jax.Array:
    """Return ``-g s / (c |s|^2 + weight mean c |s|^2)``, the Gauss-Newton step of each voxel by itself, in mm.

    s is the slope of the warped image; g and c are the derivative and the curvature of the similarity with respect to
    it. The terms of channels are summed. For `MSE` of one channel this is Thirion's force with a constant in place of
    the squared difference. Beyond the moving image, where its edge is repeated, s is 0; setting the force to 0 there
    instead would leave a step without a fixed point.

    Args:
      objective: the objective of one level.
      displacement: (*shape, d), in mm.
      weight: the weight of the regularisation.

    Returns:
      (*shape, d), in mm.

    Source: J.-P. Thirion 1998, see `deqjax.registration.transforms.Dense`, equation 4.
    """
    assert has_curvature(objective.similarity)
    grid = objective.fixed_grid
    warped, mask = objective.warped(displacement)[0], jax.lax.stop_gradient(objective.masked(displacement))
    derivative = jax.grad(lambda warped: objective.similarity(objective.fixed, warped, mask, grid))(warped)
    curvature = objective.similarity.curvature(objective.fixed, warped, mask, grid)
    slope = central_differences(warped.reshape(*grid.shape, -1), grid)
    derivative, curvature = (values.reshape(slope.shape[:-1]) for values in (derivative, curvature))
    energy = jnp.sum(curvature * jnp.sum(slope**2, axis=-1), axis=-1)
    floor = weight * jnp.sum(mask * energy) / jnp.sum(mask)
    total = energy + floor
    return -jnp.sum((derivative / jnp.where(total > 0, total, 1)[..., None])[..., None] * slope, axis=-2)


def exchange_images(objective: Objective) -> Objective:
    """Exchange the two images of an objective; both are on the fixed grid, the moving one warped there by ``init``."""
    grid, ndim = objective.fixed_grid, objective.fixed_grid.ndim
    moving, mask = objective.warped(jnp.zeros((*grid.shape, ndim), objective.fixed.dtype))
    settings = objective.transform, objective.similarity, objective.regularizer, objective.scale, objective.order
    coefficients = interpolation_coefficients(objective.fixed, ndim, objective.order)
    return Objective(moving, coefficients, mask, grid, grid, None, *settings)
