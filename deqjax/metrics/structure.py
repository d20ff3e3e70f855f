"""Metrics of image structure: structural similarity and visual information fidelity."""

from math import exp

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from deqjax.metrics.volumes import nan_unless_finite, real_volumes, resolve_data_range
from deqjax.metrics.windows import window_mean, window_moments

SSIM_WINDOW = 7
SSIM_K1, SSIM_K2 = 0.01, 0.03

VIF_WINDOWS = (17, 9, 5, 3)
VIF_NOISE_VARIANCE = 2.0
VIF_TINY = 1e-10
SMALLEST_VIF_SIZE = 41
"""The smallest image size for which the fourth scale still contains one window."""


def ssim(image: ArrayLike, target: ArrayLike, data_range: ArrayLike | None = None) -> jax.Array:
    """Return the mean structural similarity of an image or a volume to its target; 1 if they are equal.

    Per pixel ``(2 m_a m_b + C1) (2 c_ab + C2) / ((m_a^2 + m_b^2 + C1) (v_a + v_b + C2))`` with means m and sample
    (co)variances v, c (n / (n - 1)) in a uniform 7 x 7 window, ``C1 = (0.01 data_range)^2`` and
    ``C2 = (0.03 data_range)^2``. The mean is taken over all windows inside the image, then over the slices. The result
    is differentiable.

    Args:
        image: real magnitudes, (y, x) or (slice, y, x), y and x at least 7, any unit.
        target: the reference, same shape and unit.
        data_range: a scalar, by default the maximum of the target over the volume, minus its minimum if that is
            negative, or 1 for an all-zero target. The result for such a target is finite: 1 for an all-zero image, less
            for any other.

    Returns:
        A scalar. It is NaN if an input holds NaN or infinity.

    Raises:
        ValueError: The shapes differ, have no (y, x) or are smaller than the window, an input is complex, or
            data_range <= 0.

    Source: Wang, Bovik, Sheikh, Simoncelli 2004, Image quality assessment: from error visibility to structural
    similarity, eq. 13, with the window of scikit-image's ``structural_similarity`` and of fastMRI.

    >>> ramp = jnp.outer(jnp.arange(8.0), jnp.arange(9.0))
    >>> [round(float(ssim(image, ramp)), 3) for image in (ramp, 0.9 * ramp, 0 * ramp)]
    [1.0, 0.989, 0.0]
    """
    image, target = real_volumes(image, target, smallest=SSIM_WINDOW)
    scale = resolve_data_range(target, data_range)
    return nan_unless_finite(_mean_similarity(image / scale, target / scale), image, target)


@jax.jit
def _mean_similarity(image: jax.Array, target: jax.Array) -> jax.Array:
    mean_a, mean_b, var_a, var_b, cov = window_moments(image, target, (1 / SSIM_WINDOW,) * SSIM_WINDOW)
    sample = SSIM_WINDOW**2 / (SSIM_WINDOW**2 - 1)
    luminance = (2 * mean_a * mean_b + SSIM_K1**2) / (mean_a**2 + mean_b**2 + SSIM_K1**2)
    structure = (2 * sample * cov + SSIM_K2**2) / (sample * (var_a + var_b) + SSIM_K2**2)
    return jnp.mean(luminance * structure)


def vif(image: ArrayLike, target: ArrayLike, data_range: ArrayLike | None = None) -> jax.Array:
    """Return the visual information fidelity in the pixel domain: the part of the target's information that is kept.

    ``sum log(1 + g^2 v / (s + 2)) / sum log(1 + v / 2)`` over 4 scales and all windows, with the variance v of the
    target, ``g = cov / v`` and ``s = var(image) - g cov``, on a scale of 0 to 255. The windows are Gaussian with
    N = 17, 9, 5, 3 pixels and standard deviation N / 5, at their 'valid' positions. Each scale after the first is
    filtered by its window, and every second pixel is kept. The result is the mean over the slices.

    Args:
        image: real magnitudes, (y, x) or (slice, y, x), y and x at least 41, any unit.
        target: the reference, same shape and unit.
        data_range: a scalar, the value that counts as 255, by default the maximum of the target over the volume, minus
            its minimum if that is negative.

    Returns:
        A scalar: 1 if image and target are equal, above 1 for an image of higher contrast. A slice whose target is
        flat contains no information to lose and counts as 1, so an all-zero target gives 1. The result is NaN if an
        input holds NaN or infinity.

    Raises:
        ValueError: The shapes differ, have no (y, x) or are smaller than 41, an input is complex, or data_range <= 0.

    Source: Sheikh and Bovik 2006, Image information and visual quality, in the pixel domain of the authors'
    ``vifp_mscale``; equal to sewar's ``vifp``.

    >>> ramp = jnp.outer(jnp.arange(48.0), jnp.arange(48.0))
    >>> [round(float(vif(image, ramp)), 3) for image in (ramp, 0.5 * ramp, 0 * ramp)]
    [1.0, 0.694, 0.0]
    """
    image, target = real_volumes(image, target, smallest=SMALLEST_VIF_SIZE)
    scale = resolve_data_range(target, data_range)
    return nan_unless_finite(_mean_fidelity(image / scale, target / scale), image, target)


@jax.jit
def _mean_fidelity(image: jax.Array, target: jax.Array) -> jax.Array:
    # Only variances matter. Without its mean a flat slice is exactly zero instead of rounding noise.
    image, target = (255 * (volume - volume.mean((-2, -1), keepdims=True)) for volume in (image, target))
    kept, available = jnp.zeros(len(target), target.dtype), jnp.zeros(len(target), target.dtype)
    for level, size in enumerate(VIF_WINDOWS):
        weights = _gaussian(size)
        if level > 0:
            image, target = (window_mean(volume, weights)[:, ::2, ::2] for volume in (image, target))
        _, _, var_image, var_target, cov = window_moments(image, target, weights)
        gain = jnp.where((var_target < VIF_TINY) | (var_image < VIF_TINY) | (cov < 0), 0, cov / (var_target + VIF_TINY))
        rest = jnp.maximum(var_image - gain * cov, VIF_TINY)
        kept += jnp.sum(jnp.log1p(gain**2 * var_target / (rest + VIF_NOISE_VARIANCE)), axis=(-2, -1))
        present = jnp.where(var_target < VIF_TINY, 0, var_target)
        available += jnp.sum(jnp.log1p(present / VIF_NOISE_VARIANCE), axis=(-2, -1))
    return jnp.mean(jnp.where(available == 0, 1, kept / jnp.where(available == 0, 1, available)))


def _gaussian(size: int) -> tuple[float, ...]:
    raw = [exp(-((i - size // 2) ** 2) / (2 * (size / 5) ** 2)) for i in range(size)]
    return tuple(value / sum(raw) for value in raw)
