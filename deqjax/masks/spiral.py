"""Spirals from the centre outwards, on the grid."""

import math
from dataclasses import dataclass

import numpy as np

from deqjax.masks.lines import Choices, Seed, check_settings, draw_choice, generator
from deqjax.masks.planar import center_square, grid_of, mark, planar_fill
from deqjax.masks.spiral_trajectory import spiral_trajectory

STEPS_A_TURN = 8


@dataclass(frozen=True)
class Spiral:
    """Sample the calibration square, and the grid points nearest to spirals.

    The spirals are those of ``spiral_trajectory``, the first at a random angle, with so many eighths of a turn that the
    number of points, the square included, is the nearest to ``Y X / acceleration``: at 128 x 128 the realised
    acceleration is within 3 % of "4" and "8". They end on the ellipse that touches the edges. This is a gridded mask;
    for true spirals see ``spiral_trajectory`` and ``deqjax.physics.NonCartesian``.

    ``mask(shape, seed, padding=None)``: shape (..., y, x); float32 (y, x) of zeros and ones; ``padding`` (left, right)
    is the sampled part of a partly acquired k-space along x, zero outside. ``power`` above 1 samples the centre more
    densely.

    Raises ValueError for an acceleration below 1, a centre fraction outside (0, 1], unequal numbers of choices,
    interleaves below 1, a power not above 0, and, naming the nearest acceleration there is, for one that the square
    alone exceeds or that the ellipse cannot reach (below 1.27).

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
            raise ValueError(f"power must be a number above 0, got {self.power!r}: 1 is evenly spaced windings")

    def __call__(self, shape: tuple[int, ...], seed: Seed, padding: tuple[int, int] | None = None) -> np.ndarray:
        grid, rng = grid_of(shape), generator(seed)
        acceleration, fraction = draw_choice(rng, self.acceleration, self.center_fraction)
        square, start = center_square(grid, fraction), rng.uniform(0, 2 * math.pi)

        def fill(steps: int) -> np.ndarray:
            turns = steps / STEPS_A_TURN / self.interleaves
            return square | mark(grid, spiral_trajectory(grid, turns, self.interleaves, power=self.power, start=start))

        most = math.ceil(STEPS_A_TURN * max(grid) * max(self.power, 1))
        return planar_fill(fill, most, square, acceleration, padding)
