"""One side of k-space and a little of the other, alone or over another pattern."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from deqjax.masks.lines import Seed, as_mask
from deqjax.masks.planar import grid_of
from deqjax.types import Mask


@dataclass(frozen=True)
class PartialFourier:
    """Keep a fraction of k-space from one end, over the centre, and leave out the rest.

    Of ``size`` lines along ``axis`` the first ("low") or last ("high") ``ceil(fraction * size)`` are kept; with a
    ``pattern``, only those of its points. The middle ``2 fraction - 1`` of the lines is symmetric: from it
    ``deqjax.physics.pocs`` and ``conjugate_symmetry`` take the phase that completes the image.

    ``mask(shape, seed, padding=None)``: shape (..., y, x); float32 of zeros and ones, (1, x) or (y, 1) alone, and with
    a pattern what the two broadcast to; the seed and the padding go to the pattern. Axis "x" is the phase encoding of
    fastMRI's files (partial Fourier), "y" its readout (partial echo).

    Raises ValueError for a fraction outside (0.5, 1], an unknown side or axis, or so few lines that the centre is
    not among them.

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
                "and no more than half can be made up from the other half"
            )
        if self.side not in ("low", "high"):
            raise ValueError(f'side must be "low" or "high", the end that is kept, got {self.side!r}')
        if self.axis not in ("y", "x"):
            raise ValueError(f'axis must be "y" or "x", got {self.axis!r}')

    @property
    def center_fraction(self) -> float:
        """The fraction of the lines around the centre that is sampled in full: ``2 fraction - 1``, or the pattern's."""
        own = 2 * self.fraction - 1
        return own if self.pattern is None else min(own, float(np.min(getattr(self.pattern, "center_fraction", own))))

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
        half = as_mask(lines, None)
        if self.axis == "y":
            half = half.T
        if self.pattern is not None:
            return half * self.pattern(shape, seed, padding)
        return half if padding is None else half * as_mask(np.ones(grid[1], dtype=bool), padding)
