"""The centred orthonormal Fourier transform in NumPy, for code that runs on the host."""

import numpy as np

AXES = (-2, -1)


def fft2c(image: np.ndarray) -> np.ndarray:
    """Transform images to k-space over the last two axes: ``fftshift(fft2(ifftshift(image), norm="ortho"))``.

    This is the convention of fastMRI's ``fft2c``, for even and odd sizes; complex64 stays complex64.

    Args:
      image: (..., y, x), real or complex.

    Returns:
      k-space of the same shape, with the zero frequency at ``(y // 2, x // 2)``.

    >>> fft2c(np.ones((2, 2), np.complex64)).real.round(3)
    array([[0., 0.],
           [0., 2.]], dtype=float32)
    """
    return np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(image, AXES), norm="ortho"), AXES)


def ifft2c(kspace: np.ndarray) -> np.ndarray:
    """Transform k-space (..., y, x) to images; this is the inverse and the adjoint of `fft2c`.

    >>> image = np.arange(6, dtype=np.complex64).reshape(2, 3)
    >>> bool(np.allclose(ifft2c(fft2c(image)), image, atol=1e-6))
    True
    """
    return np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(kspace, AXES), norm="ortho"), AXES)


def fft1c(image: np.ndarray, axis: int) -> np.ndarray:
    """Apply the centred orthonormal transform along one axis; `fft2c` is this transform along y and along x.

    >>> fft1c(np.ones(4, np.complex64), axis=0).real.round(3) + 0
    array([0., 0., 2., 0.], dtype=float32)
    """
    return np.fft.fftshift(np.fft.fft(np.fft.ifftshift(image, axis), axis=axis, norm="ortho"), axis)


def ifft1c(kspace: np.ndarray, axis: int) -> np.ndarray:
    """Apply the inverse of `fft1c`, which is also its adjoint, along one axis.

    >>> ifft1c(np.array([0, 0, 2, 0], np.complex64), axis=0).real.round(3)
    array([1., 1., 1., 1.], dtype=float32)
    """
    return np.fft.fftshift(np.fft.ifft(np.fft.ifftshift(kspace, axis), axis=axis, norm="ortho"), axis)
