"""The safeguard of Picard, Anderson and Broyden: a relaxed step from the best iterate where the residual has grown."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from deqjax.scaling import power_of_two_scale

RELAXATION = 0.5
"""The weight of the residual in the step that is taken then."""


class Best(NamedTuple):
    """The iterate with the smallest residual so far, and what the safeguard allows."""

    x: jax.Array
    """(n,)"""

    residual: jax.Array
    """``f(x) - x``, (n,)."""

    allowed: jax.Array
    """The growth of the norm of the residual that is allowed next."""


def init_best(x: jax.Array, allowed: float) -> Best:
    """Make the state of the safeguard before the first evaluation. ``allowed`` is the growth that is allowed at first.

    It is set so that no solve of ``benchmarks/solvers.py`` that converges is slowed down: the residuals of Picard and
    Anderson hardly grow there, those of Broyden by factors of up to 800.
    """
    return Best(jnp.zeros_like(x), jnp.zeros_like(x), jnp.full((), allowed, x.dtype))


def safeguard(
    x: jax.Array, residual: jax.Array, proposed: jax.Array, step: jax.Array, best: Best
) -> tuple[jax.Array, Best]:
    """Return the proposed next iterate, or ``x_best + RELAXATION r_best`` if the residual at x has grown too much.

    Every such step doubles the growth that is allowed. An iteration whose residual has to grow before it can shrink is
    therefore held up only a few times.

    Args:
      x: the iterate at which f was evaluated, (n,).
      residual: ``f(x) - x``.
      proposed: the next iterate of the solver.
      step: the number of evaluations before this one.
      best: the state of the safeguard.

    >>> start = init_best(jnp.zeros(1), allowed=10)
    >>> _, best = safeguard(jnp.array([0.0]), jnp.array([1.0]), jnp.array([1.0]), 0, start)
    >>> safeguard(jnp.array([1.0]), jnp.array([-20.0]), jnp.array([-19.0]), 1, best)[0]
    Array([0.5], dtype=float32)
    """
    scale = power_of_two_scale(best.residual)
    size, smallest = (jnp.linalg.norm(jax.lax.stop_gradient(scale.apply(r))) for r in (residual, best.residual))
    better = (step == 0) | (size < smallest)
    grown = (step > 0) & (size > best.allowed * smallest)
    best = Best(
        x=jnp.where(better, x, best.x),
        residual=jnp.where(better, residual, best.residual),
        allowed=jnp.where(grown, 2 * best.allowed, best.allowed),
    )
    return jnp.where(grown, best.x + RELAXATION * best.residual, proposed), best
