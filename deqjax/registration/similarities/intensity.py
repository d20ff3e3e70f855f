"""Intensities without unit and offset, so that no similarity depends on the unit in which an image is stored."""

import jax
import jax.numpy as jnp

from deqjax.scaling import PowerOfTwo, power_of_two_scale


def standardised(image: jax.Array, mask: jax.Array) -> tuple[jax.Array, PowerOfTwo]:
    """Subtract the mean over the mask, and scale by the power of two that brings the largest part in it to [0.5, 1).

    The scale has no derivative; the similarities that use it do not change with the scale. The mean is taken of the
    scaled image, so that sums of large values do not overflow.

    Args:
      image: real.
      mask: weights of the same shape.

    Returns:
      The standardised image, and the scale of the second step times that of the first.

    >>> image, _ = standardised(jnp.array([-4096.0, 4096.0, 7.0]), jnp.array([1.0, 1.0, 0.0]))
    >>> image[:2]
    Array([-0.5,  0.5], dtype=float32)
    """
    inside = mask > 0
    raw = power_of_two_scale(jnp.where(inside, image, 0))
    image = raw.apply(image)
    image = image - jnp.sum(jnp.where(inside, mask * image, 0)) / jnp.sum(mask)
    fine = power_of_two_scale(jnp.where(inside, image, 0))
    both = PowerOfTwo(raw.first.reshape(()) * fine.first.reshape(()), raw.second.reshape(()) * fine.second.reshape(()))
    return fine.apply(image), both
