"""Partial-Fourier masks: one side of k-space and a part of the other, alone or combined with another pattern."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from deqjax.masks.mask_grid import grid_of, mask_of_lines
from deqjax.masks.mask_settings import Seed
from deqjax.types import Mask


@dataclass(frozen=True)
class PartialFourier:
    """Sample a fraction of k-space, from one end to beyond the centre.

    Of ``size`` lines along ``axis``, the first ("low") or the last ("high") ``ceil(fraction * size)`` are kept; with a
    ``pattern``, only those of its points that lie there. The middle ``2 fraction - 1`` of the lines is symmetric.
    ``deqjax.physics.pocs`` and ``conjugate_symmetry`` estimate from it the phase that completes the image.

    ``mask(shape, seed, padding=None)`` returns float32, (1, x) or (y, 1) without a pattern, and otherwise what this
    shape and that of the pattern's mask broadcast to; the pattern receives the seed and the padding. See
    `deqjax.types.Mask` for the arguments.

    Args:
        fraction: part of the lines that is kept, in (0.5, 1].
        side: the end that is kept, "low" or "high".
        axis: "x", the phase encoding of fastMRI's files (partial Fourier), or "y", their readout (partial echo).
        pattern: the mask to combine with, or None.

    Raises:
        ValueError: An argument is out of its range, or, when called, there are so few lines that the centre is not
            kept.

    Source: Feinberg, Hale, Watts, Kaufman, Mark, "Halving MR imaging time by conjugation: demonstration at 3.5 kG",
    Radiology 161:527-531, 1986.

    >>> PartialFourier(fraction=0.6)((4, 10), seed=0)
    array([[1., 1., 1., 1., 1., 1., 0., 0., 0., 0.]], dtype=float32)
    """

    fraction: float = 0.625
    side: Literal["low", "high"] = "low"
    axis: Literal["y", "x"] = "x"
    pattern: Mask | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.fraction, int | float) or not 0.5 < self.fraction <= 1:
            raise ValueError(
                f"fraction must lie in (0.5, 1], got {self.fraction!r}: it is the part of the lines that is sampled, "
                "and at most one half can be reconstructed from the other"
            )
        if self.side not in ("low", "high"):
            raise ValueError(f'side must be "low" or "high", the end that is kept, got {self.side!r}')
        if self.axis not in ("y", "x"):
            raise ValueError(f'axis must be "y" or "x", got {self.axis!r}')

    @property
    def calibration_fraction(self) -> float | None:
        """The symmetric part of the lines, ``2 fraction - 1``, or the pattern's fraction where that is smaller.

        None if the pattern has no fully sampled centre.
        """
        symmetric = 2 * self.fraction - 1
        if self.pattern is None:
            return symmetric
        of_pattern = self.pattern.calibration_fraction
        return None if of_pattern is None else min(symmetric, of_pattern)

    def __call__(self, shape: tuple[int, ...], seed: Seed, padding: tuple[int, int] | None = None) -> np.ndarray:
        grid = grid_of(shape)
        size = grid["yx".index(self.axis)]
        kept = math.ceil(round(self.fraction * size, 9))
        index = np.arange(size)
        lines = index < kept if self.side == "low" else index >= size - kept
        if not lines[size // 2]:
            raise ValueError(
                f"fraction {self.fraction} of {size} lines along {self.axis} keeps {kept}, without the centre: raise it"
            )
        half = mask_of_lines(lines, None)
        if self.axis == "y":
            half = half.T
        if self.pattern is not None:
            return half * self.pattern(shape, seed, padding)
        return half if padding is None else half * mask_of_lines(np.ones(grid[1], dtype=bool), padding)
