"""Pixelwise error metrics: normalised mean squared error and peak signal-to-noise ratio."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from deqjax.metrics.volumes import nan_unless_finite, real_volumes, resolve_data_range


def nmse(image: ArrayLike, target: ArrayLike) -> jax.Array:
    """Return the normalised mean squared error of an image or a volume.

    ``|image - target|^2 / |target|^2``, where both norms are over the entire volume.

    Args:
        image: real magnitudes, (y, x) or (slice, y, x), any unit.
        target: the reference, same shape and unit.

    Returns:
        A scalar. For an all-zero target it is 0 if the image is all zero too, and ``inf`` otherwise. It is NaN if an
        input holds NaN or infinity. Negative values are allowed.

    Raises:
        ValueError: The shapes differ or are not (y, x) or (slice, y, x), or an input is complex.

    Source: Zbontar et al. 2018, fastMRI: an open dataset and benchmarks for accelerated MRI, evaluation metrics.

    >>> target = jnp.ones((2, 4, 4))
    >>> round(float(nmse(0.9 * target, target)), 4)
    0.01
    """
    image, target = real_volumes(image, target)
    scale = jnp.max(jnp.abs(target))
    scale = jnp.where(scale == 0, 1, scale)
    error, energy = jnp.sum(((image - target) / scale) ** 2), jnp.sum((target / scale) ** 2)
    return nan_unless_finite(jnp.where(error == 0, 0, error / energy), image, target)


def psnr(image: ArrayLike, target: ArrayLike, data_range: ArrayLike | None = None) -> jax.Array:
    """Return the peak signal-to-noise ratio of an image or a volume in dB.

    ``-10 log10(mean((image - target)^2) / data_range^2)``, with one mean over the entire volume.

    Args:
        image: real magnitudes, (y, x) or (slice, y, x), any unit.
        target: the reference, same shape and unit.
        data_range: a scalar, by default the maximum of the target over the volume, minus its minimum if that is
            negative, or 1 for an all-zero target.

    Returns:
        A scalar in dB. It is ``inf`` if image and target are equal, also if both are all zero, and NaN if an input
        holds NaN or infinity.

    Raises:
        ValueError: The shapes differ or are not (y, x) or (slice, y, x), an input is complex, or data_range <= 0.

    Source: Zbontar et al. 2018, fastMRI: an open dataset and benchmarks for accelerated MRI, evaluation metrics,
    with the volume maximum of fastMRI's ``evaluate.py``; equal to scikit-image's ``peak_signal_noise_ratio``.

    >>> target = jnp.ones((2, 4, 4))
    >>> round(float(psnr(0.9 * target, target)), 3)
    20.0
    """
    image, target = real_volumes(image, target)
    scale = resolve_data_range(target, data_range)
    error = jnp.mean(((image - target) / scale) ** 2)
    return nan_unless_finite(-10 * jnp.log10(error), image, target)
