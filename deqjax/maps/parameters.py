"""Parameters of iteration maps: those of a network, and learned scalars that stay positive."""

import jax
import jax.numpy as jnp

from deqjax.types import Bounded, BoundedModel, ForwardModel, Net, Params


def init_net(net: Net, key: jax.Array) -> Params:
    """Make fresh parameters of a net for complex images, ``{"net": ...}``.

    >>> import deqjax as dj
    >>> list(init_net(dj.nets.DnCNN(layers=2, features=4), jax.random.key(0)))
    ['net']
    """
    return {"net": net.init(key, jnp.zeros((1, 16, 16), jnp.complex64))["params"]}


def apply_net(net: Net, params: Params, image: jax.Array) -> jax.Array:
    """Apply the net of a map to complex images (batch, y, x).

    Args:
      net: the net.
      params: the parameters of the map, of which ``params["net"]`` are those of the net.
      image: complex, (batch, y, x).

    Raises:
      ValueError: the images are volumes or series, for which there is no net.

    >>> import deqjax as dj
    >>> net = dj.nets.DnCNN(layers=2, features=4)
    >>> apply_net(net, init_net(net, jax.random.key(0)), jnp.ones((3, 8, 9), complex)).shape
    (3, 8, 9)
    """
    check_images(net, image)
    return net.apply({"params": params["net"]}, image)


def check_images(net: Net, image: jax.Array) -> None:
    """Raise a ValueError if the images are volumes or series, for which there is no net.

    >>> import deqjax as dj
    >>> check_images(dj.nets.DnCNN(), jnp.ones((1, 8, 8), complex))
    """
    if image.ndim != 3:
        raise ValueError(
            f"{type(net).__name__} needs images (batch, y, x), and these have shape {image.shape}: pass slices or "
            "frames as a batch, or use a map with a prior of three dimensions"
        )


def net_bound(net: Net, params: Params) -> jax.Array:
    """Return the proved Lipschitz constant of the net of a map, and infinity if it has none.

    >>> import deqjax as dj
    >>> unet = dj.nets.UNet(levels=2, features=4)
    >>> net_bound(unet, init_net(unet, jax.random.key(0)))
    Array(inf, dtype=float32)
    """
    bound = net.lipschitz({"params": params["net"]}) if isinstance(net, Bounded) else jnp.inf
    return jnp.asarray(bound, float)


def normal_bound(A: ForwardModel) -> jax.Array:
    """Return a proved upper bound on ``||A^H A||``, and infinity if the forward model has none.

    >>> import deqjax as dj
    >>> normal_bound(dj.physics.Sense(jnp.full((4, 8, 8), 0.5), jnp.ones((1, 8))))
    Array(1., dtype=float32)
    """
    return jnp.asarray(A.normal_bound() if isinstance(A, BoundedModel) else jnp.inf, float)


def init_positive(name: str, value: float, learn: bool) -> Params:
    """Make ``{"log_<name>": log(value)}`` if the scalar is learned, and an empty dict otherwise.

    Raises:
      ValueError: the value is not positive.

    >>> init_positive("step_size", 1.0, learn=True)
    {'log_step_size': Array(0., dtype=float32)}
    """
    if value <= 0:
        raise ValueError(f"{name} must be positive; it is {value}")
    return {f"log_{name}": jnp.log(jnp.float32(value))} if learn else {}


def positive(params: Params, name: str, value: float) -> jax.Array | float:
    """Return ``exp(params["log_<name>"])`` if the scalar is learned, and the value of the setting otherwise.

    >>> float(positive({}, "step_size", 0.5))
    0.5
    """
    log_value = params.get(f"log_{name}")
    return value if log_value is None else jnp.exp(log_value)
