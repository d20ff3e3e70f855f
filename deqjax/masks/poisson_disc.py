"""Variable-density Poisson-disc masks: random points whose minimum distance grows away from the centre."""

from dataclasses import dataclass

import numpy as np

from deqjax.masks.mask_grid import center_square, grid_of, mask_of_points, number_of_points
from deqjax.masks.mask_settings import Choices, Seed, check_settings, draw_choice, random_state, smallest

SURPLUS = 0.02
"""The search stops at the latest with this fraction of points too many; the last ones are then left out."""

MOST_TRIALS = 30

SMALLEST_RADIUS = 0.7
"""Radius in the middle, in grid steps: about half the diagonal of a cell, the densest that does not sample all."""

CELLS_AT_ONCE = 2_000_000
"""The most grid cells that are processed together: it bounds the memory at about 100 MB, whatever the radius."""


@dataclass(frozen=True)
class PoissonDisc:
    """Sample the calibration square, and random points that keep a minimum distance (variable-density Poisson disc).

    A point p excludes darts from the disc of radius ``r(p) = 0.7 (1 + s k(p))`` grid steps around it, where k is 0 in
    the square and 1 at the edge along each axis. Darts land anywhere in the cell of their point, so two points are at
    least ``min(r(p), r(q)) - 0.71`` apart. The slope s is found by bisection. Where s = 0 samples too few points
    (accelerations below about 1.6), a disc around the centre is fully sampled, and its size is found instead. There
    are exactly ``round(Y X / acceleration)`` points for every seed, including the square of
    ``round(size * center_fraction)`` points along each axis, at least one. For a 3-D scan, (y, x) is (ky, kz).

    ``mask(shape, seed, padding=None)`` returns float32 (y, x); see `deqjax.types.Mask` for the arguments.

    Args:
        acceleration: at least 1; each mask draws one pair of several accelerations and centre fractions.
        center_fraction: size of the calibration square as a fraction of each axis, in (0, 1].
        corners: whether points are sampled outside the ellipse that touches the four edges (21 % of the grid).

    Raises:
        ValueError: An argument is out of its range, the numbers of choices differ, or, when called, the square has
            more points than the acceleration asks for, or the acceleration is below 1.27 without corners. The last
            two messages name the nearest acceleration.

    Source: Bridson, "Fast Poisson disk sampling in arbitrary dimensions", ACM SIGGRAPH sketches, 2007; the density and
    its bisection follow ``sigpy.mri.poisson`` (Ong and Lustig, ISMRM 2019, 4819), with the same statistics but not the
    same bits.

    >>> mask = PoissonDisc(acceleration=6, center_fraction=0.1)((60, 40), seed=0)
    >>> mask.shape, int(mask.sum()), bool(mask[27:33, 18:22].all())
    ((60, 40), 400, True)
    """

    acceleration: Choices = 8
    center_fraction: Choices = 0.06
    corners: bool = False

    def __post_init__(self) -> None:
        check_settings(self.acceleration, self.center_fraction)

    @property
    def calibration_fraction(self) -> float:
        """The smallest centre fraction that a mask may draw."""
        return smallest(self.center_fraction)

    def __call__(self, shape: tuple[int, ...], seed: Seed, padding: tuple[int, int] | None = None) -> np.ndarray:
        grid, rng = grid_of(shape), random_state(seed)
        acceleration, fraction = draw_choice(rng, self.acceleration, self.center_fraction)
        square, k = center_square(grid, fraction), distance_from_square(grid, 0.0)
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
        jitter = rng.uniform(-0.5, 0.5, size=(*grid, 2))
        k = distance_from_square(grid, fraction)
        points.flat[throw_number_of_darts(k, candidates, jitter, number - int(square.sum()))] = True
        return mask_of_points(points, padding)


def distance_from_square(grid: tuple[int, int], center_fraction: float) -> np.ndarray:
    """Return the distance from the calibration square, 0 inside it and 1 at the middle of each edge; (y, x).

    >>> distance_from_square((1, 4), 0.0)
    array([[1. , 0.5, 0. , 0.5]])
    """
    axes = []
    for size in grid:
        beyond = np.maximum(np.abs(np.arange(size) - size // 2) - size * center_fraction / 2, 0)
        axes.append(beyond / max(beyond.max(), 1e-9))
    return np.hypot(axes[0][:, None], axes[1][None, :])


def disc_radii(k: np.ndarray, level: float) -> np.ndarray:
    """Return the radii of the discs in grid steps, ``0.7 (1 + s k)`` with ``s = level - 1``.

    Below level 1 the slope is 0, and the points with ``k <= (1 - level) max k`` have the radius 0.1, which samples all
    of them.

    Args:
        k: distances from the calibration square, any shape.
        level: at least 0.

    Returns:
        The radii, the shape of ``k``.

    >>> disc_radii(np.array([0.0, 0.5, 1.0]), 3.0), disc_radii(np.array([0.0, 0.5, 1.0]), 0.4)
    (array([0.7, 1.4, 2.1]), array([0.1, 0.1, 0.7]))
    """
    sparse = k > max(1 - level, 0) * k.max()
    return np.where(sparse | (level >= 1), SMALLEST_RADIUS * (1 + max(level - 1, 0) * k), 0.1)


def throw_number_of_darts(k: np.ndarray, candidates: np.ndarray, jitter: np.ndarray, number: int) -> np.ndarray:
    """Find the level of `disc_radii` for which `throw_darts` takes ``number`` points or few more.

    The search shrinks a bracket around the level. The next trial interpolates ``1 / sqrt(points)``, which is nearly
    linear in the level, but stays well inside the bracket. There are at most ``MOST_TRIALS`` trials.

    Args:
        k: distances from the calibration square, (y, x).
        candidates: flat indices of the points that may be taken, in the order in which they are tried.
        jitter: (y, x, 2), see `throw_darts`.
        number: how many points are taken, at most as many as candidates.

    Returns:
        Flat indices of exactly ``number`` points.

    >>> order = np.random.RandomState(0).permutation(400)
    >>> throw_number_of_darts(distance_from_square((20, 20), 0.1), order, np.zeros((20, 20, 2)), 60).shape
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
        points = throw_darts(disc_radii(k, level), candidates, jitter)
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


def throw_darts(radius: np.ndarray, candidates: np.ndarray, jitter: np.ndarray) -> np.ndarray:
    """Take grid points in the given order, each of which excludes later points from its disc.

    A dart for the point q lands at ``q + jitter(q)``. The point q is taken if its dart lies in the disc of no point p
    that was taken before: it is left out where ``|q + jitter(q) - p| < radius(p)``. Two points are therefore no closer
    than the smaller of their two radii less the largest jitter, and every candidate that is left out lies in the disc
    of a point that is taken. Without jitter, ranges of radii would give the same density, because distances on a grid
    are discrete.

    Candidates are processed in portions. Within a portion, all candidates that lie in no earlier candidate's disc are
    taken together, the candidates in their discs are removed, and this repeats. Each pass takes at least one
    candidate, so the loop ends for every input.

    Args:
        radius: (y, x), above 0, in grid steps.
        candidates: flat indices of the points that may be taken, in the order in which they are tried.
        jitter: (y, x, 2), where in its cell each dart lands, -0.5 to 0.5 grid steps along y and x.

    Returns:
        Flat indices of the points taken, in the order in which they were taken.

    Source: Bridson, "Fast Poisson disk sampling in arbitrary dimensions", ACM SIGGRAPH sketches, 2007, for the discs;
    Blelloch, Fineman, Shun, "Greedy sequential maximal independent set and matching are parallel on average", ACM
    SPAA 308-317, 2012, section 3, for taking many at a time.

    >>> throw_darts(np.full((1, 9), 3.0), np.array([4, 2, 0, 7, 8, 1, 3, 5, 6]), jitter=np.zeros((1, 9, 2)))
    array([4, 0, 7])
    """
    height, width = radius.shape
    furthest = radius.ravel() + float(np.hypot(*jitter.reshape(-1, 2).T).max(initial=0.0)) + 1e-9
    offsets, squares = disc_offsets(float(furthest.max()))
    cells_of = np.searchsorted(squares, furthest**2)  # the first cells_of[p] offsets contain the disc of p
    landing, radii = jitter.reshape(-1, 2), radius.ravel() ** 2
    blocked, first = np.zeros(radius.size, dtype=bool), np.zeros(radius.size, dtype=np.int64)
    taken = []
    total = np.cumsum(cells_of[candidates])
    portion = max(min(CELLS_AT_ONCE, total[-1] // 16 if len(total) else 0), 1)
    for waiting in np.split(candidates, np.flatnonzero(np.diff(total // portion)) + 1):
        waiting = waiting[~blocked[waiting]]
        while waiting.size:
            counts = cells_of[waiting]
            owner = np.repeat(np.arange(waiting.size), counts)
            nth = np.arange(owner.size) - np.repeat(np.cumsum(counts) - counts, counts)
            y, x = waiting[owner] // width + offsets[nth, 0], waiting[owner] % width + offsets[nth, 1]
            on_grid = (y >= 0) & (y < height) & (x >= 0) & (x < width)
            cells, owner, steps = (y * width + x)[on_grid], owner[on_grid], offsets[nth[on_grid]]
            landed = steps + landing[cells]
            hit = (landed[:, 0] ** 2 + landed[:, 1] ** 2 < radii[waiting[owner]]) | (steps == 0).all(axis=1)
            cells, owner = cells[hit], owner[hit]
            first[cells[::-1]] = owner[::-1]  # where discs overlap, the earliest candidate is written last
            wins = first[waiting] == np.arange(waiting.size)
            taken.append(waiting[wins])
            blocked[cells[wins[owner]]] = True
            waiting = waiting[~blocked[waiting]]
    return np.concatenate(taken) if taken else candidates[:0]


def disc_offsets(radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the steps (n, 2) from a point to all points closer than ``radius``, nearest first, and their squares (n,).

    >>> disc_offsets(1.2)[1]
    array([0, 1, 1, 1, 1])
    """
    line = np.arange(-int(radius), int(radius) + 1)
    steps = np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1).reshape(-1, 2)
    squares = (steps**2).sum(axis=1)
    order = np.argsort(squares, kind="stable")
    order = order[squares[order] < radius**2]
    return steps[order], squares[order]
