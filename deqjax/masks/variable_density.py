"""Variable-density masks: lines or points drawn from a normal density, exactly as many as the acceleration asks for."""

from dataclasses import dataclass

import numpy as np

from deqjax.masks.mask_grid import (
    center_lines,
    center_square,
    check_center,
    grid_of,
    mask_of_lines,
    mask_of_points,
    number_of_points,
    width_of,
)
from deqjax.masks.mask_settings import Choices, Seed, check_settings, draw_choice, random_state, smallest


@dataclass(frozen=True)
class Gaussian1D:
    """Sample the centre, and lines drawn from a normal density without replacement.

    Line x has the weight ``exp(-((x - width // 2) / (spread width))^2 / 2)``. The ``round(width * center_fraction)``
    central lines, at least one, are always sampled. There are exactly ``round(width / acceleration)`` lines for every
    seed, the centre included: at width 368, "4" gives 92 lines and "8" gives 46, realised accelerations of 4.00 and
    8.00.

    ``mask(shape, seed, padding=None)`` returns float32 (1, x); see `deqjax.types.Mask` for the arguments.

    Args:
        acceleration: at least 1; each mask draws one pair of several accelerations and centre fractions.
        center_fraction: fraction of the lines that are central, in (0, 1].
        spread: standard deviation of the density as a fraction of the width, above 0.

    Raises:
        ValueError: An argument is out of its range, the numbers of choices differ, or, when called, there are more
            centre lines than ``width / acceleration``.

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

    @property
    def calibration_fraction(self) -> float:
        """The smallest centre fraction that a mask may draw."""
        return smallest(self.center_fraction)

    def __call__(self, shape: tuple[int, ...], seed: Seed, padding: tuple[int, int] | None = None) -> np.ndarray:
        width, rng = width_of(shape), random_state(seed)
        acceleration, fraction = draw_choice(rng, self.acceleration, self.center_fraction)
        return mask_of_lines(draw_normal_lines(rng, width, acceleration, fraction, self.spread), padding)


@dataclass(frozen=True)
class Gaussian2D:
    """Sample the calibration square, and points drawn from a normal density without replacement.

    Point (y, x) has the weight ``exp(-(v^2 + u^2) / (2 spread^2))`` with ``v = (y - Y // 2) / Y`` and ``u`` likewise
    along x. The square has ``round(size * center_fraction)`` points along each axis, at least one. There are exactly
    ``round(Y X / acceleration)`` points for every seed, the square included. For a 3-D scan, (y, x) is (ky, kz).

    ``mask(shape, seed, padding=None)`` returns float32 (y, x); see `deqjax.types.Mask` for the arguments.

    Args:
        acceleration: at least 1; each mask draws one pair of several accelerations and centre fractions.
        center_fraction: size of the calibration square as a fraction of each axis, in (0, 1].
        spread: standard deviation of the density as a fraction of each axis, above 0.

    Raises:
        ValueError: An argument is out of its range, the numbers of choices differ, or, when called, the square has
            more points than the acceleration asks for.

    Source: Lustig, Donoho, Pauly, "Sparse MRI: The application of compressed sensing for rapid MR imaging", Magnetic
    Resonance in Medicine 58:1182-1195, 2007, "Sampling": a density that falls with the distance from the centre.

    >>> mask = Gaussian2D(acceleration=8, center_fraction=0.1)((40, 30), seed=0)
    >>> mask.shape, int(mask.sum()), bool(mask[18:22, 14:17].all())
    ((40, 30), 150, True)
    """

    acceleration: Choices = 4
    center_fraction: Choices = 0.08
    spread: float = 1 / 4

    def __post_init__(self) -> None:
        check_settings(self.acceleration, self.center_fraction)
        check_spread(self.spread)

    @property
    def calibration_fraction(self) -> float:
        """The smallest centre fraction that a mask may draw."""
        return smallest(self.center_fraction)

    def __call__(self, shape: tuple[int, ...], seed: Seed, padding: tuple[int, int] | None = None) -> np.ndarray:
        grid, rng = grid_of(shape), random_state(seed)
        acceleration, fraction = draw_choice(rng, self.acceleration, self.center_fraction)
        square = center_square(grid, fraction)
        number = number_of_points(
            grid, acceleration, square.size, int(square.sum()), "lower acceleration or center_fraction"
        )
        v, u = (((np.arange(size) - size // 2) / size) ** 2 for size in grid)
        log_weight = np.where(square, np.inf, -(v[:, None] + u[None, :]) / (2 * self.spread**2))
        return mask_of_points(draw_weighted(rng, log_weight, number), padding)


def check_spread(spread: float) -> None:
    """Check that the spread of a density is a positive number.

    Raises:
        ValueError: It is not.

    >>> check_spread(0)
    Traceback (most recent call last):
    ValueError: spread must be above 0, got 0: it is the standard deviation of the density over the size of ...
    """
    if not 0 < spread < float("inf"):
        raise ValueError(
            f"spread must be above 0, got {spread!r}: it is the standard deviation of the density over the size of the "
            "grid, 1/6 is usual"
        )


def draw_normal_lines(
    rng: np.random.RandomState, width: int, acceleration: float, center_fraction: float, spread: float
) -> np.ndarray:
    """Draw ``round(width / acceleration)`` lines: the centre, and other lines from a normal density; bool (x,).

    Raises:
        ValueError: There are more centre lines than ``width / acceleration``.

    >>> int(draw_normal_lines(np.random.RandomState(0), 100, 4, 0.08, 0.2).sum())
    25
    """
    num_center = max(round(width * center_fraction), 1)
    check_center(num_center, width, acceleration)
    position = (np.arange(width) - width // 2) / width
    log_weight = np.where(center_lines(width, num_center), np.inf, -0.5 * (position / spread) ** 2)
    return draw_weighted(rng, log_weight, max(round(width / acceleration), num_center))


def draw_weighted(rng: np.random.RandomState, log_weight: np.ndarray, number: int) -> np.ndarray:
    """Draw ``number`` elements without replacement, each with a probability proportional to its weight.

    The elements with the largest ``log w + g`` are taken, where ``g = -log(-log u)`` and u is uniform in (0, 1). This
    is equivalent to drawing one element after the other, and needs a single sort. The weights are logarithms so that
    none of them underflows.

    Args:
        rng: the generator; one uniform number is drawn for each element.
        log_weight: natural logarithms of the weights, any shape; ``-inf`` is never drawn, ``inf`` always.
        number: how many elements are drawn.

    Returns:
        bool, the shape of ``log_weight``, with ``number`` elements True.

    Raises:
        ValueError: Fewer than ``number`` elements have a weight above zero.

    Source: Efraimidis and Spirakis, "Weighted random sampling with a reservoir", Information Processing Letters
    97:181-185, 2006, algorithm A, in logarithms.

    >>> draw_weighted(np.random.RandomState(0), np.array([0.0, -np.inf, 0.0, 0.7]), 3)
    array([ True, False,  True,  True])
    """
    possible = int(np.count_nonzero(log_weight > -np.inf))
    if not 0 <= number <= possible:
        raise ValueError(f"number {number} must lie in 0 .. {possible}, the number of elements with a weight above 0")
    uniform = np.clip(rng.uniform(size=log_weight.shape), 1e-300, 1 - 1e-16)
    keys = log_weight - np.log(-np.log(uniform))
    drawn = np.zeros(log_weight.size, dtype=bool)
    drawn[np.argsort(-keys, axis=None, kind="stable")[:number]] = True
    return drawn.reshape(log_weight.shape)
