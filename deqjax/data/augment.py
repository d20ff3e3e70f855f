"""Random augmentation of fully sampled k-space."""

from dataclasses import dataclass

import numpy as np

from deqjax.data.fourier_numpy import fft2c, ifft2c
from deqjax.data.random_fields import plane_waves


@dataclass(frozen=True)
class Augment:
    """Change the image of a slice at random, in the same way for all coils: ``kspace -> F(change(F^-1 kspace))``.

    The changes are applied in this order: crop, flips, transpose, phase, gamma, gain. The default settings change
    nothing.

    Attributes:
      flips: reverse each axis with probability 1/2.
      transpose: transpose a square image with probability 1/2.
      crop: the size (y, x) of a window at a random position in the image.
      phase: multiply by ``exp(i p)`` with a smooth random map p, in radians; this is the limit of ``max |p|``, which is
        drawn uniformly below it.
      gamma: replace the magnitude by ``m (m / max m)^(e^u - 1)`` with u uniform in ``[-gamma, gamma]``, where m is the
        root of the sum of squares over the coils.
      gain: multiply by ``e^u`` with u uniform in ``[-gain, gain]``.

    Call an instance with k-space (y, x) or (coil, y, x) and a NumPy ``Generator``; it returns k-space.

    Raises:
      ValueError: an amplitude is negative, the crop is larger than the image, or an image to be transposed is not
        square.

    Source: Fabian, Heckel, Soltanolkotabi, "Data augmentation for deep learning based accelerated MRI reconstruction
    with limited data", ICML 2021 (arXiv:2106.14947), which augments in the image domain and not in k-space.

    >>> augment = Augment(flips=True, crop=(4, 4), phase=1.0)
    >>> augment(np.ones((2, 8, 6), np.complex64), np.random.default_rng(0)).shape
    (2, 4, 4)
    """

    flips: bool = False
    transpose: bool = False
    crop: tuple[int, int] | None = None
    phase: float = 0.0
    gamma: float = 0.0
    gain: float = 0.0

    def __post_init__(self) -> None:
        for name in ("phase", "gamma", "gain"):
            if not 0 <= getattr(self, name) < np.inf:
                raise ValueError(
                    f"augment.{name} is an amplitude, which must be finite and not negative; got {getattr(self, name)}"
                )
        if self.crop is not None and (len(self.crop) != 2 or min(self.crop) < 1):
            raise ValueError(f"augment.crop must be two sizes (y, x) of at least 1, got {self.crop}")
        if self.transpose and self.crop is not None and self.crop[0] != self.crop[1]:
            raise ValueError(f"augment.transpose needs a square augment.crop, got {self.crop}")

    def __call__(self, kspace: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if self == Augment():
            return kspace
        image = ifft2c(kspace)
        if self.crop is not None:
            image = _random_window(image, self.crop, rng)
        if self.flips:
            image = image[..., :: rng.choice((1, -1)), :: rng.choice((1, -1))]
        if self.transpose:
            if image.shape[-1] != image.shape[-2]:
                raise ValueError(
                    f"augment.transpose needs square images, but this one is (y, x) = {image.shape[-2:]}; set "
                    "data.crop or augment.crop to a square"
                )
            image = np.swapaxes(image, -1, -2) if rng.uniform() < 0.5 else image
        if self.phase:
            image = image * np.exp(1j * self.phase * _smooth_map(image.shape[-2:], rng))
        if self.gamma:
            image = image * _contrast(image, np.exp(rng.uniform(-self.gamma, self.gamma)) - 1)
        if self.gain:
            image = image * np.exp(rng.uniform(-self.gain, self.gain))
        return fft2c(image.astype(np.complex64))


def _random_window(image: np.ndarray, crop: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Cut a window of size ``crop`` (y, x) out of the image at a random position."""
    if any(keep > size for keep, size in zip(crop, image.shape[-2:])):
        raise ValueError(
            f"augment.crop {crop} is larger than the image (y, x) = {image.shape[-2:]}; choose a smaller crop"
        )
    top, left = (int(rng.integers(size - keep + 1)) for size, keep in zip(image.shape[-2:], crop))
    return image[..., top : top + crop[0], left : left + crop[1]]


def _smooth_map(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Return a random map (y, x) with about one wave across the image and ``max |map|`` uniform in [0, 1]."""
    y, x = (np.linspace(-0.5, 0.5, size, dtype=np.float32) for size in shape)
    field = plane_waves(rng, (y[:, None], x), frequency=0.6, count=6)
    return field * (rng.uniform() / (np.abs(field).max() + 1e-12))


def _contrast(image: np.ndarray, exponent: float) -> np.ndarray:
    """Return the factor ``(m / max m) ** exponent`` of every pixel; it is 0 where m is 0."""
    magnitude = np.sqrt((np.abs(image.reshape(-1, *image.shape[-2:])) ** 2).sum(axis=0))
    relative = magnitude / (magnitude.max() + np.float32(1e-30))
    return np.power(relative, exponent, where=relative > 0, out=np.zeros_like(relative))
