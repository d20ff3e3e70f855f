"""Every R-th line, one further in every frame."""

from dataclasses import dataclass

import numpy as np

from deqjax.masks.kt_random import check_frames
from deqjax.masks.lines import Choices, Seed, as_mask, center_lines, check_settings, draw_choice, generator, width_of


@dataclass(frozen=True)
class KtInterleaved:
    """Sample every ``acceleration``-th line, one line further in every frame, and the centre beside.

    Frame t has the lines ``{x : x - t - offset = 0 mod R}`` with ``offset`` uniform in ``0 .. R - 1``: any R frames in
    a row sample every line once. ``max(round(width * center_fraction), 1)`` central lines come on top, so that at
    width 368 "8" with 4 % centre is really 6.2; a tiny centre fraction leaves one.

    ``mask(shape, seed, padding=None)``: shape (..., y, x); float32 (t, 1, x) of zeros and ones, which broadcasts
    against a cine (t, y, x); ``padding`` (left, right) is the sampled part of a partly acquired k-space, zero outside.

    Raises ValueError for an acceleration that is below 1 or not whole, a centre fraction outside (0, 1], unequal
    numbers of choices, or frames below 1.

    Source: Kellman, Epstein, McVeigh, "Adaptive sensitivity encoding incorporating temporal filtering (TSENSE)",
    Magnetic Resonance in Medicine 45:846-852, 2001, "Theory".

    >>> KtInterleaved(acceleration=3, center_fraction=0.1, frames=3)((8, 9), seed=0)[:, 0]
    array([[1., 0., 0., 1., 1., 0., 1., 0., 0.],
           [0., 1., 0., 0., 1., 0., 0., 1., 0.],
           [0., 0., 1., 0., 1., 1., 0., 0., 1.]], dtype=float32)
    """

    acceleration: Choices = 8
    center_fraction: Choices = 0.04
    frames: int = 16

    def __post_init__(self) -> None:
        check_settings(self.acceleration, self.center_fraction, whole=True)
        check_frames(self.frames)

    def __call__(self, shape: tuple[int, ...], seed: Seed, padding: tuple[int, int] | None = None) -> np.ndarray:
        width, rng = width_of(shape), generator(seed)
        acceleration, fraction = draw_choice(rng, self.acceleration, self.center_fraction)
        step = int(acceleration)
        center = center_lines(width, max(round(width * fraction), 1))
        x, offset = np.arange(width), rng.randint(step)
        frames = [(x - t - offset) % step == 0 for t in range(self.frames)]
        return np.stack([as_mask(lines | center, padding) for lines in frames])
