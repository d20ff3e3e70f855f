"""Initial maps for a registration: from the moments of the images, or the best of many rotations."""

import itertools
import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from deqjax.registration.grid import Grid, check_dimensions
from deqjax.registration.inputs import checked_image, checked_mask
from deqjax.registration.objective import Objective
from deqjax.registration.optimizers import GaussNewton
from deqjax.registration.pyramid import Level, plan_levels, shrink, shrink_mask
from deqjax.registration.similarities import NCC
from deqjax.registration.transforms import LinearMap, Rigid
from deqjax.registration.transforms.linear import spread_rotations
from deqjax.registration.types import LeastSquares, has_curvature
from deqjax.scaling import power_of_two_scale


def align_centres(fixed: jax.Array, moving: jax.Array, fixed_grid: Grid, moving_grid: Grid) -> LinearMap:
    """Return the translation that takes the centre of mass of the fixed image to that of the moving image.

    The mass of a voxel is the distance of its value from that of the background; see `mass`. The map is in mm and suits
    as an ``init``.

    Args:
      fixed: the fixed image, (*fixed_grid.shape).
      moving: the moving image, (*moving_grid.shape).
      fixed_grid: the grid of the fixed image.
      moving_grid: the grid of the moving image.

    Raises:
      ValueError: if the grids have different dimensions.

    >>> fixed, moving = jnp.zeros((5, 5)).at[1, 1].set(1.0), jnp.zeros((5, 5)).at[3, 2].set(2.0)
    >>> align_centres(fixed, moving, Grid.of((5, 5)), Grid.of((5, 5))).offset
    Array([2., 1.], dtype=float32)
    """
    check_dimensions(fixed_grid, moving_grid)
    offset = centre_of_mass(moving, moving_grid) - centre_of_mass(fixed, fixed_grid)
    return LinearMap(jnp.eye(fixed_grid.ndim, dtype=offset.dtype), offset)


def align_axes(fixed: jax.Array, moving: jax.Array, fixed_grid: Grid, moving_grid: Grid) -> LinearMap:
    """Return the rigid map that takes the centre of mass and the principal axes of one image to those of the other.

    The direction of an axis is ambiguous, so 2 rotations are possible in 2-D and 4 in 3-D; this is the smallest of
    them. `multi_start` tries all. The axes are meaningless for an image without a longest direction. The map suits as
    an ``init``.

    Args:
      fixed: the fixed image, (*fixed_grid.shape).
      moving: the moving image, (*moving_grid.shape).
      fixed_grid: the grid of the fixed image.
      moving_grid: the grid of the moving image.

    Source: N. Alpert et al., "The principal axes transformation: a method for image registration", J. Nucl. Med.
    31:1717, 1990, equations 1 to 7.

    >>> fixed, moving = jnp.zeros((5, 5)).at[1:4, 2].set(1.0), jnp.zeros((5, 5)).at[2, 1:4].set(1.0)
    >>> align_axes(fixed, moving, Grid.of((5, 5)), Grid.of((5, 5))).apply_points(jnp.array([2.0, 2.0])).round(3)
    Array([2., 2.], dtype=float32)
    """
    maps = axis_alignments(fixed, moving, fixed_grid, moving_grid)
    smallest = jnp.argmax(jnp.trace(maps.matrix, axis1=1, axis2=2))
    return LinearMap(maps.matrix[smallest], maps.offset[smallest])


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
    moving_mask: ArrayLike | None = None,
) -> LinearMap:
    """Refine many rigid maps by a few steps on one coarse level, all under `vmap`, and return the best: an ``init``.

    The candidates rotate about the centres of mass: by rotations that are spread evenly over all rotations, and by
    those that align the principal axes. A candidate whose overlap is below half of the largest one is ignored.

    Args:
      fixed: the fixed image, real, (x, y[, z]).
      moving: the moving image, real, (x, y[, z]).
      fixed_grid: the grid of the fixed image; None for voxels of 1 mm.
      moving_grid: the grid of the moving image; None for voxels of 1 mm.
      similarity: a similarity with a curvature; `NCC` by default.
      mask: weights (x, y[, z]) on the fixed image; None for all voxels.
      rotations: the number of rotations that are spread evenly; 12 in 2-D and 64 in 3-D by default.
      steps: the number of steps of `GaussNewton` for each candidate.
      size: the voxel size of the coarse level, in mm; a sixteenth of the longest side of the fixed image by default.
      moving_mask: 1 where the moving image counts, else 0, (x, y[, z]); None for all voxels.

    Raises:
      ValueError: as `register`, or if there is less than one rotation or step, or the similarity has no curvature.

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
        raise ValueError(f"rotations is {rotations} and steps is {steps}: both must be at least 1")
    if size is None:
        size = float(np.max(np.asarray(fixed_grid.spacing()) * np.asarray(fixed.shape))) / 16
    (level,) = plan_levels(fixed_grid, moving_grid, (size,))
    similarity = NCC() if similarity is None else similarity
    if not has_curvature(similarity):
        raise ValueError(f"multi_start needs a similarity with a curvature, such as NCC(); {similarity} has none")
    known = None if moving_mask is None else checked_mask(moving_mask, moving.shape, "moving mask")
    return _best_start(fixed, moving, weights, known, fixed_grid, moving_grid, level, similarity, rotations, steps)


@partial(jax.jit, static_argnames=("level", "similarity", "rotations", "steps"))
def _best_start(
    fixed: jax.Array,
    moving: jax.Array,
    mask: jax.Array,
    moving_mask: jax.Array | None,
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
    known = shrink_mask(moving_mask, moving_grid, level.moving_factors)
    spread = maps_about_centres(spread_rotations(rotations, fixed.ndim), fixed, moving, fixed_grid, moving_grid)
    axes = axis_alignments(fixed, moving, fixed_grid, moving_grid)
    starts: LinearMap = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), spread, axes)
    transform = Rigid()

    def refine(start: LinearMap) -> tuple[LinearMap, jax.Array, jax.Array]:
        images = (coarse_fixed, coarse_moving, coarse_mask, coarse_grid, coarse_moving_grid)
        objective = Objective(*images, start, transform, similarity, None, 1, 1, known)
        parameters, _ = GaussNewton(steps=steps).minimise(objective, transform.init(coarse_grid))
        warped, covered = objective.warped(objective.displacement(parameters))
        value = similarity(coarse_fixed, warped, covered, coarse_grid)
        overlap = jnp.sum(covered) / jnp.sum(coarse_mask)
        refined = transform.map(parameters, coarse_grid)
        matrix = jnp.matmul(start.matrix, refined.matrix, precision="highest")
        return LinearMap(matrix, start.apply_points(refined.offset)), value, overlap

    maps, values, overlaps = jax.vmap(refine)(starts)
    best = jnp.argmin(jnp.where((overlaps > 0.5 * jnp.max(overlaps)) & jnp.isfinite(values), values, jnp.inf))
    return jax.tree.map(lambda leaf: leaf[best], maps)


def centre_of_mass(image: jax.Array, grid: Grid) -> jax.Array:
    """Return ``sum m x / sum m``, m the `mass` of a voxel, (d,), in mm.

    >>> centre_of_mass(jnp.array([[0.0, 1.0], [0.0, 1.0]]), Grid.of((2, 2), spacing=3.0))
    Array([1.5, 3. ], dtype=float32)
    """
    return jnp.einsum("..., ...d -> d", mass(image), grid.points(), precision="highest")


def mass(image: jax.Array) -> jax.Array:
    """Return the mass of every voxel, with the sum 1: the distance of its value from that of the background.

    The background is the smallest value, so that air has no mass, whatever its number (-1000 in CT). If more than half
    of the voxels on the border of the image have one and the same value, that value is the background: field maps and
    other signed images are 0 outside the head. The magnitude is used for complex images. Voxels that are not finite
    have no mass. If all values are equal, so are the masses.

    >>> mass(jnp.array([-1000, 0, 1000, -1000], dtype=jnp.int16)).round(1)
    Array([0. , 0.3, 0.7, 0. ], dtype=float32)
    """
    values = jnp.abs(image) if jnp.iscomplexobj(image) else jnp.asarray(image)
    values = values.astype(jnp.promote_types(values.dtype, jnp.zeros(()).dtype))
    known = jnp.isfinite(values)
    values = power_of_two_scale(jnp.where(known, values, 0)).apply(values)
    faces = [jnp.take(values, jnp.array([0, -1]), axis).ravel() for axis in range(values.ndim)]
    border = jnp.sort(jnp.concatenate(faces))
    median = border[len(border) // 2]
    uniform = jnp.mean(border == median) > 0.5
    low = jnp.min(jnp.where(known, values, jnp.inf))
    away = jnp.where(known, jnp.abs(values - jnp.where(uniform, median, low)), 0)
    away = power_of_two_scale(away).apply(away)
    total = jnp.sum(away)
    return jnp.where(total > 0, away / jnp.where(total > 0, total, 1), 1 / away.size)


def second_moments(image: jax.Array, grid: Grid) -> jax.Array:
    """Return ``sum m (x - c) (x - c)^T / sum m``, m and c as in `centre_of_mass`, (d, d), in mm^2.

    >>> second_moments(jnp.array([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0]]), Grid.of((2, 3)))
    Array([[0., 0.],
           [0., 1.]], dtype=float32)
    """
    away = grid.points() - centre_of_mass(image, grid)
    return jnp.einsum("..., ...a, ...b -> ab", mass(image), away, away, precision="highest")


def axis_alignments(fixed: jax.Array, moving: jax.Array, fixed_grid: Grid, moving_grid: Grid) -> LinearMap:
    """Return every rigid map from which `align_axes` chooses, with a leading axis of 2 in 2-D and 4 in 3-D.

    >>> image = jnp.zeros((5, 5)).at[1:4, 2].set(1.0)
    >>> axis_alignments(image, image, Grid.of((5, 5)), Grid.of((5, 5))).matrix.shape
    (2, 2, 2)
    """
    _, fixed_axes = jnp.linalg.eigh(second_moments(fixed, fixed_grid))
    _, moving_axes = jnp.linalg.eigh(second_moments(moving, moving_grid))
    proper = jnp.sign(jnp.linalg.det(fixed_axes) * jnp.linalg.det(moving_axes))
    signs = jnp.asarray([s for s in itertools.product((1.0, -1.0), repeat=fixed_grid.ndim) if math.prod(s) > 0])
    signs = signs.at[:, 0].multiply(proper)
    matrices = jnp.einsum("ak, sk, bk -> sab", moving_axes, signs, fixed_axes, precision="highest")
    return maps_about_centres(matrices, fixed, moving, fixed_grid, moving_grid)


def maps_about_centres(
    matrices: jax.Array, fixed: jax.Array, moving: jax.Array, fixed_grid: Grid, moving_grid: Grid
) -> LinearMap:
    """Return the maps with the matrices (n, d, d) that take the centre of mass of the fixed image to the moving one.

    >>> image = jnp.zeros((3, 3)).at[1, 1].set(1.0)
    >>> maps_about_centres(-jnp.eye(2)[None], image, image, Grid.of((3, 3)), Grid.of((3, 3))).offset
    Array([[2., 2.]], dtype=float32)
    """
    rotated = jnp.matmul(matrices, centre_of_mass(fixed, fixed_grid), precision="highest")
    return LinearMap(matrices, centre_of_mass(moving, moving_grid) - rotated)
