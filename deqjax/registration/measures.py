"""Measures of the quality of a map: errors in mm, the overlap of labels, the change of volume."""

import jax
import jax.numpy as jnp

from deqjax.registration.grid import Grid
from deqjax.registration.transforms.jacobians import cell_determinants, central_differences, determinant
from deqjax.registration.types import Map

__all__ = [
    "dice",
    "folded_fraction",
    "inverse_consistency",
    "sd_log_jacobian",
    "smallest_jacobian",
    "target_error",
    "volume_change",
]


def target_error(mapping: Map, fixed_points: jax.Array, moving_points: jax.Array) -> jax.Array:
    """Return the target registration error ``|map(fixed) - moving|`` of corresponding points.

    Args:
      mapping: the map from fixed points to moving points.
      fixed_points: (..., d), in mm.
      moving_points: the corresponding points, (..., d), in mm.

    Returns:
      (...), in mm.

    >>> from deqjax.registration.transforms import LinearMap
    >>> target_error(LinearMap(jnp.eye(2), jnp.array([3.0, 4.0])), jnp.zeros((1, 2)), jnp.zeros((1, 2)))
    Array([5.], dtype=float32)
    """
    return jnp.linalg.norm(mapping.apply_points(fixed_points) - moving_points, axis=-1)


def inverse_consistency(forward: Map, backward: Map, points: jax.Array) -> jax.Array:
    """Return ``|backward(forward(x)) - x|`` at points x; its mean square is a regularizer of pairs of maps.

    Args:
      forward: the map in one direction.
      backward: the map in the other direction.
      points: x, (..., d), in mm.

    Returns:
      (...), in mm.

    Source: G. Christensen and H. Johnson, "Consistent image registration", IEEE Trans. Med. Imaging 20:568, 2001,
    equation 3.

    >>> from deqjax.registration.transforms import LinearMap
    >>> double = LinearMap(2 * jnp.eye(2), jnp.ones(2))
    >>> inverse_consistency(double, double.inverse(), jnp.zeros((1, 2)))
    Array([0.], dtype=float32)
    """
    return jnp.linalg.norm(backward.apply_points(forward.apply_points(points)) - points, axis=-1)


def dice(a: jax.Array, b: jax.Array, label: int = 1) -> jax.Array:
    """Return ``2 |A and B| / (|A| + |B|)`` of one label in two label images; 1 if neither contains the label.

    Args:
      a: a label image.
      b: a label image of the same shape.
      label: the label that is compared.

    >>> dice(jnp.array([1, 1, 1, 0]), jnp.array([1, 0, 0, 0]))
    Array(0.5, dtype=float32)
    """
    a, b = a == label, b == label
    total = jnp.sum(a) + jnp.sum(b)
    return jnp.where(total > 0, 2 * jnp.sum(a & b) / jnp.maximum(total, 1), 1.0)


def volume_change(vectors: jax.Array, grid: Grid) -> jax.Array:
    """Return ``det(I + grad u)`` at every voxel by central differences, which are one-sided at the edges.

    Its logarithm is the map of change of a follow-up scan: above 0 where the moving image is larger.

    Args:
      vectors: u, (*grid.shape, d), in mm.
      grid: the grid of the vectors.

    Returns:
      (*grid.shape).

    >>> grid = Grid.of((3, 3), spacing=2.0)
    >>> volume_change(grid.points(), grid)[1, 1]
    Array(4., dtype=float32)
    """
    slope = central_differences(vectors, grid)
    return determinant(jnp.eye(grid.ndim, dtype=slope.dtype) + slope)


def folded_fraction(volume: jax.Array, mask: jax.Array) -> jax.Array:
    """Return the fraction of the mask in which `volume_change` is not above 0, in [0, 1].

    Args:
      volume: the change of volume.
      mask: a boolean array of the same shape.

    >>> folded_fraction(jnp.array([1.0, -0.1, -3.0]), jnp.array([True, True, False]))
    Array(0.5, dtype=float32)
    """
    return jnp.sum(mask & (volume <= 0)) / jnp.sum(mask)


def smallest_jacobian(vectors: jax.Array, grid: Grid) -> jax.Array:
    """Return the smallest determinant of ``x + u`` at the corners of all cells between the voxel centres, ().

    In 2-D, the determinant of the bilinear interpolation is linear along each axis of a cell, so if its value at the
    corners is above 0, it is above 0 everywhere, and the map does not fold. In 3-D the corners do not prove that, but
    they are eight times as many one-sided determinants as `volume_change` has central ones.

    Args:
      vectors: u, (*grid.shape, d), in mm.
      grid: the grid of the vectors.

    >>> grid = Grid.of((3, 3))
    >>> smallest_jacobian(jnp.zeros((3, 3, 2)).at[1, 1, 0].set(1.5), grid)
    Array(-0.5, dtype=float32)
    """
    return jnp.min(cell_determinants(vectors, grid), initial=1.0)


def sd_log_jacobian(volume: jax.Array, mask: jax.Array) -> jax.Array:
    """Return the standard deviation of ``log volume_change`` over the mask; folded voxels count as 1e-9.

    Args:
      volume: the change of volume.
      mask: a boolean array of the same shape.

    >>> round(float(sd_log_jacobian(jnp.exp(jnp.array([-1.0, 1.0])), jnp.array([True, True]))), 4)
    1.0
    """
    return jnp.std(jnp.log(jnp.maximum(volume, 1e-9)), where=mask)
