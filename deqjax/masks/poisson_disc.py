"""Points at random that keep a distance, which grows away from the centre."""

from dataclasses import dataclass

import numpy as np

from deqjax.masks.dart_throwing import throw_darts
from deqjax.masks.lines import Choices, Seed, check_settings, draw_choice, generator
from deqjax.masks.planar import as_planar_mask, center_square, grid_of, number_of_points

SURPLUS = 0.02
"""The search ends with at most this much more than the points asked for; the last ones are then left out."""

MOST_TRIALS = 30

SMALLEST = 0.7
"""Radius in the middle, in grid steps: about half the diagonal of a cell, the densest that is not everything."""


@dataclass(frozen=True)
class PoissonDisc:
    """Sample the calibration square, and points at random no two of which are close: variable-density Poisson disc.

    A point p keeps darts out of the disc of radius ``r(p) = 0.7 (1 + s k(p))`` grid steps around it, where k is 0 in
    the square and 1 at the edge along each axis; darts land anywhere in the cell of their point, so that two points are
    at least ``min(r(p), r(q)) - 0.71`` apart. The slope s is found by bisection. Where s = 0 samples too little
    (accelerations below about 1.6), a disc around the centre is sampled in full, and its size is found instead. There
    are exactly ``round(Y X / acceleration)`` points for every seed, the square of ``round(size * center_fraction)``
    points along each axis, at least one, included. For a 3-D scan (y, x) is (ky, kz).

    ``mask(shape, seed, padding=None)``: shape (..., y, x); float32 (y, x) of zeros and ones; ``padding`` (left, right)
    is the sampled part of a partly acquired k-space along x, zero outside. Without ``corners`` nothing is sampled
    outside the ellipse that touches the four edges (21 % of the grid).

    Raises ValueError for an acceleration below 1, a centre fraction outside (0, 1], unequal numbers of choices, and,
    naming the nearest acceleration there is, for a square of more points than the acceleration asks for, or an
    acceleration below 1.27 without corners.

    Source: Bridson, "Fast Poisson disk sampling in arbitrary dimensions", ACM SIGGRAPH sketches, 2007; the density and
    its bisection follow ``sigpy.mri.poisson`` (Ong and Lustig, ISMRM 2019, 4819): same statistics, not the same bits.

    >>> mask = PoissonDisc(acceleration=6, center_fraction=0.1)((60, 40), seed=0)
    >>> mask.shape, int(mask.sum()), bool(mask[27:33, 18:22].all())
    ((60, 40), 400, True)
    """

    acceleration: Choices = 8
    center_fraction: Choices = 0.06
    corners: bool = False

    def __post_init__(self) -> None:
        check_settings(self.acceleration, self.center_fraction)

    def __call__(self, shape: tuple[int, ...], seed: Seed, padding: tuple[int, int] | None = None) -> np.ndarray:
        grid, rng = grid_of(shape), generator(seed)
        acceleration, fraction = draw_choice(rng, self.acceleration, self.center_fraction)
        square, k = center_square(grid, fraction), distance(grid, 0.0)
        inside = square | (k < 1) | self.corners
        number = number_of_points(
            grid,
            acceleration,
            int(inside.sum()),
            int(square.sum()),
            "lower acceleration or center_fraction, or sample the corners",
        )
        candidates = rng.permutation(np.flatnonzero(inside & ~square))
        points = square.copy()
        aim = rng.uniform(-0.5, 0.5, size=(*grid, 2))
        points.flat[search(distance(grid, fraction), candidates, aim, number - int(square.sum()))] = True
        return as_planar_mask(points, padding)


def distance(grid: tuple[int, int], center_fraction: float) -> np.ndarray:
    """Distance from the square, 0 within and 1 at the middle of each edge; (y, x).

    >>> distance((1, 4), 0.0)
    array([[1. , 0.5, 0. , 0.5]])
    """
    axes = []
    for size in grid:
        beyond = np.maximum(np.abs(np.arange(size) - size // 2) - size * center_fraction / 2, 0)
        axes.append(beyond / max(beyond.max(), 1e-9))
    return np.hypot(axes[0][:, None], axes[1][None, :])


def radius(k: np.ndarray, level: float) -> np.ndarray:
    """Radii of the discs: ``0.7 (1 + s k)`` with ``s = level - 1``; below level 1 tiny within a disc; (y, x).

    >>> radius(np.array([0.0, 0.5, 1.0]), 3.0), radius(np.array([0.0, 0.5, 1.0]), 0.4)
    (array([0.7, 1.4, 2.1]), array([0.1, 0.1, 0.7]))
    """
    sparse = k > max(1 - level, 0) * k.max()
    return np.where(sparse | (level >= 1), SMALLEST * (1 + max(level - 1, 0) * k), 0.1)


def search(k: np.ndarray, candidates: np.ndarray, aim: np.ndarray, number: int) -> np.ndarray:
    """Find the level that gives ``number`` points or hardly more; flat indices of the first of them.

    A bracket shrinks around the level; the next trial lies where ``1 / sqrt(points)``, nearly linear in the level,
    says, but well within the bracket. It ends after at most ``MOST_TRIALS`` trials, always with exactly ``number``
    points.

    >>> search(distance((20, 20), 0.1), np.random.RandomState(0).permutation(400), np.zeros((20, 20, 2)), 60).shape
    (60,)
    """
    if number == 0:
        return candidates[:0]
    best, level = candidates, 2.0
    low, high = (0.0, len(candidates) ** -0.5), (float("inf"), 0.0)
    wanted = (number * (1 + SURPLUS / 2)) ** -0.5
    for _ in range(MOST_TRIALS):
        if len(best) <= number * (1 + SURPLUS):
            break
        points = throw_darts(radius(k, level), candidates, aim)
        trial = (level, len(points) ** -0.5)
        if len(points) >= number:
            low = trial
            best = points if len(points) < len(best) else best
        else:
            high = trial
        if high[1] == 0:
            level = 2 * level
        else:
            share = (wanted - low[1]) / max(high[1] - low[1], 1e-12)
            level = low[0] + min(max(share, 0.1), 0.9) * (high[0] - low[0])
    return best[:number]
