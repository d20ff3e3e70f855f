"""Cartesian masks of whole lines: random, equispaced, and drawn from a normal density.

All but `CartesianNormal` follow fastMRI, and all agree bit for bit with the code that they cite.
"""

from dataclasses import dataclass

import numpy as np

from deqjax.masks.mask_grid import center_lines, check_center, mask_of_lines, width_of
from deqjax.masks.mask_settings import Choices, Seed, check_settings, draw_choice, random_state, smallest


@dataclass(frozen=True)
class CartesianRandom:
    """Sample the centre, and every other line with the same probability.

    ``n_low = round(width * center_fraction)`` central lines are sampled, and each line for which a uniform draw is
    below ``(width / acceleration - n_low) / (width - n_low)``. The number of lines is therefore right only on average.
    At width 368, "4" with 8 % centre gives a realised acceleration of 3.2 to 5.5 (mean 4.02), and "8" with 4 % gives
    5.7 to 12.7 (mean 8.10, 2000 seeds).

    ``mask(shape, seed, padding=None)`` returns float32 (1, x), bit-equal to fastMRI's ``RandomMaskFunc``; see
    `deqjax.types.Mask` for the arguments.

    Args:
        acceleration: at least 1; each mask draws one pair of several accelerations and centre fractions.
        center_fraction: fraction of the lines that are central, in (0, 1].

    Raises:
        ValueError: An argument is out of its range, the numbers of choices differ, or, when called, there are more
            centre lines than ``width / acceleration``.

    Source: Zbontar et al., "fastMRI: An Open Dataset and Benchmarks for Accelerated MRI", arXiv:1811.08839, 2018,
    "Cartesian Undersampling"; code ``fastmri/data/subsample.py``.

    >>> CartesianRandom(acceleration=4, center_fraction=0.25)((8, 12), seed=0)
    array([[0., 0., 0., 0., 0., 1., 1., 1., 0., 0., 0., 0.]], dtype=float32)
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
        num_center = round(width * fraction)
        check_center(num_center, width, acceleration)
        probability = (width / acceleration - num_center) / max(width - num_center, 1)
        lines = rng.uniform(size=width) < probability
        return mask_of_lines(lines | center_lines(width, num_center), padding)


@dataclass(frozen=True)
class CartesianEquispaced:
    """Sample every ``acceleration``-th line from a random offset, and also the centre.

    The lines are ``{offset, offset + R, offset + 2 R, ...}`` with ``offset`` uniform in ``0 .. R - 1``. The
    ``round(width * center_fraction)`` central lines are sampled **in addition**, so the realised acceleration is lower
    than R: at width 368, "4" with 8 % centre gives 3.23 (3.24 on average), and "8" with 4 % gives 6.23.
    `CartesianEquispacedFraction` corrects for that.

    ``mask(shape, seed, padding=None)`` returns float32 (1, x), bit-equal to fastMRI's ``EquiSpacedMaskFunc``; see
    `deqjax.types.Mask` for the arguments.

    Args:
        acceleration: a whole number of at least 1, the line spacing R; each mask draws one pair of several
            accelerations and centre fractions.
        center_fraction: fraction of the lines that are central, in (0, 1].

    Raises:
        ValueError: An argument is out of its range, or the numbers of choices differ.

    Source: Zbontar et al., "fastMRI: An Open Dataset and Benchmarks for Accelerated MRI", arXiv:1811.08839, 2018,
    "Cartesian Undersampling"; code ``fastmri/data/subsample.py``.

    >>> CartesianEquispaced(acceleration=4, center_fraction=0.25)((8, 12), seed=0)
    array([[1., 0., 0., 0., 1., 1., 1., 1., 1., 0., 0., 0.]], dtype=float32)
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
        lines = center_lines(width, round(width * fraction))
        lines[rng.randint(0, high=step) :: step] = True
        return mask_of_lines(lines, padding)


@dataclass(frozen=True)
class CartesianEquispacedFraction:
    """Sample the centre and equispaced lines, with the spacing that reaches ``acceleration`` in total.

    The spacing is ``step = R (n_low - width) / (n_low R - width)`` with ``n_low = round(width * center_fraction)``; it
    need not be whole. The lines are ``round(offset + k step)`` below ``width - 1``, with ``offset`` uniform in
    ``0 .. round(step) - 1``. At width 368, "4" with 8 % centre gives a realised acceleration of 3.96 to 4.04 (mean
    4.00), and "8" with 4 % gives 7.83 to 8.18 (mean 8.02), depending on the offset. The fastMRI test sets are masked
    this way.

    ``mask(shape, seed, padding=None)`` returns float32 (1, x), bit-equal to fastMRI's ``EquispacedMaskFractionFunc``;
    see `deqjax.types.Mask` for the arguments.

    Args:
        acceleration: R, at least 1; each mask draws one pair of several accelerations and centre fractions.
        center_fraction: fraction of the lines that are central, in (0, 1].

    Raises:
        ValueError: An argument is out of its range, the numbers of choices differ, or, when called, there are at
            least ``width / acceleration`` centre lines.

    Source: Zbontar et al., "fastMRI: An Open Dataset and Benchmarks for Accelerated MRI", arXiv:1811.08839, 2018,
    "Cartesian Undersampling"; code ``fastmri/data/subsample.py``.

    >>> CartesianEquispacedFraction(acceleration=3, center_fraction=0.17)((8, 12), seed=0)
    array([[0., 0., 0., 0., 1., 1., 1., 0., 0., 1., 0., 0.]], dtype=float32)
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
        num_center = round(width * fraction)
        check_center(num_center, width, acceleration, strict=True)
        step = acceleration * (num_center - width) / (num_center * acceleration - width)
        offset = rng.randint(0, high=round(step))
        lines = center_lines(width, num_center)
        lines[np.around(np.arange(offset, width - 1, step)).astype(int)] = True
        return mask_of_lines(lines, padding)


@dataclass(frozen=True)
class CartesianNormal:
    """Sample the centre, and draw lines from a normal density until there are more than ``width / acceleration``.

    The lines lie at ``linspace(-3, 3, width)``. A standard normal draw within (-3, 3) marks the nearest line; draws are
    repeated until ``floor(width / acceleration) + 1`` lines are marked, or all lines where that is more than there are.
    The number of lines is therefore the same for every seed. At width 368, "8" with 4 % centre always gives 47 lines, a
    realised acceleration of 7.83, and "4" gives 93 lines, 3.96.

    ``mask(shape, seed, padding=None)`` returns float32 (1, x), bit-equal to the reference code of the paper, which uses
    seed 0 throughout; see `deqjax.types.Mask` for the arguments.

    Args:
        acceleration: at least 1; each mask draws one pair of several accelerations and centre fractions.
        center_fraction: fraction of the lines that are central, in (0, 1].

    Raises:
        ValueError: An argument is out of its range, the numbers of choices differ, or, when called, there are more
            centre lines than ``width / acceleration``.

    Source: Gilton, Ongie, Willett, "Deep Equilibrium Architectures for Inverse Problems in Imaging", IEEE Transactions
    on Computational Imaging 7:1123-1133, 2021; its code ``operators/singlecoil_mri.py``.

    >>> CartesianNormal(acceleration=4, center_fraction=0.17)((8, 12), seed=0)
    array([[0., 0., 0., 0., 0., 1., 1., 1., 0., 1., 0., 0.]], dtype=float32)
    """

    acceleration: Choices = 8
    center_fraction: Choices = 0.04

    def __post_init__(self) -> None:
        check_settings(self.acceleration, self.center_fraction)

    @property
    def calibration_fraction(self) -> float:
        """The smallest centre fraction that a mask may draw."""
        return smallest(self.center_fraction)

    def __call__(self, shape: tuple[int, ...], seed: Seed, padding: tuple[int, int] | None = None) -> np.ndarray:
        width, rng = width_of(shape), random_state(seed)
        acceleration, fraction = draw_choice(rng, self.acceleration, self.center_fraction)
        num_center = round(width * fraction)
        check_center(num_center, width, acceleration)
        num_lines = min(int(width / acceleration) + 1, width)
        positions, lines = np.linspace(-3.0, 3.0, width), center_lines(width, num_center)
        while lines.sum() < num_lines:
            draw = rng.standard_normal()
            if abs(draw) < 3:
                lines[np.abs(draw - positions).argmin()] = True
        return mask_of_lines(lines, padding)
