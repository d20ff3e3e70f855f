"""One training step: a pure local function that every device runs on its part of the batch."""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from deqjax.implicit import backward_probe
from deqjax.nets import normalise
from deqjax.training.state import TrainState
from deqjax.types import Metrics, ObjectiveFunction, Params

POWER_STEPS = 3
"""Power iterations per step. With a single one the norm lags behind a large update, by up to 2 % (measured)."""

Batch = Any
"""A pytree of arrays with a common leading batch axis."""

Step = Callable[[TrainState, Batch], tuple[TrainState, Metrics]]


MOST_REFUSED = 20
"""The number of steps in a row without any accepted gradient after which training stops."""


class NonFiniteError(ArithmeticError):
    """The loss, the gradient or a parameter is NaN or infinite. The message names it and the step."""


def make_train_step(
    objective: ObjectiveFunction,
    optimizer: optax.GradientTransformation,
    *,
    seed: int = 0,
    spectral_bound: float = 0.0,
    ema: float = 0.999,
    devices: int | None = None,
    parallel: Literal["shard_map", "pmap"] = "shard_map",
) -> Step:
    """Make the compiled step ``(state, batch) -> (state, metrics)``. The state that is passed in is donated.

    The local step is written once. Each device solves its own images, with its own number of steps; only the gradients
    and the metrics are averaged over the axis ``data``. The random numbers of an image are drawn from the seed, the
    step and the position of the image in the batch, so that the result does not depend on the number of devices.

    Args:
      objective: the function that is minimised, see :meth:`deqjax.types.Objective.bind`.
      optimizer: from optax.
      seed: seed of the random numbers.
      spectral_bound: bound on the operator norm of every convolution of the map; 0 for no bound.
      ema: the largest decay of the moving average of the parameters; the decay is smaller in the first steps.
      devices: the number of devices, all by default. They must divide the batch.
      parallel: ``shard_map`` under ``jit``, or ``pmap``.

    Raises:
      ValueError: the devices do not divide the batch; raised by the call of the step.
    """
    count = jax.device_count() if devices is None else devices

    def local_step(state: TrainState, batch: Batch, key: jax.Array) -> tuple[TrainState, Metrics]:
        size = _size(batch)
        key = jax.random.fold_in(key, state.step)
        place = jax.lax.axis_index("data") * size + jnp.arange(size)
        keys = jax.vmap(lambda number: jax.random.fold_in(key, number))(place)

        def loss(params: dict, probe) -> tuple:
            vectors, method = state.spectral, params["method"]
            if spectral_bound:
                bounded, vectors = normalise(method["map"], vectors, spectral_bound, POWER_STEPS)
                method = method | {"map": bounded}
            value, metrics = objective(method, params["loss"], batch, keys, probe)
            return value, (metrics, vectors)

        differentiate = jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)
        (value, (metrics, vectors)), (gradient, backward) = differentiate(state.params, backward_probe(size))
        if "forward_steps" in metrics:
            metrics |= {
                "backward_steps": jnp.mean(backward.num_steps),
                "backward_residual": jnp.mean(backward.residual),
                "backward_converged": jnp.mean(backward.converged),
                "backward_refused": jnp.mean(jnp.isinf(backward.error)),
            }
        value, gradient, metrics = jax.lax.pmean((value, gradient, metrics), "data")
        updates, optimizer_state = optimizer.update(gradient, state.optimizer, state.params)
        params = optax.apply_updates(state.params, updates)
        decay = jnp.minimum(ema, (1 + state.step) / (10 + state.step))
        average = jax.tree.map(lambda old, new: decay * old + (1 - decay) * new, state.ema, params["method"])
        metrics |= {
            "loss": value,
            "gradient_norm": _norm(gradient),
            "parameter_norm": _norm(params),
        }
        return TrainState(state.step + 1, params, average, optimizer_state, vectors), metrics

    # The key is an argument, so that a training with another seed finds the compiled step in the cache.
    divided = _sharded(local_step, count) if parallel == "shard_map" else _pmapped(local_step, count)
    return partial(divided, key=jax.random.key(seed))


def check_finite(metrics: Metrics, step: int) -> None:
    """Stop training at the first metric that is not finite.

    Args:
      metrics: what a training step reports.
      step: the number of the step, for the message.

    Raises:
      NonFiniteError: the loss, the norm of the gradient or the norm of the parameters is NaN or infinite.

    >>> check_finite({"loss": jnp.nan, "gradient_norm": 1.0, "parameter_norm": 1.0}, step=7)
    Traceback (most recent call last):
    deqjax.training.step.NonFiniteError: step 7: the loss is nan (gradient norm 1, parameter norm 1)...
    """
    names = {"loss": "loss", "gradient_norm": "gradient norm", "parameter_norm": "parameter norm"}
    values = {name: float(metrics[key]) for key, name in names.items()}
    for name, value in values.items():
        if not jnp.isfinite(value):
            others = ", ".join(f"{other} {values[other]:g}" for other in values if other != name)
            raise NonFiniteError(
                f"step {step}: the {name} is {value} ({others}); the last checkpoint is good. A lower learning rate, a "
                "smaller clip norm, a spectral bound or more backward steps may help"
            )


def count_refused(metrics: Metrics, step: int, before: int) -> int:
    """Count the steps in a row in which the gradients of all images were refused.

    Args:
      metrics: what a training step reports.
      step: the number of the step, for the message.
      before: the count before this step.

    Raises:
      NonFiniteError: there were `MOST_REFUSED` of them.

    >>> count_refused({"backward_refused": 1.0}, 7, before=3), count_refused({"backward_refused": 0.9}, 8, before=4)
    (4, 0)
    """
    refused = before + 1 if metrics.get("backward_refused", 0) == 1 else 0
    if refused == MOST_REFUSED:
        raise NonFiniteError(
            f"step {step}: the gradients of all images were refused in {refused} steps in a row, so that nothing is "
            "learned any more. The last checkpoint is good; a stronger Jacobian penalty, a lower learning rate or more "
            "backward steps may help, see --resume-from"
        )
    return refused


def replicate(state: TrainState, devices: int | None = None) -> TrainState:
    """Put a fresh or restored state on all devices, as the step returns it, so that the step compiles only once.

    >>> replicate(jnp.zeros(3)).sharding.is_fully_replicated
    True
    """
    mesh = data_mesh(jax.device_count() if devices is None else devices)
    return jax.device_put(state, NamedSharding(mesh, PartitionSpec()))


def data_mesh(count: int) -> Mesh:
    """Make the mesh with one axis over which a batch is divided.

    >>> data_mesh(1).axis_names
    ('data',)
    """
    return jax.make_mesh((count,), ("data",), (AxisType.Auto,), devices=jax.devices()[:count])


def _sharded(local_step: Callable, count: int) -> Callable:
    replicated, divided = PartitionSpec(), PartitionSpec("data")
    mapped = jax.shard_map(
        local_step,
        mesh=data_mesh(count),
        in_specs=(replicated, divided, replicated),
        out_specs=(replicated, replicated),
        check_vma=False,
    )

    def step(state: TrainState, batch: Batch, key: jax.Array) -> tuple[TrainState, Metrics]:
        _check_divides(batch, count)
        return mapped(state, batch, key)

    return jax.jit(step, donate_argnums=0)


def _pmapped(local_step: Callable, count: int) -> Callable:
    mapped = jax.pmap(
        local_step, "data", in_axes=(None, 0, None), out_axes=None, devices=jax.devices()[:count], donate_argnums=()
    )

    def step(state: TrainState, batch: Batch, key: jax.Array) -> tuple[TrainState, Metrics]:
        _check_divides(batch, count)
        divide = lambda leaf: leaf.reshape(count, -1, *leaf.shape[1:])
        return mapped(state, jax.tree.map(divide, batch), key)

    return step


def _check_divides(batch: Batch, count: int) -> None:
    size = _size(batch)
    if size % count:
        raise ValueError(f"a batch of {size} images cannot be divided over {count} devices; change batch_size")


def _size(batch: Batch) -> int:
    return jax.tree.leaves(batch)[0].shape[0]


def _norm(tree: Params) -> jax.Array:
    return jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(tree)))
