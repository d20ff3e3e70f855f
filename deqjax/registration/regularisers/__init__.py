"""How rough a field is: settings called with vectors (mm) and their grid, for dense fields and control points."""

from deqjax.registration.regularisers.bending import Bending
from deqjax.registration.regularisers.curvature import Curvature
from deqjax.registration.regularisers.diffusion import Diffusion
from deqjax.registration.regularisers.elastic import Elastic
from deqjax.registration.regularisers.inverse_consistency import InverseConsistency
from deqjax.registration.regularisers.jacobian import Jacobian
from deqjax.registration.regularisers.regulariser import Regulariser
from deqjax.registration.regularisers.total_variation import TotalVariation

__all__ = [
    "Bending",
    "Curvature",
    "Diffusion",
    "Elastic",
    "InverseConsistency",
    "Jacobian",
    "Regulariser",
    "TotalVariation",
]
