"""The loop that solves ``x = f(x)``, and what it reports.

It evaluates f on the whole batch. A solver then computes the next x of each image.
"""

from collections.abc import Callable
from numbers import Real
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from deqjax.pytree import in_solver_precision, operand, real_view
from deqjax.scaling import power_of_two_scale
from deqjax.solvers.parts import part_scales, part_sizes
from deqjax.types import Solver, State

ROUNDING = 256
"""The rounding of one evaluation of f that is assumed where a solve stops by its change, in units of rounding."""


@operand
class Stats:
    """How a solve went, with one entry per image.

    Attributes:
      num_steps: the number of evaluations of f until the image stopped, (batch,).
      residual: the relative residual ``||f(x) - x|| / ||x||`` of the x that is returned, (batch,).
      converged: whether that residual is finite and at most ``rtol``, (batch,).
      residuals: the relative residual of every evaluation, (batch, max_steps), NaN after the image stopped. It is None
        where the residuals are not stored.
      distance: an upper bound on the distance of the x that is returned to the fixed point, in the units of the image,
        (batch,), where a reconstruction was asked for a ``tolerance_in_image_units``. It is None otherwise.
      error: in a backward solve, the estimated relative error of its solution w, (batch,); see
        :func:`deqjax.backward_probe`. It is None for a forward solve.
      inside_domain: whether the data are like those on which the model was trained, (batch,); see
        :class:`deqjax.domain.Domain`. It is None where nothing was trained or nothing is known, and inside jit.

    >>> print(Stats(jnp.array([3]), jnp.array([1e-5]), jnp.array([True])))
    1 of 1 converged, 3.0 steps on average, largest residual 1.0e-05
    """

    num_steps: jax.Array
    residual: jax.Array
    converged: jax.Array
    residuals: jax.Array | None = None
    error: jax.Array | None = None
    distance: jax.Array | None = None
    inside_domain: jax.Array | None = None

    def __str__(self) -> str:
        converged = jnp.atleast_1d(self.converged)
        outside = 0 if self.inside_domain is None else int(jnp.sum(~jnp.atleast_1d(self.inside_domain)))
        return (
            f"{int(converged.sum())} of {converged.size} converged, {float(jnp.mean(self.num_steps)):.1f} steps on "
            f"average, largest residual {float(jnp.max(self.residual)):.1e}"
            + (f", {outside} OUTSIDE the domain of the model" if outside else "")
        )


class Progress(NamedTuple):
    """A solve that can go on: all that its next step depends on. Every leaf but ``step`` has a leading batch axis."""

    step: jax.Array
    x: jax.Array
    solver_state: Any
    best_x: jax.Array
    best_residual: jax.Array
    least_change: jax.Array
    active: jax.Array
    """Whether the image has not stopped yet."""
    num_steps: jax.Array
    residuals: jax.Array
    scales: jax.Array
    """The factors of :func:`deqjax.solvers.parts.part_scales`; all x are in these units."""
    largest_change: jax.Array | None
    """See :func:`solve`."""


def vector_norm(v: jax.Array) -> jax.Array:
    """Return the 2-norm of the last axis. No square overflows or underflows.

    >>> vector_norm(jnp.array([[3e30, 4e30], [3e-30, 4e-30]]))
    Array([5.e+30, 5.e-30], dtype=float32)
    """
    scale = power_of_two_scale(v, axes=-1)
    return scale.undo(jnp.sqrt(jnp.sum(scale.apply(v) ** 2, axis=-1, keepdims=True)))[..., 0]


def relative_residual(x: jax.Array, fx: jax.Array) -> jax.Array:
    """Return ``||f(x) - x|| / ||x||`` of flat real vectors (batch, n), one value for each.

    If x is zero, the denominator is ``||f(x)||``. If both are zero, the result is 0. It does not depend on the scale of
    the vectors, and it is finite where they are.

    >>> relative_residual(jnp.array([[3.0, 4.0], [0.0, 0.0]]), jnp.array([[3.0, 1.5], [0.0, 0.0]]))
    Array([0.5, 0. ], dtype=float32)
    """
    scale = power_of_two_scale(jnp.maximum(jnp.abs(x), jnp.abs(fx)), axes=-1)
    x, fx = scale.apply(x), scale.apply(fx)
    size = vector_norm(x)
    size = jnp.where(size > 0, size, vector_norm(fx))
    change = vector_norm(fx - x)
    ratio = jnp.minimum(change / jnp.where(size > 0, size, 1), jnp.finfo(x.dtype).max)
    return jnp.where(jnp.isfinite(change), ratio, change)


def change_bound(x: jax.Array, fx: jax.Array) -> jax.Array:
    """Return ``||f(x) - x||`` of flat real vectors (batch, n), plus the rounding of an evaluation of f.

    The rounding is assumed to be at most :data:`ROUNDING` units of rounding of ``||x|| + ||f(x)||``.

    >>> change_bound(jnp.array([[3.0, 4.0]]), jnp.array([[3.0, 1.0]])).round(2)
    Array([3.], dtype=float32)
    """
    rounding = ROUNDING * jnp.finfo(x.dtype).eps
    return vector_norm(fx - x) + rounding * (vector_norm(x) + vector_norm(fx))


def solve(
    f: Callable[[State], State],
    x0: State,
    solver: Solver,
    *,
    unroll: bool = False,
    largest_change: jax.Array | None = None,
) -> tuple[State, Stats]:
    """Solve ``x = f(x)`` for every image of a batch.

    Every iteration evaluates f once on the whole batch, computes the residuals, stores the best finite x of each image,
    and calls the solver, under ``vmap``, for the next x. An image stops when its residual is at most ``rtol`` or is not
    finite. The loop stops when all images have stopped, or after ``max_steps`` evaluations, of which the last one is
    used only for the residual.

    Args:
      f: a function from a pytree to a pytree of the same structure. Every leaf has a leading batch axis.
      x0: the first iterate. A leaf of whole numbers is converted to floating point.
      solver: see :class:`deqjax.types.Solver`.
      unroll: run exactly ``max_steps`` iterations in a checkpointed scan, which reverse mode can differentiate, and
        return the last finite x instead of the best one.
      largest_change: for each image, the :func:`change_bound` at which it stops and counts as converged, in place of
        ``rtol``; (batch,). The best x then is the one with the smallest change.

    Returns:
      For each image, the x with the smallest finite residual, or x0 if no residual is finite; and the :class:`Stats`.
      A leaf of half precision is solved in single precision and returned in its own type; the residual is that of the
      x in single precision.

    Raises:
      ValueError: the shapes of f(x) and x differ, a leaf is not numeric, ``max_steps`` or ``rtol`` is not a plain
        number, ``max_steps`` is less than 1, or ``rtol`` is negative.

    >>> from deqjax.solvers import Picard
    >>> x, stats = solve(lambda x: 0.5 * x + 1, jnp.zeros((2, 3)), Picard(rtol=1e-5))
    >>> x[0].round(3), stats.converged
    (Array([2., 2., 2.], dtype=float32), Array([ True,  True], dtype=bool))
    """
    for name in ("max_steps", "rtol"):
        if not isinstance(getattr(solver, name), Real):
            raise ValueError(f"{name} must be a plain number, not a {type(getattr(solver, name)).__name__}")
    if solver.max_steps % 1 != 0:
        raise ValueError(f"max_steps must be a whole number; it is {solver.max_steps}")
    if solver.max_steps < 1:
        raise ValueError(f"max_steps must be at least 1; it is {solver.max_steps}")
    if not solver.rtol >= 0:
        raise ValueError(f"rtol must be at least 0; it is {solver.rtol}")
    x0, as_given = in_solver_precision(x0)
    expected, produced = _describe(x0), _describe(jax.eval_shape(f, x0))
    if produced != expected:
        raise ValueError(f"f must return the shapes of its argument; x has {expected} and f(x) has {produced}")
    progress = advance(f, begin(x0, solver, largest_change), x0, solver, solver.max_steps, unroll=unroll)
    x, stats = solution(progress, x0, solver)
    return as_given(x), stats


def begin(x0: State, solver: Solver, largest_change: jax.Array | None = None) -> Progress:
    """Begin a solve at x0, whose leaves are in the precision of the solver; see :func:`solve`."""
    scales = part_scales(x0)
    start = real_view(x0)[0] * scales
    batch, dtype = start.shape[0], start.dtype
    return Progress(
        step=jnp.zeros((), jnp.int32),
        x=start,
        solver_state=jax.vmap(solver.init)(start),
        best_x=start,
        best_residual=jnp.full(batch, jnp.inf, dtype),
        least_change=jnp.full(batch, jnp.inf, dtype),
        active=jnp.ones(batch, bool),
        num_steps=jnp.zeros(batch, jnp.int32),
        residuals=jnp.full((batch, solver.max_steps), jnp.nan, dtype),
        scales=scales,
        largest_change=largest_change,
    )


def advance(
    f: Callable[[State], State],
    progress: Progress,
    like: State,
    solver: Solver,
    until: Any,
    *,
    unroll: bool = False,
) -> Progress:
    """Go on with a solve until every image has stopped, or ``until`` evaluations were made since it began.

    Two parts of a solve give bit for bit the result of one.

    Args:
      f: see :func:`solve`.
      progress: from :func:`begin` or from an earlier call.
      like: a state with the structure, the shapes and the types of x0; its values are not used.
      solver: the same solver at every call.
      until: at most ``solver.max_steps``. With ``unroll``, it is a plain number.
      unroll: see :func:`solve`.

    >>> from deqjax.solvers import Picard
    >>> f, x0, solver = lambda x: 0.5 * x + 1, jnp.zeros((2, 3)), Picard(rtol=1e-5)
    >>> progress = advance(f, begin(x0, solver), x0, solver, until=3)
    >>> progress = advance(f, progress, x0, solver, until=100)
    >>> solution(progress, x0, solver)[1].num_steps
    Array([17, 17], dtype=int32)
    """
    _, restore = real_view(like)
    sizes, scales = part_sizes(like), progress.scales
    limit = _limit(progress, solver)

    def body(carry: Progress) -> Progress:
        fx = real_view(f(restore(carry.x / scales)))[0].astype(carry.x.dtype) * scales
        residual = jax.lax.stop_gradient(_largest_residual(carry.x, fx, sizes))
        finite, change = jnp.isfinite(residual), residual
        if progress.largest_change is not None:
            change = jax.lax.stop_gradient(change_bound(carry.x / scales, fx / scales))
        better = carry.active & finite & (unroll | (change < carry.least_change))
        active = carry.active & finite & (change > limit)
        update = jax.vmap(solver.update, in_axes=(0, 0, None, 0))
        taken = (carry.x, fx, carry.solver_state)
        if unroll:  # an update of an image that has stopped may have an infinite derivative, and 0 times it is NaN
            taken = jax.tree.map(lambda leaf: _without_gradient(~active, leaf), taken)
        x, solver_state = update(taken[0], taken[1], carry.step, taken[2])
        return Progress(
            step=carry.step + 1,
            x=jnp.where(active[:, None], x, carry.x),
            solver_state=solver_state,
            best_x=jnp.where(better[:, None], carry.x, carry.best_x),
            best_residual=jnp.where(better, residual, carry.best_residual),
            least_change=jnp.where(better, change, carry.least_change),
            active=active,
            num_steps=carry.num_steps + carry.active,
            residuals=carry.residuals.at[:, carry.step].set(jnp.where(carry.active, residual, jnp.nan)),
            scales=scales,
            largest_change=carry.largest_change,
        )

    if unroll:
        checkpointed = jax.checkpoint(body)
        progress, _ = jax.lax.scan(lambda c, _: (checkpointed(c), None), progress, length=until)
        return progress
    return jax.lax.while_loop(lambda c: jnp.any(c.active) & (c.step < until), body, progress)


def solution(progress: Progress, like: State, solver: Solver) -> tuple[State, Stats]:
    """Return the best x of every image so far, and its :class:`Stats`."""
    x = real_view(like)[1](progress.best_x / progress.scales)
    converged = progress.least_change <= _limit(progress, solver)
    return x, Stats(progress.num_steps, progress.best_residual, converged, progress.residuals)


def _limit(progress: Progress, solver: Solver) -> Any:
    return solver.rtol if progress.largest_change is None else progress.largest_change


def _largest_residual(x: jax.Array, fx: jax.Array, sizes: list[int]) -> jax.Array:
    """Return the largest relative residual of the parts of a state, which have these numbers of columns."""
    edges = np.cumsum(sizes)[:-1].tolist()
    parts = zip(jnp.split(x, edges, axis=1), jnp.split(fx, edges, axis=1))
    return jnp.max(jnp.stack([relative_residual(*part) for part in parts]), axis=0)


def _describe(tree: State) -> State:
    """Replace every leaf by a text with its shape, and whether it is real or complex."""
    kind = lambda leaf: "complex" if jnp.issubdtype(leaf.dtype, jnp.complexfloating) else "real"
    return jax.tree.map(lambda leaf: f"{kind(leaf)} {leaf.shape}", tree)


def _without_gradient(images: jax.Array, leaf: jax.Array) -> jax.Array:
    """Return the leaf, whose derivative is zero for some images of the batch."""
    return jnp.where(images.reshape(-1, *[1] * (leaf.ndim - 1)), jax.lax.stop_gradient(leaf), leaf)
