"""Warping of images: backward (interpolate the moving image) and forward (distribute the voxels of an image)."""

import itertools

import jax
import jax.numpy as jnp

from deqjax.registration.grid import Grid
from deqjax.registration.interpolation import Boundary, Order, interpolate, neighbours
from deqjax.registration.types import Map


def warp(
    moving: jax.Array, mapping: Map, fixed_grid: Grid, moving_grid: Grid, order: Order = 1, boundary: Boundary = "zero"
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
    return interpolate(moving, index, order, boundary).astype(moving.dtype)


def warp_labels(labels: jax.Array, mapping: Map, fixed_grid: Grid, moving_grid: Grid, count: int) -> jax.Array:
    """Resample a label image: each fixed voxel gets the label with the largest linear interpolation weight.

    The result is smoother than that of order 0, and it contains no labels that the input does not contain. Points
    beyond the moving image get label 0.

    Args:
      labels: (*moving_grid.shape), integers in [0, count).
      mapping: the map from fixed points to moving points, in mm.
      fixed_grid: the grid of the result.
      moving_grid: the grid of the labels.
      count: the number of labels, including the background.

    Returns:
      The warped labels, (*fixed_grid.shape), of the type of ``labels``.

    >>> from deqjax.registration.transforms import LinearMap
    >>> grid, shift = Grid.of((1, 4)), LinearMap(jnp.eye(2), jnp.array([0.0, 0.6]))
    >>> warp_labels(jnp.array([[0, 2, 2, 1]]), shift, grid, grid, count=3)
    Array([[2, 2, 1, 0]], dtype=int32)
    """
    weight_of = lambda label: warp((labels == label).astype(float), mapping, fixed_grid, moving_grid)
    weights = jax.lax.map(weight_of, jnp.arange(1, count))
    background = 1 - jnp.sum(weights, axis=0, keepdims=True)
    return jnp.argmax(jnp.concatenate([background, weights]), axis=0).astype(labels.dtype)


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
