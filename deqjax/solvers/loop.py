"""The one loop of the library: it evaluates f on the whole batch and lets a solver choose each image's next x."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from deqjax.pytree import real_view
from deqjax.solvers.stats import Stats
from deqjax.types import Solver, State


class _Carry(NamedTuple):
    step: jax.Array
    x: jax.Array
    solver_state: Any
    best_x: jax.Array
    best_residual: jax.Array
    active: jax.Array
    num_steps: jax.Array
    residuals: jax.Array


def relative_residual(x: jax.Array, fx: jax.Array) -> jax.Array:
    """``||f(x) - x|| / ||x||`` of flat real vectors (batch, n); over ``||f(x)||`` where x is zero, 0 where both are.

    >>> relative_residual(jnp.array([[3.0, 4.0], [0.0, 0.0]]), jnp.array([[3.0, 1.5], [0.0, 0.0]]))
    Array([0.5, 0. ], dtype=float32)
    """
    largest = jnp.max(jnp.maximum(jnp.abs(x), jnp.abs(fx)), axis=-1, keepdims=True)
    largest = jnp.where(largest > 0, largest, 1)
    norm = lambda v: jnp.sqrt(jnp.sum((v / largest) ** 2, axis=-1))
    size = norm(x)
    size = jnp.where(size > 0, size, norm(fx))
    return norm(fx - x) / jnp.where(size > 0, size, 1)


def solve(f: Callable[[State], State], x0: State, solver: Solver, *, unroll: bool = False) -> tuple[State, Stats]:
    """Solve ``x = f(x)`` for every image of a batch.

    Every trip evaluates f once on the whole batch, measures the residual, keeps the best finite x of each image, and
    asks the solver, under ``vmap``, for the next x. An image stops when its residual is at most ``rtol`` or is not
    finite; the loop stops when all have, or after ``max_steps`` evaluations, of which the last one only measures.

    Args:
      f: from and to a pytree whose leaves have a leading batch axis.
      x0: where to start.
      solver: see :class:`deqjax.types.Solver`.
      unroll: run exactly ``max_steps`` trips in a checkpointed scan, which reverse mode can differentiate, and return
        the last finite x in place of the best.

    Returns:
      The x with the smallest finite residual, image by image, and :class:`Stats`; x0 where no residual was finite.

    Raises:
      ValueError: f returns other shapes than it takes, ``max_steps`` is below 1, or ``rtol`` below 0.
    """
    if solver.max_steps < 1:
        raise ValueError(f"max_steps must be at least 1, not {solver.max_steps}")
    if not solver.rtol >= 0:
        raise ValueError(f"rtol must be at least 0, not {solver.rtol}")
    start, restore = real_view(x0)
    batch, dtype = start.shape[0], start.dtype
    taken, produced = _describe(x0), _describe(jax.eval_shape(f, x0))
    if produced != taken:
        raise ValueError(f"f must return the shapes it takes; it takes {taken} and returns {produced}")

    def body(carry: _Carry) -> _Carry:
        fx, _ = real_view(f(restore(carry.x)))
        fx = fx.astype(dtype)
        residual = jax.lax.stop_gradient(relative_residual(carry.x, fx))
        finite = jnp.isfinite(residual)
        better = carry.active & finite & (unroll | (residual < carry.best_residual))
        active = carry.active & finite & (residual > solver.rtol)
        update = jax.vmap(solver.update, in_axes=(0, 0, None, 0))
        x, solver_state = update(carry.x, fx, carry.step, carry.solver_state)
        return _Carry(
            step=carry.step + 1,
            x=jnp.where(active[:, None], x, carry.x),
            solver_state=solver_state,
            best_x=jnp.where(better[:, None], carry.x, carry.best_x),
            best_residual=jnp.where(better, residual, carry.best_residual),
            active=active,
            num_steps=carry.num_steps + carry.active,
            residuals=carry.residuals.at[:, carry.step].set(jnp.where(carry.active, residual, jnp.nan)),
        )

    carry = _Carry(
        step=jnp.zeros((), jnp.int32),
        x=start,
        solver_state=jax.vmap(solver.init)(start),
        best_x=start,
        best_residual=jnp.full(batch, jnp.inf, dtype),
        active=jnp.ones(batch, bool),
        num_steps=jnp.zeros(batch, jnp.int32),
        residuals=jnp.full((batch, solver.max_steps), jnp.nan, dtype),
    )
    if unroll:
        checkpointed = jax.checkpoint(body)
        carry, _ = jax.lax.scan(lambda c, _: (checkpointed(c), None), carry, length=solver.max_steps)
    else:
        carry = jax.lax.while_loop(lambda c: jnp.any(c.active) & (c.step < solver.max_steps), body, carry)
    converged = carry.best_residual <= solver.rtol
    return restore(carry.best_x), Stats(carry.num_steps, carry.best_residual, converged, carry.residuals)


def _describe(tree: State) -> State:
    kind = lambda leaf: "complex" if jnp.issubdtype(leaf.dtype, jnp.complexfloating) else "real"
    return jax.tree.map(lambda leaf: f"{kind(leaf)} {leaf.shape}", tree)
