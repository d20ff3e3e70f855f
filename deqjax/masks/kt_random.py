"""Lines for a moving object, drawn anew for every frame."""

from dataclasses import dataclass

import numpy as np

from deqjax.masks.gaussian_1d import check_spread, normal_lines
from deqjax.masks.lines import Choices, Seed, as_mask, check_settings, draw_choice, generator, width_of


def check_frames(frames: int) -> None:
    """Refuse a number of frames below 1.

    >>> check_frames(0)
    Traceback (most recent call last):
    ValueError: frames must be a whole number of at least 1, got 0
    """
    if not isinstance(frames, int) or not frames >= 1:
        raise ValueError(f"frames must be a whole number of at least 1, got {frames!r}")


@dataclass(frozen=True)
class KtRandom:
    """Sample, in every frame of a cine, the centre and other lines, drawn anew from a normal density.

    Each frame is a draw of ``Gaussian1D``: exactly ``round(width / acceleration)`` lines, of which
    ``max(round(width * center_fraction), 1)`` are the centre. All frames share one drawn pair of acceleration and
    centre fraction.

    ``mask(shape, seed, padding=None)``: shape (..., y, x); float32 (t, 1, x) of zeros and ones, which broadcasts
    against a cine (t, y, x); ``padding`` (left, right) is the sampled part of a partly acquired k-space, zero outside.

    Raises ValueError for an acceleration below 1, a centre fraction outside (0, 1], unequal numbers of choices, frames
    below 1, a spread that is not above 0, or more centre lines than ``width / acceleration``.

    Source: Otazo, Kim, Axel, Sodickson, "Combination of compressed sensing and parallel imaging for highly accelerated
    first-pass cardiac perfusion MRI", Magnetic Resonance in Medicine 64:767-776, 2010, "k-t sampling".

    >>> KtRandom(acceleration=3, center_fraction=0.1, frames=3)((8, 12), seed=1)[:, 0].astype(int)
    array([[0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 0, 0],
           [0, 1, 0, 0, 0, 0, 1, 0, 1, 1, 0, 0],
           [0, 1, 0, 0, 0, 1, 1, 0, 1, 0, 0, 0]])
    """

    acceleration: Choices = 8
    center_fraction: Choices = 0.04
    frames: int = 16
    spread: float = 1 / 4

    def __post_init__(self) -> None:
        check_settings(self.acceleration, self.center_fraction)
        check_frames(self.frames)
        check_spread(self.spread)

    def __call__(self, shape: tuple[int, ...], seed: Seed, padding: tuple[int, int] | None = None) -> np.ndarray:
        width, rng = width_of(shape), generator(seed)
        pair = draw_choice(rng, self.acceleration, self.center_fraction)
        return np.stack([as_mask(normal_lines(rng, width, *pair, self.spread), padding) for _ in range(self.frames)])
