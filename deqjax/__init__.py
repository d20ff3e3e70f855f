"""deqjax: MR image reconstruction with deep equilibrium models, in JAX and Flax."""

from deqjax import data, losses, maps, masks, metrics, nets, objectives, physics, priors, solvers
from deqjax.certificates import Certificate, certify, gradient_error_bound
from deqjax.implicit import Implicit, OneStep, Phantom, Unrolled, backward_probe, fixed_point
from deqjax.model_folders import load, models, reconstruct_kspace, save
from deqjax.normalisation import EnergyScale, SmoothPhase, StandardScore
from deqjax.reconstruct import Reconstructor
from deqjax.solvers import Stats

__version__ = "0.2.0"

__all__ = [
    "Certificate",
    "EnergyScale",
    "Implicit",
    "OneStep",
    "Phantom",
    "Reconstructor",
    "SmoothPhase",
    "StandardScore",
    "Stats",
    "Unrolled",
    "backward_probe",
    "certify",
    "data",
    "fixed_point",
    "gradient_error_bound",
    "load",
    "losses",
    "maps",
    "masks",
    "metrics",
    "models",
    "nets",
    "objectives",
    "physics",
    "priors",
    "reconstruct_kspace",
    "save",
    "solvers",
]
