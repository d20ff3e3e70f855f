"""What is sampled: ``mask(shape, seed)`` on the host, float32, one file per pattern; trajectories beside them.

Whole lines are (1, x), points in the plane (y, x), lines for a cine (t, 1, x).
"""

from deqjax.masks.cartesian_equispaced import CartesianEquispaced
from deqjax.masks.cartesian_equispaced_fraction import CartesianEquispacedFraction
from deqjax.masks.cartesian_magic import CartesianMagic
from deqjax.masks.cartesian_magic_fraction import CartesianMagicFraction
from deqjax.masks.cartesian_normal import CartesianNormal
from deqjax.masks.cartesian_random import CartesianRandom
from deqjax.masks.density_compensation import density_compensation, radial_density
from deqjax.masks.gaussian_1d import Gaussian1D
from deqjax.masks.gaussian_2d import Gaussian2D
from deqjax.masks.incoherence import incoherence
from deqjax.masks.kt_interleaved import KtInterleaved
from deqjax.masks.kt_random import KtRandom
from deqjax.masks.partial_fourier import PartialFourier
from deqjax.masks.poisson_disc import PoissonDisc
from deqjax.masks.radial import Radial
from deqjax.masks.radial_trajectory import radial_trajectory
from deqjax.masks.realised_acceleration import realised_acceleration
from deqjax.masks.spiral import Spiral
from deqjax.masks.spiral_trajectory import spiral_trajectory

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
    "density_compensation",
    "incoherence",
    "radial_density",
    "radial_trajectory",
    "realised_acceleration",
    "spiral_trajectory",
]
