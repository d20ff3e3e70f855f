"""Fixed points and their derivatives: how to solve and how to differentiate are two arguments.

At ``x* = f(x*, args)`` the implicit function theorem gives the cotangent of the arguments from that of the solution v:

    w = v + (df/dx)^T w,    args_bar = (df/dargs)^T w.

The adjoints differ in how they find w; each reports how well its w solves the equation above, so a gradient that is an
approximation says by how much. Nothing of the forward iteration is stored.

Sources: S. Bai, J. Z. Kolter, V. Koltun, "Deep equilibrium models", NeurIPS 2019, theorem 1; D. Gilton, G. Ongie,
R. Willett, "Deep equilibrium architectures for inverse problems in imaging", IEEE Trans. Comput. Imaging 7:1123, 2021,
section III.B.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import jax
import jax.numpy as jnp

from deqjax.pytree import real_view
from deqjax.solvers import Anderson, Stats, solve
from deqjax.solvers.loop import relative_residual
from deqjax.types import Solver, State

__all__ = ["Adjoint", "Implicit", "OneStep", "Phantom", "Unrolled", "backward_probe", "fixed_point"]

Transpose = Callable[[State], State]
"""w -> (df/dx)^T w at the solution."""


class Adjoint(Protocol):
    """A way to find w; a setting."""

    def find(self, transpose: Transpose, v: State) -> tuple[State, jax.Array]:
        """Return w and the number of products with the transposed Jacobian per image."""
        ...


@dataclass(frozen=True)
class Implicit:
    """The exact gradient: solve ``w = v + (df/dx)^T w`` to a tolerance, image by image.

    Attributes:
      solver: of the adjoint equation.
      rtol: relative residual at which it stops; takes the place of the solver's own.
      nan_above: a gradient whose relative residual stays above this is NaN, so that it is never silently wrong; set
        ``inf`` to go on with it.

    >>> import deqjax as dj
    >>> fixed = lambda b: dj.fixed_point(lambda x, b: 0.5 * x + b, jnp.zeros((1, 1)), b, adjoint=Implicit())[0].sum()
    >>> round(float(jax.grad(fixed)(jnp.array(1.0))), 4)
    2.0
    """

    solver: Solver = field(default_factory=Anderson)
    rtol: float = 1e-5
    nan_above: float = 0.1

    def find(self, transpose: Transpose, v: State) -> tuple[State, jax.Array]:
        solver = dataclasses.replace(self.solver, rtol=self.rtol)  # type: ignore[type-var]
        w, stats = solve(lambda w: jax.tree.map(jnp.add, v, transpose(w)), v, solver)
        wrong = stats.residual > self.nan_above
        spoil = lambda leaf: jnp.where(wrong.reshape(-1, *[1] * (leaf.ndim - 1)), jnp.nan, leaf)
        return jax.tree.map(spoil, w), stats.num_steps


@dataclass(frozen=True)
class OneStep:
    """The Jacobian-free gradient ``w = v``: differentiate one step at the solution. An approximation.

    Source: S. W. Fung et al., "JFB: Jacobian-free backpropagation for implicit networks", AAAI 2022, theorem 3.1.

    >>> import deqjax as dj
    >>> fixed = lambda b: dj.fixed_point(lambda x, b: 0.5 * x + b, jnp.zeros((1, 1)), b, adjoint=OneStep())[0].sum()
    >>> float(jax.grad(fixed)(jnp.array(1.0)))
    1.0
    """

    def find(self, transpose: Transpose, v: State) -> tuple[State, jax.Array]:
        return v, jnp.zeros(_batch(v), jnp.int32)


@dataclass(frozen=True)
class Phantom:
    """The phantom gradient: a damped Neumann series of the adjoint equation, cut short. An approximation.

    ``w_0 = v``, ``w_k = relaxation (v + (df/dx)^T w_(k-1)) + (1 - relaxation) w_(k-1)``.

    Source: Z. Geng et al., "On training implicit models", NeurIPS 2021, eq. 13, here run on the adjoint equation from
    v itself, so that it tends to the exact gradient.

    Attributes:
      steps: products with the transposed Jacobian.
      relaxation: in (0, 1].

    >>> import deqjax as dj
    >>> adjoint = Phantom(steps=2, relaxation=1.0)
    >>> fixed = lambda b: dj.fixed_point(lambda x, b: 0.5 * x + b, jnp.zeros((1, 1)), b, adjoint=adjoint)[0].sum()
    >>> float(jax.grad(fixed)(jnp.array(1.0)))
    1.75
    """

    steps: int = 5
    relaxation: float = 0.5

    def find(self, transpose: Transpose, v: State) -> tuple[State, jax.Array]:
        def step(_: int, w: State) -> State:
            mix = lambda a, b, c: self.relaxation * (a + b) + (1 - self.relaxation) * c
            return jax.tree.map(mix, v, transpose(w), w)

        w = jax.lax.fori_loop(0, self.steps, step, v)
        return w, jnp.full(_batch(v), self.steps, jnp.int32)


@dataclass(frozen=True)
class Unrolled:
    """Differentiate the iteration itself, solver and all, with every step recomputed on the way back.

    It takes ``max_steps - 1`` steps and returns the last iterate, whose residual the last evaluation measures. The
    gradient is that of what was computed, converged or not; its memory grows with the number of steps.

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
      f: ``(x, args) -> x``, evaluated on the whole batch. Pass what it needs in ``args``; a traced array that it
        captures is passed along as well, so that no gradient is lost.
      x0: a pytree whose leaves, real or complex, have a leading batch axis. Its gradient is zero unless unrolled.
      args: any pytree.
      solver: how to solve, :class:`~deqjax.solvers.Anderson` by default.
      adjoint: how to differentiate, :class:`Implicit` by default.
      probe: from :func:`backward_probe`; its gradient is the :class:`Stats` of the backward solve.

    Returns:
      The solution, like x0, and :class:`Stats` of the forward solve, one entry an image.

    Raises:
      ValueError: leaves of x0 without a common batch axis, f that changes shapes, a solver without steps.

    >>> x, stats = fixed_point(lambda x, b: 0.5 * x + b, jnp.zeros((3, 2)), jnp.array([1.0, 2.0]))
    >>> x[0].round(3), stats.converged
    (Array([2., 4.], dtype=float32), Array([ True,  True,  True], dtype=bool))
    """
    solver = Anderson() if solver is None else solver
    adjoint = Implicit() if adjoint is None else adjoint
    if isinstance(adjoint, Unrolled):
        return solve(lambda x: f(x, args), x0, solver, unroll=True)
    x0 = jax.lax.stop_gradient(x0)  # its gradient is zero: whatever made x0 need not be differentiated with zeros
    probe = backward_probe(_batch(x0)) if probe is None else probe
    converted, captured = jax.closure_convert(f, x0, args)
    if not captured:
        return _solve(f, solver, adjoint, x0, args, probe)
    uncaptured = lambda x, args: converted(x, args[0], *args[1])
    return _solve(uncaptured, solver, adjoint, x0, (args, tuple(captured)), probe)


def backward_probe(batch: int) -> Stats:
    """Make the argument of :func:`fixed_point` whose gradient says how the backward solve went.

    Of that gradient, ``num_steps`` counts products with the transposed Jacobian, ``residual`` is
    ``||v + (df/dx)^T w - w|| / ||w||``, measured afresh, and ``converged`` is 1 where it is at most the adjoint's
    ``rtol`` (for the approximations, which have none, where it is at most 1e-3).

    >>> f = lambda x, b: 0.5 * x + b
    >>> loss = lambda b, probe: fixed_point(f, jnp.zeros((1, 2)), b, adjoint=OneStep(), probe=probe)[0].sum()
    >>> jax.grad(loss, argnums=1)(jnp.ones(2), backward_probe(1)).residual
    Array([0.5], dtype=float32)
    """
    zeros = jnp.zeros(batch)
    return Stats(zeros, zeros, zeros)


@partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2))
def _solve(f: Callable, solver: Solver, adjoint: Adjoint, x0: State, args: Any, probe: Stats) -> tuple[State, Stats]:
    return solve(lambda x: f(x, args), x0, solver)


def _forward(f: Callable, solver: Solver, adjoint: Adjoint, x0: State, args: Any, probe: Stats) -> tuple:
    x, stats = solve(lambda x: f(x, args), x0, solver)
    return (x, stats), (x, args, probe)


def _backward(f: Callable, solver: Solver, adjoint: Adjoint, saved: tuple, cotangents: tuple) -> tuple:
    x, args, probe = saved
    v, _ = cotangents
    like_x = lambda x, args: jax.tree.map(lambda fx, leaf: fx.astype(leaf.dtype), f(x, args), x)
    _, transpose = jax.vjp(like_x, x, args)
    w, num_steps = adjoint.find(lambda w: transpose(w)[0], v)
    jacobian_w, args_bar = transpose(w)
    residual = relative_residual(real_view(w)[0], real_view(jax.tree.map(jnp.add, v, jacobian_w))[0])
    converged = residual <= getattr(adjoint, "rtol", 1e-3)
    stats = jax.tree.map(lambda value, like: value.astype(like.dtype), Stats(num_steps, residual, converged), probe)
    return jax.tree.map(jnp.zeros_like, x), args_bar, stats


_solve.defvjp(_forward, _backward)


def _batch(x: State) -> int:
    return jax.tree.leaves(x)[0].shape[0]
