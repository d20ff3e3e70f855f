"""Iteration maps: each one is a step x -> f(x) of an iteration whose fixed point is the reconstruction."""

from deqjax.maps.admm import ADMM
from deqjax.maps.fista import FISTA
from deqjax.maps.gradient import Gradient
from deqjax.maps.half_quadratic import HalfQuadratic
from deqjax.maps.multiscale import MultiScaleHalfQuadratic
from deqjax.maps.primal_dual import PrimalDual
from deqjax.maps.proximal_gradient import ProximalGradient
from deqjax.maps.sequence import Sequence

__all__ = [
    "ADMM",
    "FISTA",
    "Gradient",
    "HalfQuadratic",
    "MultiScaleHalfQuadratic",
    "PrimalDual",
    "ProximalGradient",
    "Sequence",
]
