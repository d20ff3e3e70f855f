"""A first map from the moments of two images: their centres of mass and principal axes."""

import itertools
import math

import jax
import jax.numpy as jnp

from deqjax.registration.grid import Grid, check_dimensions
from deqjax.registration.transforms import LinearMap


def align_centres(fixed: jax.Array, moving: jax.Array, fixed_grid: Grid, moving_grid: Grid) -> LinearMap:
    """The translation that takes the fixed image's centre of mass to that of the moving image, mm; a good ``init``.

    The mass of a voxel is its magnitude above the image's smallest. Raises ValueError for grids of unlike dimension.

    >>> fixed, moving = jnp.zeros((5, 5)).at[1, 1].set(1.0), jnp.zeros((5, 5)).at[3, 2].set(2.0)
    >>> align_centres(fixed, moving, Grid.of((5, 5)), Grid.of((5, 5))).offset
    Array([2., 1.], dtype=float32)
    """
    check_dimensions(fixed_grid, moving_grid)
    offset = centre_of_mass(moving, moving_grid) - centre_of_mass(fixed, fixed_grid)
    return LinearMap(jnp.eye(fixed_grid.ndim, dtype=offset.dtype), offset)


def centre_of_mass(image: jax.Array, grid: Grid) -> jax.Array:
    """``sum m x / sum m`` with ``m = |image| - min |image|``, (d,), mm.

    >>> centre_of_mass(jnp.array([[0.0, 1.0], [0.0, 1.0]]), Grid.of((2, 2), spacing=3.0))
    Array([1.5, 3. ], dtype=float32)
    """
    mass = jnp.abs(image) - jnp.min(jnp.abs(image))
    points = grid.points()
    return jnp.einsum("..., ...d -> d", mass / jnp.sum(mass), points, precision="highest")


def second_moments(image: jax.Array, grid: Grid) -> jax.Array:
    """``sum m (x - c) (x - c)^T / sum m``, m and c as in `centre_of_mass`, (d, d), mm^2.

    >>> second_moments(jnp.array([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0]]), Grid.of((2, 3)))
    Array([[0., 0.],
           [0., 1.]], dtype=float32)
    """
    mass = jnp.abs(image) - jnp.min(jnp.abs(image))
    away = grid.points() - centre_of_mass(image, grid)
    return jnp.einsum("..., ...a, ...b -> ab", mass / jnp.sum(mass), away, away, precision="highest")


def align_axes(fixed: jax.Array, moving: jax.Array, fixed_grid: Grid, moving_grid: Grid) -> LinearMap:
    """The rigid map that takes centre of mass to centre of mass and principal axes to principal axes; a good ``init``.

    An axis has no front and back, so 2 rotations fit in 2-D and 4 in 3-D; this is the smallest of them. `multi_start`
    tries all. The axes of an image without a longest direction mean nothing.

    Source: N. Alpert et al., "The principal axes transformation: a method for image registration", J. Nucl. Med.
    31:1717, 1990, equations 1 to 7.

    >>> fixed, moving = jnp.zeros((5, 5)).at[1:4, 2].set(1.0), jnp.zeros((5, 5)).at[2, 1:4].set(1.0)
    >>> align_axes(fixed, moving, Grid.of((5, 5)), Grid.of((5, 5))).apply_points(jnp.array([2.0, 2.0])).round(3)
    Array([2., 2.], dtype=float32)
    """
    maps = aligned_axes(fixed, moving, fixed_grid, moving_grid)
    smallest = jnp.argmax(jnp.trace(maps.matrix, axis1=1, axis2=2))
    return LinearMap(maps.matrix[smallest], maps.offset[smallest])


def aligned_axes(fixed: jax.Array, moving: jax.Array, fixed_grid: Grid, moving_grid: Grid) -> LinearMap:
    """Every rigid map that `align_axes` chooses from, with a leading axis of 2 in 2-D and 4 in 3-D.

    >>> image = jnp.zeros((5, 5)).at[1:4, 2].set(1.0)
    >>> aligned_axes(image, image, Grid.of((5, 5)), Grid.of((5, 5))).matrix.shape
    (2, 2, 2)
    """
    _, fixed_axes = jnp.linalg.eigh(second_moments(fixed, fixed_grid))
    _, moving_axes = jnp.linalg.eigh(second_moments(moving, moving_grid))
    proper = jnp.sign(jnp.linalg.det(fixed_axes) * jnp.linalg.det(moving_axes))
    signs = jnp.asarray([s for s in itertools.product((1.0, -1.0), repeat=fixed_grid.ndim) if math.prod(s) > 0])
    signs = signs.at[:, 0].multiply(proper)
    matrices = jnp.einsum("ak, sk, bk -> sab", moving_axes, signs, fixed_axes, precision="highest")
    return about_centres(matrices, fixed, moving, fixed_grid, moving_grid)


def about_centres(
    matrices: jax.Array, fixed: jax.Array, moving: jax.Array, fixed_grid: Grid, moving_grid: Grid
) -> LinearMap:
    """Take the fixed image's centre of mass to the moving image's by each of the matrices (n, d, d).

    >>> image = jnp.zeros((3, 3)).at[1, 1].set(1.0)
    >>> about_centres(-jnp.eye(2)[None], image, image, Grid.of((3, 3)), Grid.of((3, 3))).offset
    Array([[2., 2.]], dtype=float32)
    """
    turned = jnp.matmul(matrices, centre_of_mass(fixed, fixed_grid), precision="highest")
    return LinearMap(matrices, centre_of_mass(moving, moving_grid) - turned)
