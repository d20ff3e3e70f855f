"""Numerical tests of forward models."""

import jax
import jax.numpy as jnp

from deqjax.types import ForwardModel


def dot_product_gap(A: ForwardModel, key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Measure the errors of ``adjoint`` and ``normal`` with respect to ``forward``.

    The result is the larger of ``|<A x, y> - <x, A^H y>| / (||A x|| ||y||)`` and ``||A^H A x - normal(x)|| / ||x||``
    for random complex x and y. Rounding alone gives about 1e-7 in float32.

    Args:
      A: a forward model.
      key: a JAX key.
      shape: the shape of the image, (y, x) or (batch, y, x).

    Returns:
      A real number without unit, 0 for an exact adjoint.

    Source: J. F. Claerbout, "Earth Soundings Analysis", 1992, chapter 5 (the dot-product test).

    >>> from deqjax.physics import MaskedFourier
    >>> bool(dot_product_gap(MaskedFourier(jnp.ones((1, 5))), jax.random.key(0), (3, 4, 5)) < 1e-5)
    True
    """
    image_key, kspace_key = jax.random.split(key)
    dtype = jnp.result_type(complex)
    image = jax.random.normal(image_key, shape, dtype)
    measured = A.forward(image)
    kspace = jax.random.normal(kspace_key, measured.shape, dtype)
    gap = jnp.vdot(measured, kspace) - jnp.vdot(image, A.adjoint(kspace))
    norm = lambda a: jnp.sqrt(jnp.vdot(a, a).real)
    scale = norm(measured) * norm(kspace)
    adjoint_gap = jnp.abs(gap) / jnp.where(scale > 0, scale, 1)
    normal_gap = norm(A.adjoint(measured) - A.normal(image)) / norm(image)
    return jnp.maximum(adjoint_gap, normal_gap)
