"""Coil images to one image, and coil sensitivities from the calibration lines."""

import jax
import jax.numpy as jnp
import numpy as np

from deqjax.physics.fourier import hann, ifft2c


def rss(images: jax.Array, axis: int = -3) -> jax.Array:
    """Combine coil images by the root of the sum of squares, ``sqrt(sum_c |x_c|^2)``.

    Args:
      images: (..., coil, y, x) complex.
      axis: the coil axis.

    Returns:
      (..., y, x) real, in the units of the images.

    Source: P. B. Roemer et al., "The NMR phased array", Magn. Reson. Med. 16:192, 1990, eq. 27.

    >>> float(rss(jnp.array([3.0, 4.0]).reshape(2, 1, 1))[0, 0])
    5.0
    """
    energy = jnp.sum(images.real**2 + images.imag**2, axis=axis)
    return jnp.where(energy > 0, jnp.sqrt(jnp.where(energy > 0, energy, 1)), 0)  # the root has no slope at zero


def combine_coils(images: jax.Array, smaps: jax.Array) -> jax.Array:
    """Combine coil images with their sensitivities, ``sum_c conj(s_c) x_c``, the least-squares image on the support.

    Args:
      images: (..., coil, y, x) complex.
      smaps: (..., coil, y, x), sum of squared magnitudes over the coils 1 on the support.

    Source: Roemer et al. 1990, eq. 26, for white noise.

    >>> smaps = jnp.full((2, 1, 1), 0.5**0.5)
    >>> round(float(combine_coils(3 * smaps, smaps)[0, 0]), 5)
    3.0
    """
    return jnp.sum(jnp.conj(smaps) * images, axis=-3)


def check_coil_axis(kspace: jax.Array) -> None:
    """Refuse k-space without the axes (..., coil, y, x), with a ValueError."""
    if kspace.ndim < 3:
        raise ValueError(f"kspace needs the axes (..., coil, y, x); it has shape {kspace.shape}")


def calibration_size(size: int, center_fraction: float) -> tuple[int, int]:
    """First index and number of the fully sampled centre lines, as the masks draw them.

    >>> calibration_size(368, 0.08)
    (170, 29)
    """
    number = round(size * center_fraction)
    return (size - number + 1) // 2, number


def low_resolution_images(kspace: jax.Array, center_fraction: float) -> jax.Array:
    """Make coil images of the calibration square, ``x_c = F^H (h y_c)`` with a Hann window h; the largest is 1.

    ``kspace`` is (..., coil, y, x), and so are the images. Raises ValueError for no coil axis, or a square of fewer
    than 2 lines.

    >>> low_resolution_images(jnp.ones((3, 32, 32), complex), 0.25).shape
    (3, 32, 32)
    """
    check_coil_axis(kspace)
    window = np.ones((1, 1))
    for axis, size in ((-2, kspace.shape[-2]), (-1, kspace.shape[-1])):
        start, number = calibration_size(size, center_fraction)
        if number < 2:
            raise ValueError(
                f"center_fraction {center_fraction} of {size} leaves {number} calibration lines along "
                f"{'y' if axis == -2 else 'x'}; coil maps need at least 2"
            )
        taper = hann(np.arange(size) - (start + (number - 1) / 2), number + 1)
        window = window * (taper[:, None] if axis == -2 else taper[None, :])
    images = ifft2c(jnp.asarray(window, kspace.real.dtype) * kspace)
    largest = jnp.max(jnp.abs(images), axis=(-3, -2, -1), keepdims=True)
    return images / jnp.where(largest > 0, largest, 1)


def low_resolution_smaps(kspace: jax.Array, center_fraction: float = 0.08) -> jax.Array:
    """Estimate coil sensitivities as the low-resolution coil images divided by their root sum of squares.

    ``s_c = x_c / rss(x)`` with ``x_c = F^H (h y_c)``, where ``h`` is a Hann window over the calibration square. The
    common phase of the object stays in the maps, so that the combined image is nearly real.

    Args:
      kspace: (..., coil, y, x); only the calibration square is read, so it may be undersampled outside.
      center_fraction: side of the square as a fraction of y and of x.

    Returns:
      (..., coil, y, x) complex; the sum of squared magnitudes is 1 wherever any coil has signal, else 0.

    Raises:
      ValueError: no coil axis, or a calibration square of fewer than 2 lines.

    Source: C. A. McKenzie et al., "Self-calibrating parallel imaging with automatic coil sensitivity extraction",
    Magn. Reson. Med. 47:529, 2002.

    >>> from deqjax.physics import fft2c
    >>> smaps = low_resolution_smaps(fft2c(jnp.ones((3, 32, 32), complex)), center_fraction=0.25)
    >>> bool(jnp.allclose(rss(smaps), 1, atol=1e-5))
    True
    """
    images = low_resolution_images(kspace, center_fraction)
    combined = rss(images)[..., None, :, :]
    return jnp.where(combined > 0, images / jnp.where(combined > 0, combined, 1), 0)
