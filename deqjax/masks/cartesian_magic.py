"""fastMRI's "magic" masks: equispaced lines with opposite offsets in the two halves of k-space.

The opposite offsets exploit the conjugate symmetry of the k-space of a real image.
"""

from dataclasses import dataclass

import numpy as np

from deqjax.masks.mask_grid import center_lines, mask_of_lines, width_of
from deqjax.masks.mask_settings import Choices, Seed, check_settings, draw_choice, random_state, smallest


@dataclass(frozen=True)
class CartesianMagic:
    """Sample every ``acceleration``-th line with opposite offsets in the two halves, and also the centre.

    Lines ``k`` and ``-k`` of a real image are conjugates of each other. With opposite offsets the two halves therefore
    contain more information than two halves that mirror each other; `magic_lines` gives the offsets. The centre is
    sampled **in addition**, so the realised acceleration is lower: at width 368, "4" with 8 % centre gives 3.23, and
    "8" with 4 % gives 6.24. `CartesianMagicFraction` corrects for that.

    ``mask(shape, seed, padding=None)`` returns float32 (1, x), bit-equal to fastMRI's ``MagicMaskFunc``; see
    `deqjax.types.Mask` for the arguments.

    Args:
        acceleration: a whole number of at least 1, the line spacing; each mask draws one pair of several accelerations
            and centre fractions.
        center_fraction: fraction of the lines that are central, in (0, 1].

    Raises:
        ValueError: An argument is out of its range, or the numbers of choices differ.

    Source: Defazio, "Offset Sampling Improves Deep Learning based Accelerated MRI Reconstructions by Exploiting
    Symmetry", arXiv:1912.01101, 2019; code ``fastmri/data/subsample.py``.

    >>> CartesianMagic(acceleration=4, center_fraction=0.25)((8, 12), seed=0)
    array([[0., 0., 0., 1., 0., 1., 1., 1., 0., 0., 0., 1.]], dtype=float32)
    """

    acceleration: Choices = 4
    center_fraction: Choices = 0.08

    def __post_init__(self) -> None:
        check_settings(self.acceleration, self.center_fraction, whole=True)

    @property
    def calibration_fraction(self) -> float:
        """The smallest centre fraction that a mask may draw."""
        return smallest(self.center_fraction)

    def __call__(self, shape: tuple[int, ...], seed: Seed, padding: tuple[int, int] | None = None) -> np.ndarray:
        width, rng = width_of(shape), random_state(seed)
        acceleration, fraction = draw_choice(rng, self.acceleration, self.center_fraction)
        step = int(acceleration)
        lines = magic_lines(width, step, rng.randint(0, high=step))
        return mask_of_lines(lines | center_lines(width, round(width * fraction)), padding)


@dataclass(frozen=True)
class CartesianMagicFraction:
    """Sample as `CartesianMagic` does, with a wider spacing that accounts for the centre.

    There are ``n = round(width / R)`` lines in all, ``n_low = max(round(width * center_fraction), 1)`` of them central,
    and the spacing of the others is ``step = round(width / (n - n_low))``. At width 368, "4" with 8 % centre gives a
    realised acceleration of 4.28 to 4.33 (mean 4.30), and "8" with 4 % gives 8.18 to 8.56 (mean 8.31).

    ``mask(shape, seed, padding=None)`` returns float32 (1, x), bit-equal to fastMRI's ``MagicMaskFractionFunc``, except
    where that code divides by zero; see `deqjax.types.Mask` for the arguments.

    Args:
        acceleration: R, at least 1; each mask draws one pair of several accelerations and centre fractions.
        center_fraction: fraction of the lines that are central, in (0, 1].

    Raises:
        ValueError: An argument is out of its range, the numbers of choices differ, or, when called, ``n_low >= n``:
            then no line is left outside the centre and the spacing is undefined.

    Source: Defazio, "Offset Sampling Improves Deep Learning based Accelerated MRI Reconstructions by Exploiting
    Symmetry", arXiv:1912.01101, 2019; code ``fastmri/data/subsample.py``.

    >>> CartesianMagicFraction(acceleration=3, center_fraction=0.17)((8, 12), seed=0)
    array([[0., 0., 0., 0., 0., 1., 1., 0., 0., 0., 0., 1.]], dtype=float32)
    """

    acceleration: Choices = 4
    center_fraction: Choices = 0.08

    def __post_init__(self) -> None:
        check_settings(self.acceleration, self.center_fraction)

    @property
    def calibration_fraction(self) -> float:
        """The smallest centre fraction that a mask may draw."""
        return smallest(self.center_fraction)

    def __call__(self, shape: tuple[int, ...], seed: Seed, padding: tuple[int, int] | None = None) -> np.ndarray:
        width, rng = width_of(shape), random_state(seed)
        acceleration, fraction = draw_choice(rng, self.acceleration, self.center_fraction)
        num_lines, num_center = round(width / acceleration), max(round(width * fraction), 1)
        if num_center >= num_lines:
            raise ValueError(
                f"acceleration {acceleration:g} of {width} lines asks for {num_lines} lines, but center_fraction alone "
                f"samples {num_center}, which leaves no line to space: lower acceleration or center_fraction"
            )
        step = round(width / (num_lines - num_center))
        lines = magic_lines(width, step, rng.randint(0, high=step))
        return mask_of_lines(lines | center_lines(width, num_center), padding)


def magic_lines(width: int, step: int, offset: int) -> np.ndarray:
    """Mark every ``step``-th line, counted outwards from the centre line, with opposite offsets in the two halves.

    An even ``offset`` starts at line ``offset + 1`` of the right half and at the ``offset + 3``-rd line of the left
    half; an odd one starts at ``offset + 2`` and at ``offset``.

    Args:
        width: number of lines.
        step: spacing of the lines.
        offset: 0 to ``step - 1``.

    Returns:
        bool (x,).

    Source: Defazio 2019, see `CartesianMagic`.

    >>> magic_lines(12, 4, 0).astype(int)
    array([0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1])
    """
    right, left = (offset + 1, offset + 2) if offset % 2 == 0 else (offset + 2, offset - 1)
    half = (width + 1) // 2
    lines = np.zeros(width, dtype=bool)
    lines[:half][right::step] = True
    lines[half:][::-1][left::step] = True
    return np.fft.fftshift(lines)
