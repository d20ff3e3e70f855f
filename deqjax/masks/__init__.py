"""Sampling masks and non-Cartesian trajectories of k-space, computed on the host with NumPy.

A pattern is a frozen dataclass. ``pattern(shape, seed, padding=None)`` returns a float32 mask of zeros and ones: (1, x)
for whole lines, (y, x) for points in the plane, (t, 1, x) for the lines of a cine. `deqjax.types.Mask` describes the
arguments and ``calibration_fraction``.
"""

from deqjax.masks.cartesian import CartesianEquispaced, CartesianEquispacedFraction, CartesianNormal, CartesianRandom
from deqjax.masks.cartesian_magic import CartesianMagic, CartesianMagicFraction
from deqjax.masks.dynamic import KtInterleaved, KtRandom
from deqjax.masks.partial_fourier import PartialFourier
from deqjax.masks.poisson_disc import PoissonDisc
from deqjax.masks.quality import incoherence, realised_acceleration
from deqjax.masks.radial_and_spiral import Radial, Spiral
from deqjax.masks.sampling_density import density, drawn_masks
from deqjax.masks.trajectories import density_compensation, radial_density, radial_trajectory, spiral_trajectory
from deqjax.masks.variable_density import Gaussian1D, Gaussian2D

__all__ = [
    "CartesianEquispaced",
    "CartesianEquispacedFraction",
    "CartesianMagic",
    "CartesianMagicFraction",
    "CartesianNormal",
    "CartesianRandom",
    "Gaussian1D",
    "Gaussian2D",
    "KtInterleaved",
    "KtRandom",
    "PartialFourier",
    "PoissonDisc",
    "Radial",
    "Spiral",
    "density",
    "density_compensation",
    "drawn_masks",
    "incoherence",
    "radial_density",
    "radial_trajectory",
    "realised_acceleration",
    "spiral_trajectory",
]
