"""The distance to the fixed point of a map with a proved Lipschitz constant, as a rule for when a solve stops.

If f has the Lipschitz constant ``L < 1``, every x fulfils ``||x - x*|| <= ||f(x) - x|| / (1 - L)``. A solve that stops
where ``(||f(x) - x|| + rounding) / (1 - L) <= tolerance`` therefore ends within the tolerance of the fixed point. The
rounding is that of :func:`deqjax.solvers.change_bound`; :func:`deqjax.certify` assumes far more, in double precision.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from deqjax.pytree import real_view
from deqjax.solvers import change_bound
from deqjax.types import Bounded, BoundedMap, DenoiserMap, IterationMap, MapArgs, Units

LARGEST = 1 - 1e-5
"""The largest L that counts as a contraction. The L of normalised kernels may be below 1 by rounding alone."""


class Goal(NamedTuple):
    """The distance to the fixed point at which a solve stops."""

    tolerance: jax.Array
    """The distance in the units of the image, a scalar or (batch,)."""
    contraction: jax.Array
    """The proved Lipschitz constant L of the map."""


def can_contract(iteration: IterationMap) -> bool:
    """Return whether a Lipschitz constant below 1 may be proved for a map, whatever its parameters are.

    It cannot for a net whose parts have no useful bound (U-Net), or that adds its input by a skip connection.

    >>> import deqjax as dj
    >>> nets = dj.nets.ConvexPotential(bound=0.9), dj.nets.UNet(), dj.nets.DnCNN(residual=True)
    >>> [can_contract(dj.maps.HalfQuadratic(net)) for net in nets]
    [True, False, False]
    """
    if not isinstance(iteration, BoundedMap):
        return False
    net = iteration.net if isinstance(iteration, DenoiserMap) else None
    return net is None or (isinstance(net, Bounded) and not getattr(net, "residual", False))


def check_bounded(iteration: IterationMap, contraction: jax.Array | None = None) -> None:
    """Raise a ValueError for a map without a proved Lipschitz constant below 1.

    Args:
      iteration: the map.
      contraction: the constant that it proves, where it is known. It is not while JAX traces the parameters.

    >>> import deqjax as dj
    >>> check_bounded(dj.maps.HalfQuadratic(dj.nets.UNet()))
    Traceback (most recent call last):
    ValueError: no distance to the fixed point is proved, because no Lipschitz constant below 1 can be proved for ...
    """
    reason = ""
    if not can_contract(iteration):
        name = type(iteration.net if isinstance(iteration, DenoiserMap) else iteration).__name__
        reason = f"no Lipschitz constant below 1 can be proved for {name}"
    elif contraction is not None and not isinstance(contraction, jax.core.Tracer) and not contraction <= LARGEST:
        reason = f"the Lipschitz constant that is proved for the map, {float(contraction):.3g}, is not below 1"
    if reason:
        raise ValueError(
            f"no distance to the fixed point is proved, because {reason}: leave tolerance_in_image_units out, or use "
            "HalfQuadratic with ConvexPotential, ConvexRidge or LipschitzDnCNN and a bound below 1"
        )


def unit_length(units: Units, like: jax.Array) -> jax.Array:
    """Return the length in the units of the image of a change of length 1 in those of the map, (batch,)."""
    one = jnp.ones_like(like)
    return image_norm(units.undo(one) - units.undo(0 * one)) / image_norm(one)


def largest_change(goal: Goal, length: jax.Array) -> jax.Array:
    """Return the change of an evaluation at which a solve stops, ``(1 - L) tolerance``, in the units of the map.

    It is negative, so that no solve stops, if L is not below 1.

    >>> largest_change(Goal(jnp.array(0.1), jnp.array(0.5)), jnp.array([1.0, 2.0]))
    Array([0.05 , 0.025], dtype=float32)
    """
    change = (1 - goal.contraction) * goal.tolerance / jnp.where(length > 0, length, 1)
    return jnp.where(goal.contraction <= LARGEST, change, -1)


def distance_bound(iteration: BoundedMap, image: jax.Array, args: MapArgs, goal: Goal, length: jax.Array) -> jax.Array:
    """Bound the distance of images to the fixed point by one more evaluation, in the units of the image, (batch,).

    In contrast to the residual of the solve it contains the error of an approximate inverse, see
    :meth:`deqjax.types.BoundedMap.enclose`.
    """
    image, args = jax.lax.stop_gradient((image, args))
    z, missing = iteration.enclose(image, args)
    change = change_bound(real_view(image)[0], real_view(z)[0]) + missing
    below = goal.contraction <= LARGEST
    return jnp.where(below, length * change / jnp.where(below, 1 - goal.contraction, 1), jnp.inf)


def image_norm(image: jax.Array) -> jax.Array:
    """Return the 2-norm of every image of a batch, (batch,)."""
    return jnp.linalg.norm(image.reshape(image.shape[0], -1), axis=1)
