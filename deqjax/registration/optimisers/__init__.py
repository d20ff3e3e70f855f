"""How a level is minimised: settings with ``minimise(objective, start)``."""

from deqjax.registration.optimisers.adam import Adam
from deqjax.registration.optimisers.demons import Demons
from deqjax.registration.optimisers.evolution import Evolution
from deqjax.registration.optimisers.gauss_newton import GaussNewton
from deqjax.registration.optimisers.lbfgs import LBFGS
from deqjax.registration.optimisers.optimiser import Optimiser

__all__ = ["LBFGS", "Adam", "Demons", "Evolution", "GaussNewton", "Optimiser"]
