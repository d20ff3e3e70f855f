"""Crops of images and of k-space: to a smaller field of view, or to a lower resolution."""

import math

import numpy as np

from deqjax.data.fourier_numpy import fft2c, ifft2c


def crop_image(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Keep the middle of images, from the index ``start = (N - n) // 2`` along each axis.

    Args:
      image: (..., Y, X).
      shape: the size (y, x) to keep.

    Returns:
      The cropped images (..., y, x).

    Raises:
      ValueError: the shape is larger than the image.

    Source: Zbontar et al., "fastMRI: An Open Dataset and Benchmarks for Accelerated MRI", arXiv:1811.08839, 2018
    (``center_crop`` in ``fastmri/data/transforms.py``).

    >>> crop_image(np.arange(10).reshape(2, 5), (2, 2))
    array([[1, 2],
           [6, 7]])
    """
    rows, columns = (_window((size - keep) // 2, keep) for size, keep in _sizes("image", image, shape))
    return image[..., rows, columns]


def crop_kspace(kspace: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Keep the middle of k-space, from the index ``start = N // 2 - n // 2`` along each axis.

    The zero frequency stays at the centre sample ``n // 2``. The values are not changed; `lower_resolution` also
    corrects the scale of the image.

    Args:
      kspace: (..., Y, X).
      shape: the size (y, x) to keep.

    Returns:
      The cropped k-space (..., y, x).

    Raises:
      ValueError: the shape is larger than the k-space.

    >>> crop_kspace(np.arange(6)[None], (1, 3))
    array([[2, 3, 4]])
    """
    rows, columns = (_window(size // 2 - keep // 2, keep) for size, keep in _sizes("kspace", kspace, shape))
    return kspace[..., rows, columns]


def crop_field_of_view(kspace: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Crop k-space to a **smaller field of view** at the same pixel size: ``F crop_image(F^-1 kspace)``.

    The transform acts on each coil separately and keeps the intensity of the image. fastMRI compares images after
    this crop.

    Args:
      kspace: (..., Y, X).
      shape: the size (y, x) to keep.

    Returns:
      The k-space (..., y, x) of the cropped images.

    Raises:
      ValueError: the shape is larger than the k-space.

    Source: Zbontar et al., arXiv:1811.08839, 2018, "Knee emulated single-coil", and the cropping of its baselines.

    >>> crop_field_of_view(fft2c(np.eye(4, dtype=np.complex64)), (2, 2)).real.round(3) + 0
    array([[1., 0.],
           [0., 1.]], dtype=float32)
    """
    _sizes("kspace", kspace, shape)
    return fft2c(crop_image(ifft2c(kspace), shape))


def lower_resolution(kspace: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Crop k-space to **larger pixels** over the same field of view: ``crop_kspace(kspace) sqrt(y x / (Y X))``.

    This is a low-pass filter with a sharp edge, so that contours in the image show ringing. The factor keeps the
    intensity of the image: the orthonormal transform of fewer samples would raise it by ``sqrt(Y X / (y x))``.

    Args:
      kspace: (..., Y, X).
      shape: the size (y, x) to keep.

    Returns:
      The k-space (..., y, x) of the image at the lower resolution.

    Raises:
      ValueError: the shape is larger than the k-space.

    >>> ifft2c(lower_resolution(fft2c(np.full((4, 6), 3, np.complex64)), (2, 3))).real.round(3)
    array([[3., 3., 3.],
           [3., 3., 3.]], dtype=float32)
    """
    small = crop_kspace(kspace, shape)
    return small * np.float32(math.sqrt(math.prod(shape) / math.prod(kspace.shape[-2:])))


def _window(start: int, length: int) -> slice:
    return slice(start, start + length)


def _sizes(name: str, data: np.ndarray, shape: tuple[int, int]) -> list[tuple[int, int]]:
    """Return the pairs (size, keep) of the axes y and x; raise a ValueError if the crop does not fit."""
    if data.ndim < 2 or len(shape) != 2:
        raise ValueError(f"{name} must be (..., y, x) and the crop (y, x); got shapes {data.shape} and {tuple(shape)}")
    pairs = list(zip(data.shape[-2:], shape))
    if any(not 0 < keep <= size for size, keep in pairs):
        raise ValueError(
            f"cannot crop {name} of shape {data.shape} to (y, x) = {tuple(shape)}: each must be at least 1 and at most "
            f"{tuple(data.shape[-2:])}; choose a smaller crop"
        )
    return pairs
