"""Spokes through the centre, on the grid."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from deqjax.masks.lines import Choices, Seed, check_settings, draw_choice, generator
from deqjax.masks.planar import as_planar_mask, center_square, grid_of, mark, planar_fill
from deqjax.masks.radial_trajectory import check_order, radial_trajectory


@dataclass(frozen=True)
class Radial:
    """Sample the calibration square, and the grid points nearest to spokes through the centre.

    The spokes are those of ``radial_trajectory``, the first at a random angle, and so many of them that the number of
    points, the square included, is the nearest to ``Y X / acceleration``; or exactly ``spokes`` of them, and then the
    acceleration is not used. One spoke is a step of about ``max(Y, X)`` points: at 128 x 128 the realised acceleration
    is within 5 % of "4" and "8". Spokes end on the ellipse that touches the edges. This is a gridded mask; for true
    radial sampling see ``radial_trajectory`` and ``deqjax.physics.NonCartesian``.

    ``mask(shape, seed, padding=None)``: shape (..., y, x); float32 (y, x) of zeros and ones; ``padding`` (left, right)
    is the sampled part of a partly acquired k-space along x, zero outside.

    Raises ValueError for an acceleration below 1, a centre fraction outside (0, 1], unequal numbers of choices, an
    unknown order, spokes below 1, and, naming the nearest acceleration there is, for one that the square alone
    exceeds or that the ellipse cannot reach (below 1.27).

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
            raise ValueError(f"spokes must be at least 1, got {self.spokes!r}; leave it out to have the acceleration")

    def __call__(self, shape: tuple[int, ...], seed: Seed, padding: tuple[int, int] | None = None) -> np.ndarray:
        grid, rng = grid_of(shape), generator(seed)
        acceleration, fraction = draw_choice(rng, self.acceleration, self.center_fraction)
        square, start = center_square(grid, fraction), rng.uniform(0, math.pi)

        def fill(spokes: int) -> np.ndarray:
            return square | mark(grid, radial_trajectory(grid, spokes, max(grid), self.order, start))

        if self.spokes is not None:
            return as_planar_mask(fill(self.spokes), padding)
        return planar_fill(fill, 2 * max(grid), square, acceleration, padding)
