"""Training: one compiled step, its state, its optimizer, and checkpoints. Only this folder imports optax and Orbax."""

from deqjax.training.checkpoint import Checkpoints
from deqjax.training.state import TrainState, create_state, make_optimizer, restart
from deqjax.training.step import NonFiniteError, check_finite, count_refused, make_train_step, replicate

__all__ = [
    "Checkpoints",
    "NonFiniteError",
    "TrainState",
    "check_finite",
    "count_refused",
    "create_state",
    "make_optimizer",
    "make_train_step",
    "replicate",
    "restart",
]
