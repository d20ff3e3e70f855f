"""Fixed points and their derivatives. How to solve and how to differentiate are two separate arguments.

At ``x* = f(x*, args)`` the implicit function theorem gives the cotangent of the arguments from the cotangent v of the
solution:

    w = v + (df/dx)^T w,    args_bar = (df/dargs)^T w.

The adjoints differ in how they find w. Each one reports how well its w solves this equation, so that the error of an
approximate gradient is visible. No iterate of the forward solve is stored.

Sources: S. Bai, J. Z. Kolter, V. Koltun, "Deep equilibrium models", NeurIPS 2019, theorem 1; D. Gilton, G. Ongie,
R. Willett, "Deep equilibrium architectures for inverse problems in imaging", IEEE Trans. Comput. Imaging 7:1123, 2021,
section III.B.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from deqjax.pytree import in_solver_precision, real_view
from deqjax.solvers import Anderson, Stats, solve
from deqjax.solvers.loop import relative_residual
from deqjax.types import Adjoint, Solver, State, Transpose

__all__ = ["Implicit", "OneStep", "Phantom", "Unrolled", "backward_probe", "fixed_point"]


@dataclass(frozen=True)
class Implicit:
    """The exact gradient: solve ``w = v + (df/dx)^T w`` to a tolerance, separately for each image.

    Attributes:
      solver: solves the adjoint equation.
      rtol: the relative residual at which the solve stops. If it is None, the tolerance of ``solver`` applies.
      nan_above: the gradient of an image becomes NaN if its relative residual stays above this bound, so that it is
        not silently wrong. Set it to ``inf`` to use the gradient anyway.

    >>> import deqjax as dj
    >>> fixed = lambda b: dj.fixed_point(lambda x, b: 0.5 * x + b, jnp.zeros((1, 1)), b, adjoint=Implicit())[0].sum()
    >>> round(float(jax.grad(fixed)(jnp.array(1.0))), 4)
    2.0
    """

    solver: Solver = field(default_factory=lambda: Anderson(rtol=1e-5))
    rtol: float | None = None
    nan_above: float = 0.1

    @property
    def tolerance(self) -> float:
        return self.solver.rtol if self.rtol is None else self.rtol

    def find(self, transpose: Transpose, v: State) -> tuple[State, jax.Array]:
        solver = dataclasses.replace(self.solver, rtol=self.tolerance)  # type: ignore[type-var]
        w, stats = solve(lambda w: jax.tree.map(jnp.add, v, transpose(w)), v, solver)
        wrong = stats.residual > self.nan_above
        spoil = lambda leaf: jnp.where(wrong.reshape(-1, *[1] * (leaf.ndim - 1)), jnp.nan, leaf)
        return jax.tree.map(spoil, w), stats.num_steps


@dataclass(frozen=True)
class OneStep:
    """The Jacobian-free gradient ``w = v``: differentiate one step at the solution. It is an approximation.

    Source: S. W. Fung et al., "JFB: Jacobian-free backpropagation for implicit networks", AAAI 2022, theorem 3.1.

    >>> import deqjax as dj
    >>> fixed = lambda b: dj.fixed_point(lambda x, b: 0.5 * x + b, jnp.zeros((1, 1)), b, adjoint=OneStep())[0].sum()
    >>> float(jax.grad(fixed)(jnp.array(1.0)))
    1.0
    """

    @property
    def tolerance(self) -> float:
        return 1e-3

    def find(self, transpose: Transpose, v: State) -> tuple[State, jax.Array]:
        return v, jnp.zeros(_batch(v), jnp.int32)


@dataclass(frozen=True)
class Phantom:
    """The phantom gradient: a truncated, damped Neumann series of the adjoint equation. It is an approximation.

    ``w_0 = v``, ``w_k = relaxation (v + (df/dx)^T w_(k-1)) + (1 - relaxation) w_(k-1)``.

    Source: Z. Geng et al., "On training implicit models", NeurIPS 2021, eq. 13. Here the series starts at v on
    the adjoint equation, so that it tends to the exact gradient.

    Attributes:
      steps: number of products with the transposed Jacobian.
      relaxation: in (0, 1].

    >>> import deqjax as dj
    >>> adjoint = Phantom(steps=2, relaxation=1.0)
    >>> fixed = lambda b: dj.fixed_point(lambda x, b: 0.5 * x + b, jnp.zeros((1, 1)), b, adjoint=adjoint)[0].sum()
    >>> float(jax.grad(fixed)(jnp.array(1.0)))
    1.75
    """

    steps: int = 5
    relaxation: float = 0.5

    @property
    def tolerance(self) -> float:
        return 1e-3

    def find(self, transpose: Transpose, v: State) -> tuple[State, jax.Array]:
        def step(_: int, w: State) -> State:
            mix = lambda a, b, c: self.relaxation * (a + b) + (1 - self.relaxation) * c
            return jax.tree.map(mix, v, transpose(w), w)

        w = jax.lax.fori_loop(0, self.steps, step, v)
        return w, jnp.full(_batch(v), self.steps, jnp.int32)


@dataclass(frozen=True)
class Unrolled:
    """Differentiate the iteration itself, including the solver. Every step is recomputed in the backward pass.

    The solver takes ``max_steps - 1`` steps and returns the last iterate; the last evaluation measures its residual.
    The gradient is exact for what was computed, converged or not. Its memory grows with the number of steps.

    >>> import deqjax as dj
    >>> solver = dj.solvers.Picard(max_steps=3, rtol=0.0)
    >>> f = lambda x, b: 0.5 * x + b
    >>> fixed = lambda b: dj.fixed_point(f, jnp.zeros((1, 1)), b, solver=solver, adjoint=Unrolled())[0].sum()
    >>> float(jax.grad(fixed)(jnp.array(1.0)))
    1.5
    """


def fixed_point(
    f: Callable[[State, Any], State],
    x0: State,
    args: Any,
    *,
    solver: Solver | None = None,
    adjoint: Adjoint | Unrolled | None = None,
    probe: Stats | None = None,
) -> tuple[State, Stats]:
    """Find ``x* = f(x*, args)`` for every image of a batch, differentiable with respect to ``args``.

    Args:
      f: ``(x, args) -> x``, evaluated on the whole batch. Pass the arrays that it uses in ``args``. A traced array
        that it captures is converted to an argument, so that no gradient is lost.
      x0: the first iterate, a pytree whose leaves, real or complex, have a leading batch axis. Its gradient is zero
        unless the iteration is unrolled.
      args: any pytree.
      solver: how to solve; :class:`~deqjax.solvers.Anderson` by default.
      adjoint: how to differentiate; :class:`Implicit` by default.
      probe: made by :func:`backward_probe`; its gradient is the :class:`Stats` of the backward solve.

    Returns:
      The solution, with the structure of x0, and the :class:`Stats` of the forward solve with one entry per image.

    Raises:
      ValueError: the leaves of x0 have no common batch axis, a leaf is not numeric, f changes shapes, the solver has no
        steps, or a setting of the solver or the adjoint is an array.

    >>> x, stats = fixed_point(lambda x, b: 0.5 * x + b, jnp.zeros((3, 2)), jnp.array([1.0, 2.0]))
    >>> x[0].round(3), stats.converged
    (Array([2., 4.], dtype=float32), Array([ True,  True,  True], dtype=bool))
    """
    solver = Anderson() if solver is None else solver
    adjoint = Implicit() if adjoint is None else adjoint
    if isinstance(adjoint, Unrolled):
        return solve(lambda x: f(x, args), x0, solver, unroll=True)
    _check_settings(solver, adjoint)
    x0, as_given = in_solver_precision(jax.lax.stop_gradient(x0))  # saves the differentiation of whatever made x0
    probe = backward_probe(_batch(x0)) if probe is None else probe
    converted, captured = jax.closure_convert(f, x0, args)
    if captured:
        f = lambda x, args: converted(x, args[0], *args[1])
        args = (args, tuple(captured))
    x, stats = _solve(f, solver, adjoint, x0, args, probe)
    return as_given(x), stats


def backward_probe(batch: int) -> Stats:
    """Make the argument of :func:`fixed_point` whose gradient reports how the backward solve went.

    In that gradient, ``num_steps`` counts products with the transposed Jacobian, ``residual`` is
    ``||v + (df/dx)^T w - w|| / ||w||``, computed once more after the solve, and ``converged`` is 1 where the residual
    is at most the ``tolerance`` of the adjoint.

    >>> f = lambda x, b: 0.5 * x + b
    >>> loss = lambda b, probe: fixed_point(f, jnp.zeros((1, 2)), b, adjoint=OneStep(), probe=probe)[0].sum()
    >>> jax.grad(loss, argnums=1)(jnp.ones(2), backward_probe(1)).residual
    Array([0.5], dtype=float32)
    """
    zeros = jnp.zeros(batch)
    return Stats(zeros, zeros, zeros)


@partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2))
def _solve(f: Callable, solver: Solver, _: Adjoint, x0: State, args: Any, __: Stats) -> tuple[State, Stats]:
    return solve(lambda x: f(x, args), x0, solver)


def _forward(f: Callable, solver: Solver, _: Adjoint, x0: State, args: Any, probe: Stats) -> tuple:
    x, stats = solve(lambda x: f(x, args), x0, solver)
    return (x, stats), (x, args, probe)


def _backward(f: Callable, _: Solver, adjoint: Adjoint, saved: tuple, cotangents: tuple) -> tuple:
    x, args, probe = saved
    v = cotangents[0]
    like_x = lambda x, args: jax.tree.map(lambda fx, leaf: fx.astype(leaf.dtype), f(x, args), x)
    transpose = jax.vjp(like_x, x, args)[1]
    w, num_steps = adjoint.find(lambda w: transpose(w)[0], v)
    jacobian_w, args_bar = transpose(w)
    residual = relative_residual(real_view(w)[0], real_view(jax.tree.map(jnp.add, v, jacobian_w))[0])
    converged = residual <= adjoint.tolerance
    stats = jax.tree.map(lambda value, like: value.astype(like.dtype), Stats(num_steps, residual, converged), probe)
    return jax.tree.map(jnp.zeros_like, x), args_bar, stats


_solve.defvjp(_forward, _backward)


def _check_settings(*settings: Any) -> None:
    for setting in settings:
        try:
            hash(setting)
        except TypeError as error:
            raise ValueError(
                f"settings are plain numbers, and {type(setting).__name__} holds a value that is not ({error}): pass a "
                "Python number; a value that is learned belongs into args, or is an option learn_... of the map"
            ) from error


def _batch(x: State) -> int:
    return jax.tree.leaves(x)[0].shape[0]
