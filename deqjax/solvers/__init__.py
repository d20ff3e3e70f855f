"""Fixed-point solvers: update rules on flat real vectors, and the loop that applies them to a batch of images."""

from deqjax.solvers.anderson import Anderson
from deqjax.solvers.broyden import Broyden
from deqjax.solvers.jaxopt_backend import JaxoptAnderson, JaxoptBroyden, JaxoptPicard
from deqjax.solvers.loop import Stats, change_bound, solve
from deqjax.solvers.newton_krylov import NewtonKrylov
from deqjax.solvers.picard import Picard

__all__ = [
    "Anderson",
    "Broyden",
    "JaxoptAnderson",
    "JaxoptBroyden",
    "JaxoptPicard",
    "NewtonKrylov",
    "Picard",
    "Stats",
    "change_bound",
    "solve",
]
