"""The loop that solves ``x = f(x)``, and what it reports.

It evaluates f on the whole batch. A solver then computes the next x of each image.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from deqjax.pytree import operand, real_view
from deqjax.types import Solver, State


@operand
class Stats:
    """How a solve went, with one entry per image.

    Attributes:
      num_steps: the number of evaluations of f until the image stopped, (batch,).
      residual: the relative residual ``||f(x) - x|| / ||x||`` of the x that is returned, (batch,).
      converged: whether that residual is finite and at most ``rtol``, (batch,).
      residuals: the relative residual of every evaluation, (batch, max_steps), NaN after the image stopped. It is None
        where the residuals are not stored.

    >>> print(Stats(jnp.array([3]), jnp.array([1e-5]), jnp.array([True])))
    1 of 1 converged, 3.0 steps on average, largest residual 1.0e-05
    """

    num_steps: jax.Array
    residual: jax.Array
    converged: jax.Array
    residuals: jax.Array | None = None

    def __str__(self) -> str:
        converged = jnp.atleast_1d(self.converged)
        return (
            f"{int(converged.sum())} of {converged.size} converged, {float(jnp.mean(self.num_steps)):.1f} steps on "
            f"average, largest residual {float(jnp.max(self.residual)):.1e}"
        )


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
    """Return ``||f(x) - x|| / ||x||`` of flat real vectors (batch, n), one value for each.

    If x is zero, the denominator is ``||f(x)||``. If both are zero, the result is 0.

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

    Every iteration evaluates f once on the whole batch, computes the residuals, stores the best finite x of each image,
    and calls the solver, under ``vmap``, for the next x. An image stops when its residual is at most ``rtol`` or is not
    finite. The loop stops when all images have stopped, or after ``max_steps`` evaluations, of which the last one is
    used only for the residual.

    Args:
      f: a function from a pytree to a pytree of the same structure. Every leaf has a leading batch axis.
      x0: the first iterate.
      solver: see :class:`deqjax.types.Solver`.
      unroll: run exactly ``max_steps`` iterations in a checkpointed scan, which reverse mode can differentiate, and
        return the last finite x instead of the best one.

    Returns:
      For each image, the x with the smallest finite residual, or x0 if no residual is finite; and the :class:`Stats`.

    Raises:
      ValueError: the shapes of f(x) and x differ, ``max_steps`` is less than 1, or ``rtol`` is negative.

    >>> from deqjax.solvers import Picard
    >>> x, stats = solve(lambda x: 0.5 * x + 1, jnp.zeros((2, 3)), Picard(rtol=1e-5))
    >>> x[0].round(3), stats.converged
    (Array([2., 2., 2.], dtype=float32), Array([ True,  True], dtype=bool))
    """
    if solver.max_steps < 1:
        raise ValueError(f"max_steps must be at least 1; it is {solver.max_steps}")
    if not solver.rtol >= 0:
        raise ValueError(f"rtol must be at least 0; it is {solver.rtol}")
    start, restore = real_view(x0)
    batch, dtype = start.shape[0], start.dtype
    taken, produced = _describe(x0), _describe(jax.eval_shape(f, x0))
    if produced != taken:
        raise ValueError(f"f must return the shapes of its argument; x has {taken} and f(x) has {produced}")

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
    """Replace every leaf by a text with its shape, and whether it is real or complex."""
    kind = lambda leaf: "complex" if jnp.issubdtype(leaf.dtype, jnp.complexfloating) else "real"
    return jax.tree.map(lambda leaf: f"{kind(leaf)} {leaf.shape}", tree)
