"""deqjax: MR image reconstruction with deep equilibrium models, in JAX and Flax."""

from importlib import import_module
from typing import Any

from deqjax import data, losses, maps, masks, metrics, nets, objectives, physics, priors, solvers, uncertainty
from deqjax.certificates import Certificate, certify, gradient_error_bound
from deqjax.implicit import Implicit, OneStep, Phantom, Unrolled, backward_probe, fixed_point, root
from deqjax.model_folders import load, models, save
from deqjax.normalisation import EnergyScale, SmoothPhase, StandardScore
from deqjax.reconstruct import Reconstructor
from deqjax.reconstruction import Reconstruction, reconstruct_kspace
from deqjax.solvers import Stats

__version__ = "0.2.0"

__all__ = [
    "Certificate",
    "EnergyScale",
    "Implicit",
    "OneStep",
    "Phantom",
    "Reconstruction",
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
    "registration",
    "root",
    "save",
    "solvers",
    "uncertainty",
]


def __getattr__(name: str) -> Any:
    """Import ``deqjax.registration`` when it is first used: reconstruction does not need it."""
    if name == "registration":
        return import_module("deqjax.registration")
    raise AttributeError(f"module 'deqjax' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
