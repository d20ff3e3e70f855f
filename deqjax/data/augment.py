"""Random augmentation of fully sampled k-space, and the part of it that is exact for undersampled k-space."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from deqjax.data.fourier_numpy import fft1c, fft2c, ifft1c, ifft2c
from deqjax.data.random_fields import plane_waves


@dataclass(frozen=True)
class Augment:
    """Change the image of a slice at random, in the same way for all coils: ``kspace -> F(change(F^-1 kspace))``.

    The changes are applied in this order: crop, flips, transpose, phase, gamma, gain. The default settings change
    nothing. :meth:`measured` applies those that undersampled k-space allows.

    Attributes:
      flips: reverse each axis with probability 1/2, or the axis y only.
      transpose: transpose a square image with probability 1/2.
      crop: the size (y, x) of a window at a random position in the image.
      phase: multiply by ``exp(i p)`` with a smooth random map p, in radians; this is the limit of ``max |p|``, which is
        drawn uniformly below it.
      constant_phase: multiply by ``exp(i p)`` with one p for the entire image, uniform in [0, 2 pi).
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

    flips: bool | Literal["y"] = False
    transpose: bool = False
    crop: tuple[int, int] | None = None
    phase: float = 0.0
    constant_phase: bool = False
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
            image = image[..., :: rng.choice((1, -1)), :]
            image = image if self.flips == "y" else image[..., :: rng.choice((1, -1))]
        if self.transpose:
            if image.shape[-1] != image.shape[-2]:
                raise ValueError(
                    f"augment.transpose needs square images, but this one is (y, x) = {image.shape[-2:]}; set "
                    "data.crop or augment.crop to a square"
                )
            image = np.swapaxes(image, -1, -2) if rng.uniform() < 0.5 else image
        if self.phase:
            image = image * np.exp(1j * self.phase * _smooth_map(image.shape[-2:], rng))
        if self.constant_phase:
            image = image * np.exp(2j * np.pi * rng.uniform())
        if self.gamma:
            image = image * _contrast(image, np.exp(rng.uniform(-self.gamma, self.gamma)) - 1)
        if self.gain:
            image = image * np.exp(rng.uniform(-self.gain, self.gain))
        return fft2c(image.astype(np.complex64))

    def check_measured(self, shape: tuple[int, ...], mask_shape: tuple[int, ...]) -> None:
        """Check that every change is exact for k-space with lines left out along x.

        The changed k-space must be that of the changed object under the same mask. Whatever mixes lines needs the lines
        that were not measured.

        Args:
          shape: of the k-space, ([coil,] y, x).
          mask_shape: of the mask, (1, x) for lines, (y, x) for points.

        Raises:
          ValueError: a change is not exact.
        """
        lines = mask_shape[-2] == 1
        refused = {
            'flips = true: a flip of x needs the mirrored mask; use flips = "y"': self.flips is True,
            "transpose: it exchanges the axis along which lines are left out": self.transpose,
            "phase: a smooth phase mixes the lines; use constant_phase = true": self.phase > 0,
            "gamma: the contrast is changed in the image": self.gamma > 0,
            "gain: it changes the level of the noise": self.gain > 0,
            f"crop = {self.crop}: only rows can be cropped, use [rows, {shape[-1]}]": (
                self.crop is not None and self.crop[1] != shape[-1]
            ),
            "crop and flips: the mask leaves out points and not lines": (
                not lines and bool(self.crop is not None or self.flips)
            ),
        }
        for reason, applies in refused.items():
            if applies:
                raise ValueError(f"undersampled k-space of shape {shape} does not allow augment.{reason}")

    def measured(self, kspaces: Sequence[np.ndarray], rng: np.random.Generator) -> list[np.ndarray]:
        """Apply one random change to several k-spaces of one object with lines left out along x.

        A crop of rows and a flip of y are made after a transform along y alone, which leaves every line by itself:
        ``y' = F_y change(F_y^-1 y)``. Lines that were not measured therefore change nothing else, and the noise stays
        white with the same standard deviation. Call :meth:`check_measured` first.

        >>> line = np.zeros((6, 4), np.complex64)
        >>> line[:, 1] = 1
        >>> Augment(crop=(4, 4)).measured([line], np.random.default_rng(0))[0][:, 2].any()
        np.False_
        """
        if self == Augment():
            return list(kspaces)
        rows = kspaces[0].shape[-2]
        top, keep, step = self._rows(rows, rng)
        factor = np.complex64(np.exp(2j * np.pi * rng.uniform()) if self.constant_phase else 1.0)
        if keep == rows and step == 1:
            return [factor * kspace for kspace in kspaces]
        return [factor * fft1c(ifft1c(kspace, -2)[..., top : top + keep, :][..., ::step, :], -2) for kspace in kspaces]

    def field(self, vectors: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Apply to a field of vectors (y, x, 2) along y and x what :meth:`measured` does with an equal generator.

        >>> Augment(flips="y").field(np.ones((2, 2, 2)), np.random.default_rng(1))[0, 0]
        array([1., 1.])
        """
        top, keep, step = self._rows(vectors.shape[0], rng)
        return vectors[top : top + keep][::step] * np.array([step, 1], vectors.dtype)

    def _rows(self, rows: int, rng: np.random.Generator) -> tuple[int, int, int]:
        """Draw the first row and the number of rows of the crop, and their order, 1 or -1."""
        keep = rows if self.crop is None else self.crop[0]
        if keep > rows:
            raise ValueError(f"augment.crop {self.crop} has more rows than the image, which has {rows}")
        return int(rng.integers(rows - keep + 1)), keep, int(rng.choice((1, -1))) if self.flips else 1


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
