"""Maps from fixed points to moving points (in mm), and the transforms that compute maps from free parameters.

A map is an operand: it holds arrays and has ``apply_points``, ``displacement``, ``inverse`` and
``jacobian_determinant``. A transform is a setting: it defines how many free parameters there are and what they mean.
"""

from deqjax.registration.transforms.composite import Composite, linear_map
from deqjax.registration.transforms.dense import Dense, DisplacementMap
from deqjax.registration.transforms.free_form import FreeForm, SplineMap
from deqjax.registration.transforms.inverse import InverseMap, invert_points
from deqjax.registration.transforms.linear import (
    Affine,
    LinearMap,
    Rigid,
    RotationScaleShear,
    Similarity,
    Translation,
)
from deqjax.registration.transforms.velocity import Velocity, VelocityMap
from deqjax.registration.types import Map, Transform

__all__ = [
    "Affine",
    "Composite",
    "Dense",
    "DisplacementMap",
    "FreeForm",
    "InverseMap",
    "LinearMap",
    "Map",
    "Rigid",
    "RotationScaleShear",
    "Similarity",
    "SplineMap",
    "Transform",
    "Translation",
    "Velocity",
    "VelocityMap",
    "invert_points",
    "linear_map",
]
