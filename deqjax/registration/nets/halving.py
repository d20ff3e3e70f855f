"""What networks do to their images first: the scale of the values, and images and grids that are half as fine."""

import jax
import jax.numpy as jnp

from deqjax.registration.grid import Grid


def scaled_image(image: jax.Array) -> jax.Array:
    """Divide an image by ``sum I^2 / sum |I|``, its mean weighted by itself: zeros around the object change nothing.

    >>> scaled_image(jnp.array([[0.0, 4.0, 4.0]]))
    Array([[0., 1., 1.]], dtype=float32)
    """
    return image * jnp.sum(jnp.abs(image)) / jnp.maximum(jnp.sum(image**2), jnp.finfo(image.dtype).tiny)


def halve(values: jax.Array, ndim: int) -> jax.Array:
    """Average blocks of 2 voxels along each axis; the last voxel of an odd number is repeated.

    Args:
      values: (*shape, *channels).
      ndim: the number of spatial axes.

    >>> halve(jnp.array([[0.0, 2.0, 7.0]]), 2)
    Array([[1., 7.]], dtype=float32)
    """
    for axis in range(ndim):
        n = values.shape[axis]
        first, second = jnp.arange(0, n, 2), jnp.minimum(jnp.arange(1, n + 1, 2), n - 1)
        values = (jnp.take(values, first, axis=axis) + jnp.take(values, second, axis=axis)) / 2
    return values


def halved_grid(grid: Grid) -> Grid:
    """Return the grid of the blocks of `halve`.

    >>> halved_grid(Grid.of((3, 4))).points()[0]
    Array([[0.5, 0.5],
           [0.5, 2.5]], dtype=float32)
    """
    coarse = grid.strided((2,) * grid.ndim)
    return Grid(coarse.affine.at[:-1, -1].set(grid.world(jnp.full(grid.ndim, 0.5))), coarse.shape, grid.place)
