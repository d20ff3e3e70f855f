"""Measures of how rough a field is: settings called with vectors (in mm), dense or control points, and their grid."""

from deqjax.registration.regularizers.consistency import InverseConsistency, Jacobian
from deqjax.registration.regularizers.derivatives import Bending, Curvature, Diffusion, Elastic, TotalVariation
from deqjax.registration.types import Regularizer

__all__ = [
    "Bending",
    "Curvature",
    "Diffusion",
    "Elastic",
    "InverseConsistency",
    "Jacobian",
    "Regularizer",
    "TotalVariation",
]
