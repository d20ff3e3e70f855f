"""The Fourier transform between a grid and the samples of a trajectory, by jax-finufft."""

import math
from types import ModuleType

import jax
import jax.numpy as jnp


def sample_grid(images: jax.Array, trajectory: jax.Array, tolerance: float = 1e-6) -> jax.Array:
    """Sample the k-space of images along a trajectory.

    ``y_k = sum_r x(r) exp(-2 pi i k r / N) / sqrt(Y X)``, r from ``-(N // 2)`` along each axis: on the points of the
    grid it equals ``fft2c``.

    Args:
      images: (..., y, x) complex.
      trajectory: (spoke, sample, 2), ky and kx in cycles per field of view.
      tolerance: relative error.

    Returns:
      (..., spoke, sample).

    Raises:
      ImportError: jax-finufft is not installed.

    Source: Barnett, Magland, af Klinteberg, SIAM J. Sci. Comput. 41:C479, 2019, type 2.

    >>> import pytest
    >>> finufft = pytest.importorskip("jax_finufft")  # the extra nufft
    >>> sample_grid(jnp.ones((5, 8, 8), complex), jnp.zeros((3, 16, 2))).shape
    (5, 3, 16)
    """
    size = images.shape[-2:]
    stack = images.reshape(-1, *size) + 0j  # its own batch axis: all images share the points
    samples = _finufft().nufft2(stack, *_points(trajectory, size, stack.real.dtype), iflag=-1, eps=tolerance)
    return samples.reshape(*images.shape[:-2], *trajectory.shape[:-1]) / math.prod(size) ** 0.5


def grid_samples(kspace: jax.Array, trajectory: jax.Array, size: tuple[int, ...], tolerance: float = 1e-6) -> jax.Array:
    """Apply the adjoint of :func:`sample_grid`: ``x(r) = sum_k y_k exp(2 pi i k r / N) / sqrt(Y X)``.

    Args:
      kspace: (..., spoke, sample) complex.
      trajectory: (spoke, sample, 2), ky and kx in cycles per field of view.
      size: (y, x) of the image.
      tolerance: relative error.

    Returns:
      (..., y, x).

    Raises:
      ImportError: jax-finufft is not installed.

    Source: Barnett, Magland, af Klinteberg, SIAM J. Sci. Comput. 41:C479, 2019, type 1.

    >>> import pytest
    >>> finufft = pytest.importorskip("jax_finufft")  # the extra nufft
    >>> grid_samples(jnp.ones((5, 3, 16), complex), jnp.zeros((3, 16, 2)), (8, 8)).shape
    (5, 8, 8)
    """
    stack = kspace.reshape(-1, math.prod(trajectory.shape[:-1])) + 0j
    images = _finufft().nufft1(size, stack, *_points(trajectory, size, stack.real.dtype), iflag=1, eps=tolerance)
    return images.reshape(*kspace.shape[:-2], *size) / math.prod(size) ** 0.5


def _points(trajectory: jax.Array, size: tuple[int, ...], dtype: jnp.dtype) -> tuple[jax.Array, jax.Array]:
    """Radians a grid step, as the library wants them: in the real type of the images."""
    radians = 2 * math.pi * jnp.asarray(trajectory, dtype).reshape(-1, 2) / jnp.asarray(size, dtype)
    return radians[:, 0], radians[:, 1]


def _finufft() -> ModuleType:
    try:
        import jax_finufft
    except ImportError as error:
        raise ImportError(
            "non-Cartesian sampling needs jax-finufft, which is not installed: pip install 'deqjax[nufft]'"
        ) from error
    return jax_finufft
