"""What every pattern of whole k-space lines shares: its settings checked, its generator, its centre, its shape."""

import numpy as np

Choices = float | tuple[float, ...]
"""One value, or several of which each mask draws one."""

Seed = int | tuple[int, ...] | str
"""An int, a tuple of ints, or a file name with its suffix, which stands for ``tuple(map(ord, name))``."""


def as_choices(value: Choices) -> tuple[float, ...]:
    """View one value or several as a tuple.

    >>> as_choices(4), as_choices((4, 8))
    ((4,), (4, 8))
    """
    return value if isinstance(value, tuple) else (value,)


def check_settings(acceleration: Choices, center_fraction: Choices, whole: bool = False) -> None:
    """Refuse settings that no mask can have: called when a pattern is made, so that a bad one never exists.

    >>> check_settings(0.5, 0.08)
    Traceback (most recent call last):
    ValueError: acceleration must be a number of at least 1, got 0.5: it is the lines of the grid over the lines sampled
    """
    accelerations, fractions = as_choices(acceleration), as_choices(center_fraction)
    if isinstance(acceleration, list) or isinstance(center_fraction, list):
        raise ValueError(f"several choices go in a tuple, got {acceleration!r} and {center_fraction!r}")
    for value in accelerations:
        if not isinstance(value, (int, float)) or not value >= 1:
            raise ValueError(
                f"acceleration must be a number of at least 1, got {value!r}: it is the lines of the grid over the "
                "lines sampled"
            )
        if whole and value != int(value):
            raise ValueError(f"acceleration must be a whole number for this pattern, got {value}: it is a line spacing")
    for value in fractions:
        if not isinstance(value, (int, float)) or not 0 < value <= 1:
            raise ValueError(
                f"center_fraction must lie in (0, 1], got {value!r}: it is the fraction of all lines that are sampled "
                "around the centre, 0.08 and 0.04 are usual"
            )
    if not accelerations or len(accelerations) != len(fractions):
        raise ValueError(
            f"acceleration has {len(accelerations)} choices and center_fraction {len(fractions)}: they are drawn in "
            "pairs, give both the same number, at least one"
        )


def generator(seed: Seed) -> np.random.RandomState:
    """Start the legacy NumPy generator that fastMRI uses, from an int, a tuple of ints or a file name.

    >>> bool(generator("file.h5").uniform() == generator(tuple(map(ord, "file.h5"))).uniform())
    True
    """
    values = tuple(map(ord, seed)) if isinstance(seed, str) else seed
    numbers = values if isinstance(values, tuple) else (values,)
    if not numbers or any(not isinstance(n, (int, np.integer)) or not 0 <= n < 2**32 for n in numbers):
        raise ValueError(
            f"seed must be an int, a non-empty tuple of ints, all in [0, 2**32), or a file name; got {seed!r}"
        )
    return np.random.RandomState(values)


def draw_choice(rng: np.random.RandomState, acceleration: Choices, center_fraction: Choices) -> tuple[float, float]:
    """Draw one pair of acceleration and centre fraction; with one pair nothing is consumed from the generator.

    >>> draw_choice(generator(0), (4, 8), (0.08, 0.04))
    (4, 0.08)
    """
    accelerations, fractions = as_choices(acceleration), as_choices(center_fraction)
    choice = rng.randint(len(accelerations))
    return accelerations[choice], fractions[choice]


def width_of(shape: tuple[int, ...]) -> int:
    """Number of lines, the last of the axes (..., y, x).

    >>> width_of((16, 640, 368))
    368
    """
    if len(shape) < 2 or shape[-1] < 1:
        raise ValueError(f"shape must be (..., y, x) with at least one line along x, got {tuple(shape)}")
    return int(shape[-1])


def check_center(num_center: int, width: int, acceleration: float, strict: bool = False) -> None:
    """Refuse a request for fewer lines than the centre alone has.

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


def center_lines(width: int, num_center: int) -> np.ndarray:
    """Mark the ``num_center`` central lines, starting at ``(width - num_center + 1) // 2``; bool (x,).

    >>> center_lines(6, 2).astype(int)
    array([0, 0, 1, 1, 0, 0])
    """
    lines = np.zeros(width, dtype=bool)
    start = (width - num_center + 1) // 2
    lines[start : start + num_center] = True
    return lines


def as_mask(lines: np.ndarray, padding: tuple[int, int] | None) -> np.ndarray:
    """Turn lines (x,) into a mask (1, x), float32, zero outside ``padding[0] <= x < padding[1]``.

    >>> as_mask(np.ones(4, bool), (1, 3))
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
