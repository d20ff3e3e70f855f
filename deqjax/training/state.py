"""The optimizer, and the state that training carries from step to step."""

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
    """Begin the next phase with a fresh optimizer. The moving average starts again from the parameters.

    All of it is on the devices of the state, so that the step of the phase compiles only once.
    """
    average = _copy(state.params["method"])
    fresh = TrainState(state.step, state.params, average, optimizer.init(state.params), state.spectral)
    return jax.device_put(fresh, state.step.sharding)


def _copy(params: Params) -> Params:
    """Copy every array: a donated state may not share a buffer with the caller, or hold one twice."""
    return jax.tree.map(jnp.array, params)


def make_optimizer(
    *, steps: int, learning_rate: float, final_learning_rate: float, warmup_steps: int = 0, clip_norm: float = 1.0
) -> optax.GradientTransformation:
    """Make Adam with a linear warm-up and a cosine decay, after clipping the global norm of the gradient.

    Source: D. P. Kingma and J. Ba, "Adam: a method for stochastic optimization", ICLR 2015, algorithm 1.

    Args:
      steps: number of steps of the schedule, including the warm-up.
      learning_rate: the highest learning rate.
      final_learning_rate: the learning rate at the end of the cosine.
      warmup_steps: number of steps from 0 to the highest learning rate.
      clip_norm: the largest global norm of the gradient.

    >>> import jax.numpy as jnp
    >>> optimizer = make_optimizer(steps=10, learning_rate=0.1, final_learning_rate=0.01)
    >>> optimizer.update({"w": jnp.array(5.0)}, optimizer.init({"w": jnp.array(0.0)}))[0]["w"].round(3)
    Array(-0.1, dtype=float32)
    """
    schedule = optax.warmup_cosine_decay_schedule(
        init_value=0.0 if warmup_steps else learning_rate,
        peak_value=learning_rate,
        warmup_steps=warmup_steps,
        decay_steps=max(steps, warmup_steps + 1),
        end_value=min(final_learning_rate, learning_rate),
    )
    return optax.chain(optax.clip_by_global_norm(clip_norm), optax.adam(schedule))
