"""Lines drawn from a normal density of any width, exactly as many as the acceleration asks for."""

from dataclasses import dataclass

import numpy as np

from deqjax.masks.lines import (
    Choices,
    Seed,
    as_mask,
    center_lines,
    check_center,
    check_settings,
    draw_choice,
    generator,
    width_of,
)
from deqjax.masks.weighted_draw import draw_weighted


def check_spread(spread: float) -> None:
    """Refuse a spread that is not a positive number.

    >>> check_spread(0)
    Traceback (most recent call last):
    ValueError: spread must be above 0, got 0: it is the standard deviation of the density over the size of ...
    """
    if not 0 < spread < float("inf"):
        raise ValueError(
            f"spread must be above 0, got {spread!r}: it is the standard deviation of the density over the size of the "
            "grid, 1/6 is usual"
        )


def normal_lines(
    rng: np.random.RandomState, width: int, acceleration: float, center_fraction: float, spread: float
) -> np.ndarray:
    """Draw ``round(width / acceleration)`` lines, the centre and others from a normal density; bool (x,).

    >>> int(normal_lines(np.random.RandomState(0), 100, 4, 0.08, 0.2).sum())
    25
    """
    num_center = max(round(width * center_fraction), 1)
    check_center(num_center, width, acceleration)
    position = (np.arange(width) - width // 2) / width
    log_weight = np.where(center_lines(width, num_center), np.inf, -0.5 * (position / spread) ** 2)
    return draw_weighted(rng, log_weight, max(round(width / acceleration), num_center))


@dataclass(frozen=True)
class Gaussian1D:
    """Sample the centre, and lines drawn from a normal density without putting any back.

    Line x has the weight ``exp(-((x - width // 2) / (spread width))^2 / 2)``; ``round(width * center_fraction)``
    central lines, at least one, are always there. There are exactly ``round(width / acceleration)`` lines for every
    seed, the centre included: at width 368 "4" is 92 lines and "8" 46, really 4.00 and 8.00.

    ``mask(shape, seed, padding=None)``: shape (..., y, x); float32 (1, x) of zeros and ones; ``padding`` (left, right)
    is the sampled part of a partly acquired k-space, zero outside. ``spread`` has no unit.

    Raises ValueError for an acceleration below 1, a centre fraction outside (0, 1], unequal numbers of choices, a
    spread that is not above 0, or more centre lines than ``width / acceleration``.

    Source: Lustig, Donoho, Pauly, "Sparse MRI: The application of compressed sensing for rapid MR imaging", Magnetic
    Resonance in Medicine 58:1182-1195, 2007, "Sampling": a density that falls with the distance from the centre.

    >>> Gaussian1D(acceleration=3, center_fraction=0.17)((8, 12), seed=0)
    array([[0., 0., 0., 0., 0., 1., 1., 1., 1., 0., 0., 0.]], dtype=float32)
    """

    acceleration: Choices = 4
    center_fraction: Choices = 0.08
    spread: float = 1 / 6

    def __post_init__(self) -> None:
        check_settings(self.acceleration, self.center_fraction)
        check_spread(self.spread)

    def __call__(self, shape: tuple[int, ...], seed: Seed, padding: tuple[int, int] | None = None) -> np.ndarray:
        width, rng = width_of(shape), generator(seed)
        acceleration, fraction = draw_choice(rng, self.acceleration, self.center_fraction)
        return as_mask(normal_lines(rng, width, acceleration, fraction, self.spread), padding)
