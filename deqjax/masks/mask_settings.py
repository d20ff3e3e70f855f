"""The settings that all sampling patterns have: acceleration, centre fraction and the seed of the generator."""

import numpy as np

Choices = float | tuple[float, ...]
"""One value, or several values of which each mask draws one."""

Seed = int | tuple[int, ...] | str
"""An int, a tuple of ints, or a file name with its suffix, which stands for ``tuple(map(ord, name))``."""


def as_choices(value: Choices) -> tuple[float, ...]:
    """Return one value or several values as a tuple.

    >>> as_choices(4), as_choices((4, 8))
    ((4,), (4, 8))
    """
    return value if isinstance(value, tuple) else (value,)


def smallest(choices: Choices) -> float:
    """Return the smallest of the values that a mask may draw.

    >>> smallest((0.08, 0.04)), smallest(1)
    (0.04, 1.0)
    """
    return float(min(as_choices(choices)))


def check_settings(acceleration: Choices, center_fraction: Choices, whole: bool = False) -> None:
    """Check the acceleration and the centre fraction when a pattern is constructed.

    Args:
        acceleration: one value or several.
        center_fraction: one value or several, as many as accelerations.
        whole: whether the pattern needs a whole acceleration.

    Raises:
        ValueError: An acceleration is below 1, or not whole where it must be; a centre fraction is outside (0, 1];
            the numbers of choices differ or are 0; the choices are lists.

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


def random_state(seed: Seed) -> np.random.RandomState:
    """Return the legacy NumPy generator that fastMRI uses, seeded by an int, a tuple of ints or a file name.

    Raises:
        ValueError: The seed is none of these, is empty, or holds a number outside [0, 2**32).

    >>> bool(random_state("file.h5").uniform() == random_state(tuple(map(ord, "file.h5"))).uniform())
    True
    """
    values = tuple(map(ord, seed)) if isinstance(seed, str) else seed
    integers = values if isinstance(values, tuple) else (values,)
    if not integers or any(not isinstance(n, (int, np.integer)) or not 0 <= n < 2**32 for n in integers):
        raise ValueError(
            f"seed must be an int, a non-empty tuple of ints, all in [0, 2**32), or a file name; got {seed!r}"
        )
    return np.random.RandomState(values)


def draw_choice(rng: np.random.RandomState, acceleration: Choices, center_fraction: Choices) -> tuple[float, float]:
    """Draw one pair of acceleration and centre fraction. One pair alone takes no random number.

    >>> draw_choice(random_state(0), (4, 8), (0.08, 0.04))
    (4, 0.08)
    """
    accelerations, fractions = as_choices(acceleration), as_choices(center_fraction)
    choice = rng.randint(len(accelerations))
    return accelerations[choice], fractions[choice]
