"""Errors of complex images on the object: of the phase, and of the magnitude in the mean."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from deqjax.metrics.volumes import check_same_shape, nan_unless_finite

OBJECT_THRESHOLD = 0.1
"""The object is where the target is above this part of its maximum."""


def phase_error(image: ArrayLike, target: ArrayLike) -> jax.Array:
    """Return the mean absolute phase error of a complex image or volume on the object, in radians.

    ``mean |angle(image conj(target))|`` over the object, which is where ``|target| > 0.1 max |target|`` with the
    maximum over the entire volume. Outside it the phase is that of noise.

    Args:
        image: complex, (y, x) or (slice, y, x).
        target: the reference, same shape.

    Returns:
        A scalar from 0 to pi. It is 0 for an all-zero target, and NaN if an input holds NaN or infinity.

    Raises:
        ValueError: The shapes differ.

    >>> round(float(phase_error(jnp.array([[1j, 1, 1j]]), jnp.array([[1, 1, 0.01]]))), 4)
    0.7854
    """
    image, target = jnp.asarray(image), jnp.asarray(target)
    inside = _object(image, target)
    angle = jnp.abs(jnp.angle(image * jnp.conj(target)))
    return nan_unless_finite(_mean(angle, inside), image, target)


def magnitude_bias(image: ArrayLike, target: ArrayLike) -> jax.Array:
    """Return how much too bright the object is in the mean, as a part of its brightness; negative if it is too dark.

    ``sum(|image| - |target|) / sum |target|`` over the object, which is that of :func:`phase_error`. A loss of the
    complex difference prefers a magnitude that is too small where the phase is uncertain: the expectation of
    ``e^(i phase)`` is shorter than 1.

    Args:
        image: real or complex, (y, x) or (slice, y, x), any unit.
        target: the reference, same shape and unit.

    Returns:
        A scalar. It is 0 for an all-zero target, and NaN if an input holds NaN or infinity.

    Raises:
        ValueError: The shapes differ.

    Source of the argument: Terpstra, Maspero, Sbrizzi, van den Berg 2022, ⊥-loss: a symmetric loss function for
    magnetic resonance imaging reconstruction and image registration with deep learning, Medical Image Analysis
    80:102509.

    >>> round(float(magnitude_bias(0.9j * jnp.ones((4, 4)), jnp.ones((4, 4)))), 4)
    -0.1
    """
    image, target = jnp.asarray(image), jnp.asarray(target)
    inside = _object(image, target)
    brightness = _mean(jnp.abs(target), inside)
    difference = _mean(jnp.abs(image) - jnp.abs(target), inside)
    return nan_unless_finite(difference / jnp.where(brightness == 0, 1, brightness), image, target)


def _object(image: jax.Array, target: jax.Array) -> jax.Array:
    check_same_shape(image, target)
    magnitude = jnp.abs(target)
    return magnitude > OBJECT_THRESHOLD * jnp.max(magnitude)


def _mean(values: jax.Array, inside: jax.Array) -> jax.Array:
    return jnp.sum(jnp.where(inside, values, 0)) / jnp.maximum(jnp.sum(inside), 1)
