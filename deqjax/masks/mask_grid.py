"""The grid of k-space points and its fully sampled centre, for masks of whole lines and for masks of points."""

import numpy as np


def width_of(shape: tuple[int, ...]) -> int:
    """Return the number of lines, the last of the axes (..., y, x).

    Raises:
        ValueError: The shape has fewer than two axes, or no line.

    >>> width_of((16, 640, 368))
    368
    """
    if len(shape) < 2 or shape[-1] < 1:
        raise ValueError(f"shape must be (..., y, x) with at least one line along x, got {tuple(shape)}")
    return int(shape[-1])


def grid_of(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return the numbers of rows and columns, the last two of the axes (..., y, x).

    Raises:
        ValueError: The shape has fewer than two axes, or no point along one of them.

    >>> grid_of((16, 640, 368))
    (640, 368)
    """
    if len(shape) < 2 or min(shape[-2:]) < 1:
        raise ValueError(f"shape must be (..., y, x) with at least one point along each, got {tuple(shape)}")
    return int(shape[-2]), int(shape[-1])


def center_lines(width: int, num_center: int) -> np.ndarray:
    """Mark the ``num_center`` central lines, which start at ``(width - num_center + 1) // 2``; bool (x,).

    >>> center_lines(6, 2).astype(int)
    array([0, 0, 1, 1, 0, 0])
    """
    lines = np.zeros(width, dtype=bool)
    start = (width - num_center + 1) // 2
    lines[start : start + num_center] = True
    return lines


def center_square(grid: tuple[int, int], center_fraction: float) -> np.ndarray:
    """Mark the calibration square, ``round(size * center_fraction)`` points along each axis, at least 1; bool (y, x).

    The square lies where ``deqjax.physics.low_resolution_smaps`` reads it.

    >>> center_square((4, 6), 0.34).astype(int)
    array([[0, 0, 0, 0, 0, 0],
           [0, 0, 0, 0, 0, 0],
           [0, 0, 1, 1, 0, 0],
           [0, 0, 0, 0, 0, 0]])
    """
    rows, columns = (center_lines(size, max(round(size * center_fraction), 1)) for size in grid)
    return rows[:, None] & columns[None, :]


def check_center(num_center: int, width: int, acceleration: float, strict: bool = False) -> None:
    """Check that an acceleration asks for at least as many lines as the centre has, or for more if ``strict``.

    Raises:
        ValueError: It asks for fewer.

    >>> check_center(30, 100, 4)
    Traceback (most recent call last):
    ValueError: acceleration 4 of 100 lines asks for 25 lines, but center_fraction alone samples 30: ...
    """
    wanted = width / acceleration
    if num_center > wanted or (strict and num_center == wanted):
        raise ValueError(
            f"acceleration {acceleration:g} of {width} lines asks for {wanted:g} lines, but "
            f"center_fraction alone samples {num_center}: lower acceleration or center_fraction"
        )


def number_of_points(grid: tuple[int, int], acceleration: float, most: int, least: int, hint: str) -> int:
    """Return the number of points for an acceleration, ``round(Y X / acceleration)``.

    Args:
        grid: (y, x).
        acceleration: points of the grid over points sampled.
        most: the largest number of points that the pattern can sample.
        least: the smallest number of points, those of the calibration square.
        hint: what the user can change, for the error message.

    Raises:
        ValueError: The number is outside ``least .. most``; the message names the nearest acceleration.

    >>> number_of_points((8, 8), 4, most=64, least=4, hint="lower center_fraction")
    16
    """
    total = grid[0] * grid[1]
    number = round(total / acceleration)
    if not least <= number <= most:
        nearest = total / (least if number < least else most)
        raise ValueError(
            f"acceleration {acceleration:g} of the grid {grid} asks for {number} points, but this pattern samples "
            f"{least} to {most} points: the nearest acceleration is {nearest:.4g}; {hint}"
        )
    return number


def mask_of_lines(lines: np.ndarray, padding: tuple[int, int] | None) -> np.ndarray:
    """Convert marked lines (x,) to a mask (1, x), float32, which is zero outside ``padding[0] <= x < padding[1]``.

    Raises:
        ValueError: The padding is not (left, right) with 0 <= left < right.

    >>> mask_of_lines(np.ones(4, bool), (1, 3))
    array([[0., 1., 1., 0.]], dtype=float32)
    """
    mask = lines.astype(np.float32)
    if padding is not None:
        left, right = padding
        if not 0 <= left < right:
            raise ValueError(f"padding must be (left, right) with 0 <= left < right, got {padding}")
        mask[:left] = 0
        mask[right:] = 0
    return mask[None]


def mask_of_points(points: np.ndarray, padding: tuple[int, int] | None) -> np.ndarray:
    """Convert marked points (y, x) to a mask (y, x), float32, which is zero outside ``padding[0] <= x < padding[1]``.

    Raises:
        ValueError: The padding is not (left, right) with 0 <= left < right.

    >>> mask_of_points(np.ones((2, 4), bool), (1, 3))
    array([[0., 1., 1., 0.],
           [0., 1., 1., 0.]], dtype=float32)
    """
    return points * mask_of_lines(np.ones(points.shape[1], dtype=bool), padding)
