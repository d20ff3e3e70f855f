"""The parameters of a map: a network, and numbers that stay positive while they are learned."""

import jax
import jax.numpy as jnp

from deqjax.types import Net, Params


def init_net(net: Net, key: jax.Array) -> Params:
    """Make ``{"net": ...}``, the parameters of a net on complex images.

    >>> import deqjax as dj
    >>> list(init_net(dj.nets.DnCNN(layers=2, features=4), jax.random.key(0)))
    ['net']
    """
    return {"net": net.init(key, jnp.zeros((1, 16, 16), jnp.complex64))["params"]}


def apply_net(net: Net, params: Params, image: jax.Array) -> jax.Array:
    """Apply the net of a map to (batch, y, x) complex images.

    Raises:
      ValueError: volumes or series, for which there is no net.
    """
    if image.ndim != 3:
        raise ValueError(
            f"{type(net).__name__} takes images (batch, y, x), not of shape {image.shape}: give slices or frames as a "
            "batch, or take a map with a prior of three dimensions"
        )
    return net.apply({"params": params["net"]}, image)


def init_positive(name: str, value: float, learn: bool) -> Params:
    """Make ``{"log_<name>": log(value)}`` where the number is learned, else nothing.

    Raises:
      ValueError: the value is not positive.

    >>> init_positive("step_size", 1.0, learn=True)
    {'log_step_size': Array(0., dtype=float32)}
    """
    if value <= 0:
        raise ValueError(f"{name} must be positive, not {value}")
    return {f"log_{name}": jnp.log(jnp.float32(value))} if learn else {}


def positive(params: Params, name: str, value: float) -> jax.Array | float:
    """Read a number that may be learned: ``exp(params["log_<name>"])`` where it is, else the value of the setting.

    >>> float(positive({}, "step_size", 0.5))
    0.5
    """
    log_value = params.get(f"log_{name}")
    return value if log_value is None else jnp.exp(log_value)
