"""Radial and spiral masks: the grid points nearest to spokes or spirals."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from deqjax.masks.mask_grid import center_square, grid_of, mask_of_points, number_of_points
from deqjax.masks.mask_settings import Choices, Seed, check_settings, draw_choice, random_state, smallest
from deqjax.masks.trajectories import check_order, radial_trajectory, spiral_trajectory

STEPS_PER_TURN = 8


@dataclass(frozen=True)
class Radial:
    """Sample the calibration square, and the grid points nearest to spokes through the centre.

    The spokes are those of `radial_trajectory`, and the first has a random angle. Their number is the one for which the
    number of points, the square included, is nearest to ``Y X / acceleration``. If ``spokes`` is given, there are
    exactly that many, and the acceleration is not used. One spoke adds about ``max(Y, X)`` points: at 128 x 128 the
    realised acceleration is within 5 % of "4" and "8". Spokes end on the ellipse that touches the edges. This is a
    gridded mask; for true radial sampling see `radial_trajectory` and `deqjax.physics.NonCartesian`.

    ``mask(shape, seed, padding=None)`` returns float32 (y, x); see `deqjax.types.Mask` for the arguments.

    Args:
        acceleration: at least 1; each mask draws one pair of several accelerations and centre fractions.
        center_fraction: size of the calibration square as a fraction of each axis, in (0, 1].
        order: "golden" or "uniform" angles.
        spokes: number of spokes, at least 1, or None to derive it from the acceleration.

    Raises:
        ValueError: An argument is out of its range, the numbers of choices differ, or, when called, the square alone
            has more points than the acceleration asks for, or the acceleration is below 1.27, which the ellipse cannot
            give. The last two messages name the nearest acceleration.

    Source: Winkelmann, Schaeffter, Koehler, Eggers, Doessel, "An optimal radial profile order based on the golden ratio
    for time-resolved MRI", IEEE Transactions on Medical Imaging 26:68-76, 2007, section II.

    >>> mask = Radial(acceleration=4, center_fraction=0.08)((64, 64), seed=0)
    >>> mask.shape, bool(3.8 < mask.size / mask.sum() < 4.2)
    ((64, 64), True)
    """

    acceleration: Choices = 4
    center_fraction: Choices = 0.04
    order: Literal["golden", "uniform"] = "golden"
    spokes: int | None = None

    def __post_init__(self) -> None:
        check_settings(self.acceleration, self.center_fraction)
        check_order(self.order)
        if self.spokes is not None and not self.spokes >= 1:
            raise ValueError(f"spokes must be at least 1, got {self.spokes!r}; leave it out to use the acceleration")

    @property
    def calibration_fraction(self) -> float:
        """The smallest centre fraction that a mask may draw."""
        return smallest(self.center_fraction)

    def __call__(self, shape: tuple[int, ...], seed: Seed, padding: tuple[int, int] | None = None) -> np.ndarray:
        grid, rng = grid_of(shape), random_state(seed)
        acceleration, fraction = draw_choice(rng, self.acceleration, self.center_fraction)
        square, start = center_square(grid, fraction), rng.uniform(0, math.pi)

        def points_of(spokes: int) -> np.ndarray:
            return square | nearest_points(grid, radial_trajectory(grid, spokes, max(grid), self.order, start))

        if self.spokes is not None:
            return mask_of_points(points_of(self.spokes), padding)
        return mask_of_points(points_for_acceleration(points_of, 2 * max(grid), square, acceleration), padding)


@dataclass(frozen=True)
class Spiral:
    """Sample the calibration square, and the grid points nearest to spirals.

    The spirals are those of `spiral_trajectory`, and the first has a random angle. Their total number of turns, a
    multiple of 1/8, is the one for which the number of points, the square included, is nearest to
    ``Y X / acceleration``: at 128 x 128 the realised acceleration is within 3 % of "4" and "8". Spirals end on the
    ellipse that touches the edges. This is a gridded mask; for true spirals see `spiral_trajectory` and
    `deqjax.physics.NonCartesian`.

    ``mask(shape, seed, padding=None)`` returns float32 (y, x); see `deqjax.types.Mask` for the arguments.

    Args:
        acceleration: at least 1; each mask draws one pair of several accelerations and centre fractions.
        center_fraction: size of the calibration square as a fraction of each axis, in (0, 1].
        interleaves: number of spirals, at least 1.
        power: above 0; a power above 1 samples the centre more densely.

    Raises:
        ValueError: An argument is out of its range, the numbers of choices differ, or, when called, the square alone
            has more points than the acceleration asks for, or the acceleration is below 1.27, which the ellipse cannot
            give. The last two messages name the nearest acceleration.

    Source: Kim, Adalsteinsson, Spielman, "Simple analytic variable density spiral design", Magnetic Resonance in
    Medicine 50:214-219, 2003, eq. 1.

    >>> mask = Spiral(acceleration=4, center_fraction=0.08)((64, 64), seed=0)
    >>> mask.shape, round(mask.size / float(mask.sum()), 1)
    ((64, 64), 4.0)
    """

    acceleration: Choices = 4
    center_fraction: Choices = 0.04
    interleaves: int = 1
    power: float = 1.0

    def __post_init__(self) -> None:
        check_settings(self.acceleration, self.center_fraction)
        if not self.interleaves >= 1:
            raise ValueError(f"interleaves must be at least 1, got {self.interleaves!r}")
        if not 0 < self.power < math.inf:
            raise ValueError(f"power must be a number above 0, got {self.power!r}: 1 gives evenly spaced turns")

    @property
    def calibration_fraction(self) -> float:
        """The smallest centre fraction that a mask may draw."""
        return smallest(self.center_fraction)

    def __call__(self, shape: tuple[int, ...], seed: Seed, padding: tuple[int, int] | None = None) -> np.ndarray:
        grid, rng = grid_of(shape), random_state(seed)
        acceleration, fraction = draw_choice(rng, self.acceleration, self.center_fraction)
        square, start = center_square(grid, fraction), rng.uniform(0, 2 * math.pi)

        def points_of(steps: int) -> np.ndarray:
            turns = steps / STEPS_PER_TURN / self.interleaves
            spirals = spiral_trajectory(grid, turns, self.interleaves, power=self.power, start=start)
            return square | nearest_points(grid, spirals)

        most = math.ceil(STEPS_PER_TURN * max(grid) * max(self.power, 1))
        return mask_of_points(points_for_acceleration(points_of, most, square, acceleration), padding)


def nearest_points(grid: tuple[int, int], trajectory: np.ndarray) -> np.ndarray:
    """Mark the grid points nearest to the samples of a trajectory (..., 2) in cycles per field of view; bool (y, x).

    >>> nearest_points((1, 4), np.array([[0.0, -1.2], [0.0, 9.0]])).astype(int)
    array([[0, 1, 0, 0]])
    """
    index = np.floor(np.asarray(trajectory).reshape(-1, 2) + 0.5).astype(int) + np.array([size // 2 for size in grid])
    index = index[((index >= 0) & (index < np.array(grid))).all(axis=1)]
    marked = np.zeros(grid, dtype=bool)
    marked[index[:, 0], index[:, 1]] = True
    return marked


def points_for_acceleration(
    points_of: Callable[[int], np.ndarray], most: int, square: np.ndarray, acceleration: float
) -> np.ndarray:
    """Return the points among ``points_of(1) .. points_of(most)`` whose number is nearest to that of the acceleration.

    Args:
        points_of: returns bool (y, x) for a positive integer, with more points for a larger one (up to rounding).
        most: the largest integer to try.
        square: the calibration square, bool (y, x), which all of them contain.
        acceleration: points of the grid over points sampled.

    Returns:
        bool (y, x).

    Raises:
        ValueError: The acceleration asks for fewer points than the square or more than ``points_of(most)``.

    >>> rows = np.arange(8)[:, None] * np.ones((1, 8))
    >>> int(points_for_acceleration(lambda n: rows < n, 8, rows < 1, acceleration=4).sum())
    16
    """
    number = number_of_points(
        (square.shape[0], square.shape[1]),
        acceleration,
        int(points_of(most).sum()),
        int(square.sum()),
        "lower acceleration or center_fraction" if acceleration > 2 else "raise acceleration",
    )
    low, high = 1, max(most, 1)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if np.count_nonzero(points_of(middle)) >= number else (middle + 1, high)
    tried = [points_of(n) for n in (low, max(low - 1, 1))]
    return min(tried, key=lambda points: abs(np.count_nonzero(points) - number))
