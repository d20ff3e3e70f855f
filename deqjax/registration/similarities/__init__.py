"""Measures of how much two images differ, all to be minimised: settings called with fixed, warped, mask and grid.

Those with a ``curvature`` (`LeastSquares`) are nearly sums of squares, which Gauss-Newton needs; L-BFGS minimises the
others.
"""

from deqjax.registration.similarities.correlation import NCC, LocalNCC
from deqjax.registration.similarities.information import (
    MutualInformation,
    NormalisedMutualInformation,
    entropy,
    joint_histogram,
)
from deqjax.registration.similarities.squared_differences import MSE, Perpendicular, PerpendicularField
from deqjax.registration.similarities.structure import MIND, NGF
from deqjax.registration.similarities.weighted_sum import WeightedSum
from deqjax.registration.types import LeastSquares, Similarity

__all__ = [
    "MIND",
    "MSE",
    "NCC",
    "NGF",
    "LeastSquares",
    "LocalNCC",
    "MutualInformation",
    "NormalisedMutualInformation",
    "Perpendicular",
    "PerpendicularField",
    "Similarity",
    "WeightedSum",
    "entropy",
    "joint_histogram",
]
