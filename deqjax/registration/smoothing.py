"""Gaussian smoothing along every axis, computed exactly as products with small matrices."""

import jax
import jax.numpy as jnp


def smooth(image: jax.Array, sigma: jax.Array) -> jax.Array:
    """Smooth the leading axes of an image with a Gaussian whose weights sum to 1, at the edges too.

    ``K[i, j] = exp(-(i - j)^2 / (2 sigma^2))`` with normalised rows is applied along each axis.

    Args:
      image: (*shape, *channels).
      sigma: standard deviations, (d,), in voxels, along each of the d leading axes; 0 leaves an axis unchanged.

    Returns:
      The smoothed image, (*shape, *channels).

    >>> smooth(jnp.array([[0.0, 8.0, 0.0]]), jnp.array([0.0, 0.5])).round()
    Array([[1., 6., 1.]], dtype=float32)
    """
    for axis, width in enumerate(sigma):
        position = jnp.arange(image.shape[axis], dtype=image.real.dtype)
        distance = (position[:, None] - position) / jnp.maximum(width, 1e-2)
        kernel = jnp.exp(-0.5 * distance**2)
        kernel = kernel / jnp.sum(kernel, axis=1, keepdims=True)
        image = multiply_axis(kernel, image, axis)
    return image


def multiply_axis(matrix: jax.Array, image: jax.Array, axis: int) -> jax.Array:
    """Multiply one axis of an array, of length n, by a matrix (m, n).

    >>> multiply_axis(jnp.ones((1, 3)), jnp.ones((2, 3)), axis=1)
    Array([[3.],
           [3.]], dtype=float32)
    """
    return jnp.moveaxis(jnp.tensordot(matrix, image, (1, axis), precision="highest"), 0, axis)
