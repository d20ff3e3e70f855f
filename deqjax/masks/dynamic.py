"""Masks for a cine: whole lines that change from frame to frame."""

from dataclasses import dataclass

import numpy as np

from deqjax.masks.mask_grid import center_lines, mask_of_lines, width_of
from deqjax.masks.mask_settings import Choices, Seed, check_settings, draw_choice, random_state, smallest
from deqjax.masks.variable_density import check_spread, draw_normal_lines


@dataclass(frozen=True)
class KtInterleaved:
    """Sample every ``acceleration``-th line, shifted by one line in every frame, and also the centre.

    Frame t has the lines ``{x : x - t - offset = 0 mod R}`` with ``offset`` uniform in ``0 .. R - 1``, so any R
    consecutive frames sample every line once. The ``max(round(width * center_fraction), 1)`` central lines are sampled
    in addition: at width 368, "8" with 4 % centre gives a realised acceleration of 6.2. A very small centre fraction
    leaves one central line.

    ``mask(shape, seed, padding=None)`` returns float32 (t, 1, x), which broadcasts against a cine (t, y, x); see
    `deqjax.types.Mask` for the arguments.

    Args:
        acceleration: a whole number of at least 1, the line spacing R; each mask draws one pair of several
            accelerations and centre fractions.
        center_fraction: fraction of the lines that are central, in (0, 1].
        frames: number of frames, at least 1.

    Raises:
        ValueError: An argument is out of its range, or the numbers of choices differ.

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

    @property
    def calibration_fraction(self) -> float:
        """The smallest centre fraction that a mask may draw."""
        return smallest(self.center_fraction)

    def __call__(self, shape: tuple[int, ...], seed: Seed, padding: tuple[int, int] | None = None) -> np.ndarray:
        width, rng = width_of(shape), random_state(seed)
        acceleration, fraction = draw_choice(rng, self.acceleration, self.center_fraction)
        step = int(acceleration)
        center = center_lines(width, max(round(width * fraction), 1))
        x, offset = np.arange(width), rng.randint(step)
        frames = [(x - t - offset) % step == 0 for t in range(self.frames)]
        return np.stack([mask_of_lines(lines | center, padding) for lines in frames])


@dataclass(frozen=True)
class KtRandom:
    """Sample the centre in every frame of a cine, and other lines that each frame draws anew from a normal density.

    Each frame is a draw of `Gaussian1D`: exactly ``round(width / acceleration)`` lines, of which
    ``max(round(width * center_fraction), 1)`` are central. All frames of a mask share one drawn pair of acceleration
    and centre fraction.

    ``mask(shape, seed, padding=None)`` returns float32 (t, 1, x), which broadcasts against a cine (t, y, x); see
    `deqjax.types.Mask` for the arguments.

    Args:
        acceleration: at least 1; each mask draws one pair of several accelerations and centre fractions.
        center_fraction: fraction of the lines that are central, in (0, 1].
        frames: number of frames, at least 1.
        spread: standard deviation of the density as a fraction of the width, above 0.

    Raises:
        ValueError: An argument is out of its range, the numbers of choices differ, or, when called, there are more
            centre lines than ``width / acceleration``.

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

    @property
    def calibration_fraction(self) -> float:
        """The smallest centre fraction that a mask may draw."""
        return smallest(self.center_fraction)

    def __call__(self, shape: tuple[int, ...], seed: Seed, padding: tuple[int, int] | None = None) -> np.ndarray:
        width, rng = width_of(shape), random_state(seed)
        pair = draw_choice(rng, self.acceleration, self.center_fraction)
        frames = [draw_normal_lines(rng, width, *pair, self.spread) for _ in range(self.frames)]
        return np.stack([mask_of_lines(lines, padding) for lines in frames])


def check_frames(frames: int) -> None:
    """Check that the number of frames is a whole number of at least 1.

    Raises:
        ValueError: It is not.

    >>> check_frames(0)
    Traceback (most recent call last):
    ValueError: frames must be a whole number of at least 1, got 0
    """
    if not isinstance(frames, int) or not frames >= 1:
        raise ValueError(f"frames must be a whole number of at least 1, got {frames!r}")
