"""The state that training carries from step to step."""

import jax
import jax.numpy as jnp
import optax

from deqjax.nets import init_spectral
from deqjax.nets.spectral_norm import Vectors
from deqjax.pytree import operand
from deqjax.types import Params


@operand
class TrainState:
    """What a checkpoint holds, and all that a resumed run needs.

    Random numbers are not part of it, because they are drawn from the seed and the step.
    """

    step: jax.Array
    """Number of steps done, over all phases."""

    params: Params
    """``{"method": ..., "loss": ...}`` as the optimizer sees them. The convolutions are bounded inside the step."""

    ema: Params
    """Moving average of the parameters of the method, which is evaluated and saved."""

    optimizer: optax.OptState
    spectral: Vectors
    """Vectors of the power iteration; empty if there is no bound."""


def create_state(
    params: Params, loss_params: Params, optimizer: optax.GradientTransformation, bounded: bool
) -> TrainState:
    """Make the state at the start of a run.

    Args:
      params: the parameters of the method.
      loss_params: the parameters of the loss, ``loss.init()``.
      optimizer: from optax.
      bounded: whether the convolutions of the map, ``params["map"]``, will be bounded.

    >>> create_state({"w": jnp.ones(2)}, {}, optax.sgd(0.1), bounded=False).step
    Array(0, dtype=int32)
    """
    trained = _copy({"method": params, "loss": loss_params})
    spectral = init_spectral(params["map"]) if bounded else {}
    return TrainState(jnp.zeros((), jnp.int32), trained, _copy(params), optimizer.init(trained), spectral)


def restart(state: TrainState, optimizer: optax.GradientTransformation) -> TrainState:
    """Begin the next phase with a fresh optimizer. The moving average starts again from the parameters."""
    average = _copy(state.params["method"])
    return TrainState(state.step, state.params, average, optimizer.init(state.params), state.spectral)


def _copy(params: Params) -> Params:
    """Copy every array: a donated state may not share a buffer with the caller, or hold one twice."""
    return jax.tree.map(jnp.array, params)
