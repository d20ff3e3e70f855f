"""Points that keep their distance, on a grid, many at a time."""

import numpy as np

CELLS_AT_ONCE = 2_000_000
"""Most grid cells written in one go: bounds the memory at about 100 MB, whatever the radius."""


def throw_darts(radius: np.ndarray, candidates: np.ndarray, aim: np.ndarray) -> np.ndarray:
    """Choose grid points in random order so that each keeps the others out of its disc.

    A dart for the point q lands at ``q + aim(q)``; q is taken where no point p taken before has it in its disc,
    ``|q + aim(q) - p| < radius(p)``. So no two points are closer than the smaller of their two radii, less the largest
    aim, and every candidate left out lies in the disc of one that is taken. With no aim, whole ranges of radii would
    give the same density, because distances on a grid come in steps.
    Candidates come in portions; within a portion all that are in no earlier candidate's disc are taken together, the
    ones in their discs are struck out, and so on. Each pass takes at least one candidate: it ends for every input.

    Args:
      radius: (y, x), above 0, in grid steps.
      candidates: flat indices of the points that may be taken, in the order in which they are tried.
      aim: (y, x, 2), where in its cell each dart lands, -0.5 to 0.5 grid steps along y and x.

    Returns:
      flat indices of the points taken, in the order in which they were.

    Source: Bridson, "Fast Poisson disk sampling in arbitrary dimensions", ACM SIGGRAPH sketches, 2007, for the discs;
    Blelloch, Fineman, Shun, "Greedy sequential maximal independent set and matching are parallel on average", ACM
    SPAA 308-317, 2012, section 3, for taking many at a time.

    >>> throw_darts(np.full((1, 9), 3.0), np.array([4, 2, 0, 7, 8, 1, 3, 5, 6]), aim=np.zeros((1, 9, 2)))
    array([4, 0, 7])
    """
    height, width = radius.shape
    reach = radius.ravel() + float(np.hypot(*aim.reshape(-1, 2).T).max(initial=0.0)) + 1e-9
    offsets, squares = discs(float(reach.max()))
    cells_of = np.searchsorted(squares, reach**2)  # the first so many offsets hold the disc
    landing, radii = aim.reshape(-1, 2), radius.ravel() ** 2
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
            there = (y >= 0) & (y < height) & (x >= 0) & (x < width)
            cells, owner, steps = (y * width + x)[there], owner[there], offsets[nth[there]]
            landed = steps + landing[cells]
            hit = (landed[:, 0] ** 2 + landed[:, 1] ** 2 < radii[waiting[owner]]) | (steps == 0).all(axis=1)
            cells, owner = cells[hit], owner[hit]
            first[cells[::-1]] = owner[::-1]  # where discs overlap, the earliest candidate writes last
            wins = first[waiting] == np.arange(waiting.size)
            taken.append(waiting[wins])
            blocked[cells[wins[owner]]] = True
            waiting = waiting[~blocked[waiting]]
    return np.concatenate(taken) if taken else candidates[:0]


def discs(radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Steps (n, 2) from a point to all the points closer than ``radius``, nearest first, and their squared lengths.

    >>> discs(1.2)[1]
    array([0, 1, 1, 1, 1])
    """
    reach = np.arange(-int(radius), int(radius) + 1)
    steps = np.stack(np.meshgrid(reach, reach, indexing="ij"), axis=-1).reshape(-1, 2)
    squares = (steps**2).sum(axis=1)
    order = np.argsort(squares, kind="stable")
    order = order[squares[order] < radius**2]
    return steps[order], squares[order]
