"""Losses between predicted and measured k-space, with a weight for each sample."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike


def kspace_l1_l2(predicted: ArrayLike, measured: ArrayLike, weight: ArrayLike = 1.0) -> jax.Array:
    """Return ``|d|_2 / |y|_2 + |d|_1 / |y|_1`` with ``d = predicted - measured``, the mean over the batch.

    The norms are weighted: ``|d|_2 = sqrt(sum w |d|^2)`` and ``|d|_1 = sum w |d|``. ``|d|`` is the magnitude of a
    complex difference; the published code takes real and imaginary parts as separate numbers. An image without any
    weight or signal contributes 0.

    Args:
      predicted: (batch, [coil,] y, x) complex.
      measured: y, the same shape.
      weight: w, at least 0; broadcasts against the k-space. Samples of weight 0 may not hold NaN.

    Source: B. Yaman et al., "Self-supervised learning of physics-guided reconstruction neural networks without fully
    sampled reference data", Magn. Reson. Med. 84:3172, 2020 (there without weights).

    >>> kspace_l1_l2(jnp.array([[[3.0, 2.0]]]), jnp.array([[[2.0, 2.0]]]), jnp.array([[[1.0, 0.0]]]))
    Array(1., dtype=float32)
    """
    predicted, measured = jnp.asarray(predicted), jnp.asarray(measured)
    weight = jnp.broadcast_to(weight, measured.shape)
    difference, axes = predicted - measured, tuple(range(1, measured.ndim))

    def ratio(above: jax.Array, below: jax.Array) -> jax.Array:
        return jnp.where(below > 0, above / jnp.where(below > 0, below, 1), 0)

    squared = ratio(*(jnp.sum(weight * _power(values), axes) for values in (difference, measured)))
    euclidean = jnp.sqrt(jnp.where(squared > 0, squared, 1)) * (squared > 0)
    absolute = ratio(*(jnp.sum(weight * _magnitude(values), axes) for values in (difference, measured)))
    return jnp.mean(euclidean + absolute)


def weighted_l2(predicted: ArrayLike, measured: ArrayLike, weight: ArrayLike = 1.0) -> jax.Array:
    """Return ``sum w |predicted - measured|^2 / (y x)``, the mean over the batch.

    The sum runs over coils and samples, and is divided by the number of pixels. With the mask over the sampling density
    as the weight, its mean over masks is the squared error of the fully sampled k-space, which is the mean squared
    error of the image, because the transform is orthonormal.

    Args:
      predicted: (batch, [coil,] y, x) complex.
      measured: the same shape.
      weight: w, broadcasts against the k-space.

    >>> weighted_l2(jnp.array([[[3.0, 2.0]]]), jnp.array([[[1.0, 2.0]]]))
    Array(2., dtype=float32)
    """
    difference = jnp.asarray(predicted) - jnp.asarray(measured)
    size = difference.shape[-2] * difference.shape[-1]
    return jnp.mean(jnp.sum(weight * _power(difference), tuple(range(1, difference.ndim)))) / size


def kspace_smooth_l1(predicted: ArrayLike, measured: ArrayLike, weight: ArrayLike = 1.0) -> jax.Array:
    """Return the smooth l1 loss of real and imaginary parts, ``sum w h(d) / (2 y x)``, the mean over the batch.

    ``h(d) = d^2 / 2`` for ``|d| < 1``, else ``|d| - 1/2``, of residuals d of the Fourier transform without
    normalisation, which are ``sqrt(y x)`` times those of the orthonormal one; the result is divided by ``sqrt(y x)``.

    Args:
      predicted: (batch, [coil,] y, x) complex.
      measured: the same shape.
      weight: w, broadcasts against the k-space.

    Source: W. Gan et al., "Deformation-compensated learning for image reconstruction without ground truth", IEEE Trans.
    Med. Imaging 41:2371, 2022, whose code uses it.

    >>> kspace_smooth_l1(jnp.array([[[3.0 + 0j]]]), jnp.array([[[1.0 + 0.5j]]]))
    Array(0.8125, dtype=float32)
    """
    difference = jnp.asarray(predicted) - jnp.asarray(measured)
    size = difference.shape[-2] * difference.shape[-1]
    parts = size**0.5 * jnp.stack([difference.real, difference.imag])
    length = jnp.abs(parts)
    loss = jnp.where(length < 1, parts**2 / 2, length - 0.5)
    return jnp.mean(jnp.sum(weight * jnp.sum(loss, 0), tuple(range(1, difference.ndim)))) / (2 * size**1.5)


def _power(values: jax.Array) -> jax.Array:
    return values.real**2 + values.imag**2


def _magnitude(values: jax.Array) -> jax.Array:
    """Return ``|v|`` with the gradient 0 at 0."""
    power = _power(values)
    return jnp.sqrt(jnp.where(power > 0, power, 1)) * (power > 0)
