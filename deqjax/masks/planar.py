"""What every pattern of points in the plane (y, x) shares: its grid, its calibration square, its number of points."""

from collections.abc import Callable

import numpy as np

from deqjax.masks.lines import as_mask, center_lines


def grid_of(shape: tuple[int, ...]) -> tuple[int, int]:
    """Rows and columns, the last two of the axes (..., y, x).

    >>> grid_of((16, 640, 368))
    (640, 368)
    """
    if len(shape) < 2 or min(shape[-2:]) < 1:
        raise ValueError(f"shape must be (..., y, x) with at least one point along each, got {tuple(shape)}")
    return int(shape[-2]), int(shape[-1])


def center_square(grid: tuple[int, int], center_fraction: float) -> np.ndarray:
    """Mark the calibration square, ``round(size * center_fraction)`` points along each axis, at least one; bool (y, x).

    It lies where ``deqjax.physics.low_resolution_smaps`` looks for it.

    >>> center_square((4, 6), 0.34).astype(int)
    array([[0, 0, 0, 0, 0, 0],
           [0, 0, 0, 0, 0, 0],
           [0, 0, 1, 1, 0, 0],
           [0, 0, 0, 0, 0, 0]])
    """
    rows, columns = (center_lines(size, max(round(size * center_fraction), 1)) for size in grid)
    return rows[:, None] & columns[None, :]


def number_of_points(grid: tuple[int, int], acceleration: float, most: int, least: int, hint: str) -> int:
    """Points that an acceleration asks for, ``round(y x / acceleration)``, which must lie in ``least .. most``.

    >>> number_of_points((8, 8), 4, most=64, least=4, hint="lower center_fraction")
    16
    """
    total = grid[0] * grid[1]
    number = round(total / acceleration)
    if not least <= number <= most:
        reached = total / (least if number < least else most)
        raise ValueError(
            f"acceleration {acceleration:g} of the grid {grid} asks for {number} points, which cannot be reached: this "
            f"pattern has {least} to {most} of them, so that the nearest acceleration is {reached:.4g}; {hint}"
        )
    return number


def closest_fill(fill: Callable[[int], np.ndarray], number: int, most: int) -> np.ndarray:
    """The grid among ``fill(1) .. fill(most)`` whose count of points is nearest to ``number``, by bisection.

    ``fill`` gives bool grids with ever more points (up to rounding).

    >>> int(closest_fill(lambda n: np.arange(20) < 3 * n, number=10, most=6).sum())
    9
    """
    low, high = 1, max(most, 1)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if np.count_nonzero(fill(middle)) >= number else (middle + 1, high)
    grids = [fill(n) for n in (low, max(low - 1, 1))]
    return min(grids, key=lambda grid: abs(np.count_nonzero(grid) - number))


def planar_fill(
    fill: Callable[[int], np.ndarray],
    most: int,
    square: np.ndarray,
    acceleration: float,
    padding: tuple[int, int] | None,
) -> np.ndarray:
    """The mask among ``fill(1) .. fill(most)`` whose number of points is nearest to what the acceleration asks for.

    >>> rows = np.arange(8)[:, None] * np.ones((1, 8))
    >>> planar_fill(lambda n: rows < n, 8, rows < 1, acceleration=4, padding=None).sum()
    np.float32(16.0)
    """
    number = number_of_points(
        (square.shape[0], square.shape[1]),
        acceleration,
        int(fill(most).sum()),
        int(square.sum()),
        "lower acceleration or center_fraction" if acceleration > 2 else "raise acceleration",
    )
    return as_planar_mask(closest_fill(fill, number, most), padding)


def mark(grid: tuple[int, int], trajectory: np.ndarray) -> np.ndarray:
    """Mark the grid points nearest to the samples of a trajectory (..., 2) in cycles per field of view; bool (y, x).

    >>> mark((1, 4), np.array([[0.0, -1.2], [0.0, 9.0]])).astype(int)
    array([[0, 1, 0, 0]])
    """
    index = np.floor(np.asarray(trajectory).reshape(-1, 2) + 0.5).astype(int) + np.array([size // 2 for size in grid])
    index = index[((index >= 0) & (index < np.array(grid))).all(axis=1)]
    marked = np.zeros(grid, dtype=bool)
    marked[index[:, 0], index[:, 1]] = True
    return marked


def as_planar_mask(points: np.ndarray, padding: tuple[int, int] | None) -> np.ndarray:
    """Turn points (y, x) into a mask (y, x), float32, zero outside ``padding[0] <= x < padding[1]``.

    >>> as_planar_mask(np.ones((2, 4), bool), (1, 3))
    array([[0., 1., 1., 0.],
           [0., 1., 1., 0.]], dtype=float32)
    """
    return points * as_mask(np.ones(points.shape[1], dtype=bool), padding)
