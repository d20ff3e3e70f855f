"""A first map for images that may be turned any way round: try many rotations at once, keep the best."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from deqjax.registration.door import checked_image, checked_mask
from deqjax.registration.grid import Grid, check_dimensions
from deqjax.registration.moments import about_centres, aligned_axes
from deqjax.registration.objective import Objective
from deqjax.registration.optimisers import GaussNewton
from deqjax.registration.pyramid import Level, plan_levels, shrink
from deqjax.registration.similarities import NCC
from deqjax.registration.similarities.similarity import LeastSquares
from deqjax.registration.transforms import LinearMap, Rigid
from deqjax.registration.transforms.rotation import spread_rotations


def multi_start(
    fixed: ArrayLike,
    moving: ArrayLike,
    *,
    fixed_grid: Grid | None = None,
    moving_grid: Grid | None = None,
    similarity: LeastSquares | None = None,
    mask: ArrayLike | None = None,
    rotations: int | None = None,
    steps: int = 10,
    size: float | None = None,
) -> LinearMap:
    """Refine many rigid maps a few steps on one coarse level, all under `vmap`, and return the best: an ``init``.

    The candidates turn about the centres of mass, by rotations spread evenly over all there are and by those that
    match principal axes. A candidate that takes half of the mask out of view does not count.

    Args:
      fixed, moving: real images (x, y[, z]).
      fixed_grid, moving_grid: where they lie; voxels of 1 mm by default.
      similarity: one with a curvature; `NCC` by default.
      mask: weights (x, y[, z]) on the fixed image; None for everywhere.
      rotations: spread over all; 12 in 2-D and 64 in 3-D by default.
      steps: of `GaussNewton` for each candidate.
      size: voxels of the coarse level, mm; by default a sixteenth of the fixed image's longest side.

    Raises:
      ValueError: as `register`, and fewer than one rotation or step.

    >>> points = Grid.of((24, 24)).points() - 11.5
    >>> image = lambda x: jnp.exp(-(x[..., 0] ** 2) / 40 - x[..., 1] ** 2 / 8) * (2 + jnp.tanh(x[..., 0]))
    >>> found = multi_start(image(-points), image(points), size=1.0)
    >>> found.matrix.round(1) + 0.0
    Array([[-1.,  0.],
           [ 0., -1.]], dtype=float32)
    """
    fixed, fixed_grid = checked_image("fixed", fixed, fixed_grid)
    moving, moving_grid = checked_image("moving", moving, moving_grid)
    check_dimensions(fixed_grid, moving_grid)
    weights = checked_mask(mask, fixed.shape)
    rotations = (12 if fixed_grid.ndim == 2 else 64) if rotations is None else rotations
    if rotations < 1 or steps < 1:
        raise ValueError(f"rotations is {rotations} and steps {steps}: give at least 1 of each")
    if size is None:
        size = float(np.max(np.asarray(fixed_grid.spacing()) * np.asarray(fixed.shape))) / 16
    (level,) = plan_levels(fixed_grid, moving_grid, (size,))
    similarity = NCC() if similarity is None else similarity
    return _best(fixed, moving, weights, fixed_grid, moving_grid, level, similarity, rotations, steps)


@partial(jax.jit, static_argnames=("level", "similarity", "rotations", "steps"))
def _best(
    fixed: jax.Array,
    moving: jax.Array,
    mask: jax.Array,
    fixed_grid: Grid,
    moving_grid: Grid,
    level: Level,
    similarity: LeastSquares,
    rotations: int,
    steps: int,
) -> LinearMap:
    coarse_fixed, coarse_grid = shrink(fixed, fixed_grid, level.fixed_factors)
    coarse_moving, coarse_moving_grid = shrink(moving, moving_grid, level.moving_factors)
    coarse_mask, _ = shrink(mask, fixed_grid, level.fixed_factors)
    spread = spread_rotations(rotations, fixed.ndim)
    turned = about_centres(spread, fixed, moving, fixed_grid, moving_grid)
    axes = aligned_axes(fixed, moving, fixed_grid, moving_grid)
    starts: LinearMap = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), turned, axes)
    transform = Rigid()

    def refine(start: LinearMap) -> tuple[LinearMap, jax.Array]:
        images = (coarse_fixed, coarse_moving, coarse_mask, coarse_grid, coarse_moving_grid)
        objective = Objective(*images, start, transform, similarity, None, 1, 1)
        found, _ = GaussNewton(steps=steps).minimise(objective, transform.init(coarse_grid))
        warped, reached = objective.warped(objective.displacement(found))
        value = similarity(coarse_fixed, warped, reached, coarse_grid)
        seen = jnp.sum(reached) / jnp.sum(coarse_mask)
        first = transform.map(found, coarse_grid)
        matrix = jnp.matmul(start.matrix, first.matrix, precision="highest")
        return LinearMap(matrix, start.apply_points(first.offset)), jnp.where(seen > 0.5, value, jnp.inf)

    maps, values = jax.vmap(refine)(starts)
    return jax.tree.map(lambda leaf: leaf[jnp.argmin(values)], maps)
