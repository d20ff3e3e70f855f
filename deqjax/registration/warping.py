"""Warping of images: backward (interpolate the moving image) and forward (distribute the voxels of an image)."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from deqjax.registration.grid import Grid
from deqjax.registration.interpolation import Boundary, Order, interpolate, neighbours
from deqjax.registration.transforms import LinearMap
from deqjax.registration.types import Map


def warp(
    moving: jax.Array,
    mapping: Map,
    fixed_grid: Grid,
    moving_grid: Grid,
    order: Order = 1,
    boundary: Boundary = "zero",
    fill: float = 0.0,
) -> jax.Array:
    """Resample a moving image on the fixed grid: ``warped(x) = moving(map(x))``, x in mm.

    Args:
      moving: (*moving_grid.shape, *channels), real or complex. An image of integers is interpolated in floating point;
        only order 0 keeps the type, so that it can warp labels.
      mapping: the map from fixed points to moving points, in mm.
      fixed_grid: the grid of the result.
      moving_grid: the grid of the moving image.
      order: 0, 1 or 3; see `interpolate`.
      boundary: the values beyond the moving image: ``"zero"``, ``"nearest"`` or ``"mirror"``.
      fill: the value beyond the moving image with the boundary ``"zero"``: -1000 for air in CT.

    Returns:
      The warped image, (*fixed_grid.shape, *channels).

    Raises:
      ValueError: if the moving image and its grid have different shapes, or the grids have different dimensions.

    >>> from deqjax.registration.transforms import LinearMap
    >>> grid = Grid.of((1, 4), spacing=2.0)
    >>> warp(jnp.array([[0, 1, 2, 3]]), LinearMap(jnp.eye(2), jnp.array([0.0, 1.0])), grid, grid)
    Array([[0.5, 1.5, 2.5, 1.5]], dtype=float32)
    """
    moving = jnp.asarray(moving)
    if moving.shape[: moving_grid.ndim] != moving_grid.shape or fixed_grid.ndim != moving_grid.ndim:
        raise ValueError(
            f"an image of shape {moving.shape} on a grid of shape {moving_grid.shape}, warped to a grid of shape "
            f"{fixed_grid.shape}: the first two shapes must agree, and all three must have the same dimension"
        )
    if order != 0 and not jnp.issubdtype(moving.dtype, jnp.inexact):
        moving = moving.astype(float)
    index = moving_grid.index(mapping.apply_points(fixed_grid.points()))
    warped = interpolate(moving, index, order, boundary)
    if boundary == "zero" and fill != 0:
        ones = jnp.ones(moving_grid.shape, index.dtype)
        covered = interpolate(ones, index, 0 if order == 0 else 1, "zero").reshape(
            *fixed_grid.shape, *[1] * (moving.ndim - moving_grid.ndim)
        )
        warped = jnp.where(covered < 1 - 1e-4, warped + fill * (1 - covered), warped)
    return warped.astype(moving.dtype)


def warp_labels(
    labels: ArrayLike, mapping: Map, fixed_grid: Grid, moving_grid: Grid, count: int | None = None
) -> jax.Array:
    """Resample a label image: each fixed voxel gets the label with the largest linear interpolation weight.

    The labels may be any integers, such as those of FreeSurfer. The result is smoother than that of order 0, and it
    contains no labels that the input does not contain. Points beyond the moving image get label 0.

    Args:
      labels: (*moving_grid.shape), integers.
      mapping: the map from fixed points to moving points, in mm.
      fixed_grid: the grid of the result.
      moving_grid: the grid of the labels.
      count: at least the number of different labels, the background included. It is needed inside ``jit`` alone.

    Returns:
      The warped labels, (*fixed_grid.shape), of the type of ``labels``.

    Raises:
      ValueError: if the labels are not integers, do not fit into the integers of JAX, or are more than ``count``.

    >>> from deqjax.registration.transforms import LinearMap
    >>> grid, shift = Grid.of((1, 4)), LinearMap(jnp.eye(2), jnp.array([0.0, 0.6]))
    >>> warp_labels(jnp.array([[0, 1012, 1012, 17]]), shift, grid, grid)
    Array([[1012, 1012,   17,    0]], dtype=int32)
    """
    if isinstance(labels, jax.core.Tracer):
        if count is None:
            raise ValueError("inside jit, warp_labels needs count, the number of different labels")
        return _warp_values(labels, jnp.unique(labels, size=count), mapping, fixed_grid, moving_grid)
    given = np.asarray(labels)
    values, kept = np.unique(given), jnp.asarray(given)
    if given.dtype.kind not in "biu":
        raise ValueError(f"labels of type {given.dtype}: give integers")
    if not np.array_equal(np.asarray(jnp.asarray(values)), values):
        raise ValueError(f"labels from {values[0]} to {values[-1]} do not fit into {kept.dtype}: enable float64 in JAX")
    if count is not None and len(values) > count:
        raise ValueError(f"there are {len(values)} different labels, but count is {count}: leave it out")
    return _warp_values(kept, jnp.asarray(values), mapping, fixed_grid, moving_grid)


LabelState = tuple[jax.Array, jax.Array, jax.Array]
"""The label with the largest weight so far, that weight, and the sum of all weights."""


def resample(image: jax.Array, grid: Grid, target_grid: Grid, order: Order = 1) -> jax.Array:
    """Resample an image at the same points of the world on another grid; it is 0 beyond its own grid.

    Args:
      image: (*grid.shape).
      grid: the grid of the image.
      target_grid: the grid of the result.
      order: 0, 1 or 3; see `interpolate`.

    Returns:
      (*target_grid.shape).

    >>> resample(jnp.array([[1, 2, 3]]), Grid.of((1, 3)), Grid.of((1, 3), origin=(0.0, 1.0)), order=0)
    Array([[2, 3, 0]], dtype=int32)
    """
    identity = LinearMap(jnp.eye(grid.ndim), jnp.zeros(grid.ndim))
    return image if same_voxels(grid, target_grid) else warp(image, identity, target_grid, grid, order)


def same_voxels(grid: Grid, other: Grid) -> bool:
    """Check that two grids have the same shape, and the same voxel centres within a hundredth of a voxel.

    >>> same_voxels(Grid.of((4, 4)), Grid.of((4, 4), origin=0.5))
    False
    """
    if grid.shape != other.shape:
        return False
    corners = jnp.asarray(list(itertools.product(*((0, n - 1) for n in grid.shape))), float)
    return bool(jnp.all(jnp.abs(grid.index(other.world(corners)) - corners) < 0.01))


def _warp_values(labels: jax.Array, values: jax.Array, mapping: Map, fixed_grid: Grid, moving_grid: Grid) -> jax.Array:
    """Return the value with the largest weight; 0 is the background, which also lies beyond the moving image."""

    def consider(state: LabelState, value: jax.Array) -> tuple[LabelState, None]:
        best, largest, total = state
        weight = jnp.where(value == 0, 0, warp((labels == value).astype(float), mapping, fixed_grid, moving_grid))
        better = weight > largest
        return (jnp.where(better, value, best), jnp.where(better, weight, largest), total + weight), None

    nothing = jnp.zeros(fixed_grid.shape)
    first = jnp.zeros(fixed_grid.shape, values.dtype), nothing, nothing
    (best, largest, total), _ = jax.lax.scan(consider, first, values)
    return jnp.where(1 - total >= largest, jnp.zeros_like(best), best).astype(labels.dtype)


def splat(image: jax.Array, mapping: Map, grid: Grid, target_grid: Grid) -> tuple[jax.Array, jax.Array]:
    """Push an image along a map: each voxel x adds ``image(x)`` to the voxels around ``map(x)``, with linear weights w.

    ``sums(y) = sum_x w(map(x) - y) image(x)`` and ``weights(y) = sum_x w(map(x) - y)``. The target has a hole where
    the weights are 0 and an overlap where they exceed 1; ``sums / weights`` is the mean of the values at a voxel. This
    is the transpose of linear backward warping. Values that fall outside the target are lost.

    Args:
      image: (*grid.shape), real or complex.
      mapping: the map from points of ``grid`` to points of ``target_grid``, in mm.
      grid: the grid of the image.
      target_grid: the grid of the result.

    Returns:
      The sums and the weights, both (*target_grid.shape).

    >>> from deqjax.registration.transforms import LinearMap
    >>> grid = Grid.of((1, 3))
    >>> splat(jnp.array([[1.0, 1.0, 1.0]]), LinearMap(jnp.diag(jnp.array([1.0, 2.0])), jnp.zeros(2)), grid, grid)[1]
    Array([[1., 0., 1.]], dtype=float32)
    """
    index = target_grid.index(mapping.apply_points(grid.points()))
    value = jnp.asarray(image, jnp.result_type(image, float))
    sums = jnp.zeros(target_grid.shape, value.dtype)
    weights = jnp.zeros(target_grid.shape, value.real.dtype)
    for corner in itertools.product(*(neighbours(index[..., axis], 1) for axis in range(grid.ndim))):
        voxels, parts = zip(*corner, strict=True)
        weight = jnp.prod(jnp.stack(parts), axis=0)
        outside = jnp.any(jnp.stack([(v < 0) | (v >= n) for v, n in zip(voxels, target_grid.shape, strict=True)]), 0)
        weight = jnp.where(outside, 0, weight)
        sums = sums.at[voxels].add(weight * value, mode="drop")
        weights = weights.at[voxels].add(weight, mode="drop")
    return sums, weights
