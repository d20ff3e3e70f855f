"""Optimizers of one level: settings with a method ``minimise(objective, start)``."""

from deqjax.registration.optimizers.demons_updates import Demons
from deqjax.registration.optimizers.evolution import Evolution
from deqjax.registration.optimizers.gauss_newton import GaussNewton
from deqjax.registration.optimizers.gradient import Adam
from deqjax.registration.optimizers.lbfgs import LBFGS
from deqjax.registration.optimizers.symmetric_normalisation import SyN
from deqjax.registration.types import Optimizer

__all__ = ["LBFGS", "Adam", "Demons", "Evolution", "GaussNewton", "Optimizer", "SyN"]
