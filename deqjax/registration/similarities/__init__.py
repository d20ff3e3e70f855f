"""How unlike two images are, all to be minimised: settings called with fixed, warped, mask and grid.

Those with a ``curvature`` are nearly sums of squares, which Gauss-Newton needs; the others go to L-BFGS.
"""

from deqjax.registration.similarities.joint_histogram import entropy, joint_histogram
from deqjax.registration.similarities.local_ncc import LocalNCC
from deqjax.registration.similarities.mind import MIND
from deqjax.registration.similarities.mse import MSE
from deqjax.registration.similarities.mutual_information import MutualInformation, NormalisedMutualInformation
from deqjax.registration.similarities.ncc import NCC
from deqjax.registration.similarities.ngf import NGF
from deqjax.registration.similarities.perpendicular import Perpendicular
from deqjax.registration.similarities.perpendicular_field import PerpendicularField
from deqjax.registration.similarities.similarity import LeastSquares, Similarity

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
    "entropy",
    "joint_histogram",
]
