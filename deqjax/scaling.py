"""Scaling by powers of two, so that squares and quotients of arrays of any size stay in the range of their type."""

from typing import NamedTuple

import jax
import jax.numpy as jnp


class PowerOfTwo(NamedTuple):
    """A factor ``2^-e``, held as two factors whose product it is.

    One factor alone may leave the range: the reciprocal of a float32 above 8.5e37 is subnormal, and XLA replaces
    subnormal numbers by 0. Multiplication by powers of two is exact.
    """

    first: jax.Array
    second: jax.Array

    def apply(self, x: jax.Array) -> jax.Array:
        """Multiply by ``2^-e``."""
        return x * self.first * self.second

    def undo(self, x: jax.Array) -> jax.Array:
        """Multiply by ``2^e``."""
        return x * (1 / self.first) * (1 / self.second)


def power_of_two_scale(x: jax.Array, axes: int | tuple[int, ...] | None = None) -> PowerOfTwo:
    """Find the power of two that brings the largest real or imaginary part of an array to [0.5, 1).

    The factor is 1 for an array that is all zero or not finite. It has no derivative.

    Args:
      x: real or complex.
      axes: the axes over which the largest part is taken; all by default. They are kept with size 1.

    >>> scale = power_of_two_scale(jnp.array([3e38, 1e38]))
    >>> scale.apply(jnp.array([3e38, 1e38])).round(3)
    Array([0.882, 0.294], dtype=float32)
    >>> bool(scale.undo(scale.apply(jnp.array(1e38))) == jnp.float32(1e38))
    True
    """
    parts = jnp.maximum(jnp.abs(x.real), jnp.abs(x.imag)) if jnp.iscomplexobj(x) else jnp.abs(x)
    largest = jax.lax.stop_gradient(jnp.max(parts, axis=axes, keepdims=True, initial=0))
    usable = (largest > 0) & jnp.isfinite(largest)
    _, exponent = jnp.frexp(jnp.where(usable, largest, 0.5))
    half = exponent // 2
    one = jnp.ones_like(largest)
    return PowerOfTwo(jnp.ldexp(one, -half), jnp.ldexp(one, half - exponent))
