"""Fixed points and roots, and their derivatives. How to solve and how to differentiate are two separate arguments.

At ``x* = f(x*, args)`` the implicit function theorem gives the cotangent of the arguments from the cotangent v of the
solution:

    w = v + (df/dx)^T w,    args_bar = (df/dargs)^T w.

Forward mode solves ``x_dot = (df/dx) x_dot + (df/dargs) args_dot`` in the same way. The adjoints differ in how they
solve such an equation. Each one reports how well its w solves it, so that the error of an approximate gradient is
visible. No iterate of the forward solve is stored.

Derivatives in both modes and of any order are derivatives of these linear systems: ``jax.jvp``, ``jax.hessian``, the
gradient of a jvp. OneStep and Phantom replace the inverse of ``I - df/dx`` by the same polynomial in both modes, so
that forward and reverse mode agree; their second derivatives use it too. Forward mode and second derivatives need an f
that JAX can differentiate forward; JAX raises a TypeError for an f with a ``jax.custom_vjp``.

Sources: S. Bai, J. Z. Kolter, V. Koltun, "Deep equilibrium models", NeurIPS 2019, theorem 1; D. Gilton, G. Ongie,
R. Willett, "Deep equilibrium architectures for inverse problems in imaging", IEEE Trans. Comput. Imaging 7:1123, 2021,
section III.B.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from deqjax.adjoints import Implicit, OneStep, Phantom, Unrolled
from deqjax.pytree import in_solver_precision, real_view
from deqjax.solvers import Anderson, NewtonKrylov, Stats, solve
from deqjax.solvers.loop import relative_residual
from deqjax.types import Adjoint, Solver, State

__all__ = ["Implicit", "OneStep", "Phantom", "Unrolled", "backward_probe", "fixed_point", "root"]


def fixed_point(
    f: Callable[[State, Any], State],
    x0: State,
    args: Any,
    *,
    solver: Solver | None = None,
    adjoint: Adjoint | Unrolled | None = None,
    probe: Stats | None = None,
    largest_change: jax.Array | None = None,
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
      largest_change: stop where ``||f(x) - x||`` is at most this, see :func:`deqjax.solvers.solve`. Its gradient is
        zero.

    Returns:
      The solution, with the structure of x0, and the :class:`Stats` of the forward solve with one entry per image.

    Raises:
      ValueError: the leaves of x0 have no common batch axis, a leaf is not numeric, f changes shapes, the solver has no
        steps, or a setting of the solver or the adjoint is an array.

    >>> x, stats = fixed_point(lambda x, b: 0.5 * x + b, jnp.zeros((3, 2)), jnp.array([1.0, 2.0]))
    >>> x[0].round(2), stats.converged
    (Array([2., 4.], dtype=float32), Array([ True,  True,  True], dtype=bool))
    """
    solver = Anderson() if solver is None else solver
    adjoint = Implicit() if adjoint is None else adjoint
    if isinstance(adjoint, Unrolled):
        return solve(lambda x: f(x, args), x0, solver, unroll=True, largest_change=largest_change)
    _check_settings(solver, adjoint)
    x0, as_given = in_solver_precision(x0)
    x0 = jax.lax.stop_gradient(x0)  # saves the differentiation of whatever made x0
    batch = jax.eval_shape(lambda x: real_view(x)[0], x0).shape[0]
    probe = backward_probe(batch) if probe is None else probe
    converted, captured = jax.closure_convert(f, x0, args)
    if captured:
        f = lambda x, args: converted(x, args[0], *args[1])
        args = (args, tuple(captured))
    x, stats = _solve(f, solver, adjoint, x0, args, probe, largest_change)
    return as_given(x), stats


def root(
    f: Callable[[State, Any], State],
    x0: State,
    args: Any,
    *,
    solver: Solver | None = None,
    adjoint: Adjoint | Unrolled | None = None,
    probe: Stats | None = None,
) -> tuple[State, Stats]:
    """Solve ``f(x, args) = 0`` for every image of a batch, differentiable with respect to ``args``.

    It is the fixed point of ``x - f(x, args)``. The relative residual of the :class:`Stats` is therefore
    ``||f(x)|| / ||x||``, and a Picard step is ``x - relaxation f(x)``. :class:`~deqjax.solvers.NewtonKrylov` works
    whatever the sign and the scale of f; the other solvers converge only if ``x - f(x)`` is not far from a contraction,
    for example if f is a gradient times a step size. :class:`Implicit` estimates the error of the gradient well only if
    the symmetric part of df/dx is positive or negative definite, or if x has at most 5 entries; otherwise it may refuse
    a gradient that is right.

    Args:
      f: ``(x, args) -> residual``, with the structure and the shapes of x; see :func:`fixed_point`.
      x0: the first iterate.
      args: any pytree.
      solver: :class:`~deqjax.solvers.NewtonKrylov` by default.
      adjoint: how to differentiate; by default :class:`Implicit` with NewtonKrylov, which is GMRES with restarts there.
      probe: made by :func:`backward_probe`.

    Returns:
      The root, with the structure of x0, and the :class:`Stats` of the solve.

    Raises:
      ValueError: see :func:`fixed_point`.

    >>> cube_root = lambda b: root(lambda x, b: x**3 - b, jnp.ones((1, 1)), b)[0].sum()
    >>> round(float(cube_root(8.0)), 3), round(float(jax.grad(cube_root)(8.0)), 3)
    (2.0, 0.083)
    """
    solver = NewtonKrylov() if solver is None else solver
    adjoint = Implicit(NewtonKrylov(rtol=1e-5)) if adjoint is None else adjoint

    def step(x: State, args: Any) -> State:
        value = f(x, args)
        shapes = [jax.tree.map(jnp.shape, tree) for tree in (x, value)]
        if shapes[0] != shapes[1]:
            raise ValueError(f"f must return the shapes of its argument; x has {shapes[0]} and f(x) has {shapes[1]}")
        return jax.tree.map(jnp.subtract, x, value)

    return fixed_point(step, x0, args, solver=solver, adjoint=adjoint, probe=probe)


def backward_probe(batch: int) -> Stats:
    """Make the argument of :func:`fixed_point` whose gradient reports how the backward solve went.

    In that gradient, ``num_steps`` counts products with the transposed Jacobian, ``residual`` is
    ``||v + (df/dx)^T w - w|| / ||w||``, computed once more after the solve, ``converged`` is 1 where the residual is at
    most the ``tolerance`` of the adjoint, and ``error`` is the estimated relative error of w. The error is infinite
    where :class:`Implicit` refused the gradient, and NaN where it was not estimated.

    >>> f = lambda x, b: 0.5 * x + b
    >>> loss = lambda b, probe: fixed_point(f, jnp.zeros((1, 2)), b, adjoint=OneStep(), probe=probe)[0].sum()
    >>> jax.grad(loss, argnums=1)(jnp.ones(2), backward_probe(1)).residual
    Array([0.5], dtype=float32)
    """
    zeros = jnp.zeros(batch)
    return Stats(zeros, zeros, zeros, error=zeros)


@partial(jax.custom_jvp, nondiff_argnums=(0, 1, 2))
def _solve(
    f: Callable, solver: Solver, _: Adjoint, x0: State, args: Any, __: Stats, largest_change: jax.Array | None
) -> tuple[State, Stats]:
    return solve(lambda x: f(x, args), x0, solver, largest_change=largest_change)


@partial(_solve.defjvp, symbolic_zeros=True)
def _solve_jvp(f: Callable, solver: Solver, adjoint: Adjoint, primals: tuple, tangents: tuple) -> tuple:
    x0, args, probe, largest_change = primals
    x, stats = _solve(f, solver, adjoint, x0, args, probe, largest_change)
    _, args_dot, probe_dot, _ = tangents
    leaves, structure = jax.tree.flatten(args)
    dots = jax.tree.leaves(args_dot, is_leaf=_is_zero)
    moving = [leaf for leaf, dot in zip(leaves, dots) if not _is_zero(dot)]

    def from_moving(x: State, moving: list[jax.Array]) -> State:
        following = iter(moving)
        merged = [leaf if _is_zero(dot) else next(following) for leaf, dot in zip(leaves, dots)]
        return jax.tree.map(lambda fx, leaf: fx.astype(leaf.dtype), f(x, jax.tree.unflatten(structure, merged)), x)

    probe_dot = jax.tree.map(lambda dot, leaf: jnp.zeros_like(leaf) if _is_zero(dot) else dot, probe_dot, probe)
    x_dot = _tangent(from_moving, adjoint, x, moving, [dot for dot in dots if not _is_zero(dot)], probe_dot)
    return (x, stats), (x_dot, jax.tree.map(_zero_tangent, stats))


def _tangent(
    f: Callable, adjoint: Adjoint, x: State, args: list[jax.Array], args_dot: list[jax.Array], probe_dot: Stats
) -> State:
    """Solve ``x_dot = df/dx x_dot + df/dargs args_dot``, differentiably in both modes and to any order.

    The linear system has the unknowns (x_dot, args_dot, probe_dot), of which the last two are given. The solution of
    its transpose for (v, 0, 0) therefore is (w, args_bar, the Stats of the backward solve). The unknowns are one real
    vector, because JAX transposes only a solve whose entire right-hand side is linear.
    """
    right, restore = _flatten((jax.tree.map(jnp.zeros_like, x), args_dot, probe_dot))

    def system(unknowns: jax.Array) -> jax.Array:
        x_dot, args_dot, probe_dot = restore(unknowns)
        _, image = jax.jvp(f, (x, args), (x_dot, args_dot))
        return _flatten((jax.tree.map(jnp.subtract, x_dot, image), args_dot, probe_dot))[0]

    def forward(_system: Callable, right: jax.Array) -> jax.Array:
        offset, args_dot, probe_dot = restore(right)
        _, driven = jax.jvp(lambda args: f(x, args), (args,), (args_dot,))
        _, product = jax.linearize(lambda x: f(x, args), x)
        x_dot, _, _ = adjoint.find(product, jax.tree.map(jnp.add, offset, driven))
        return _flatten((x_dot, args_dot, probe_dot))[0]

    def backward(_system: Callable, right: jax.Array) -> jax.Array:
        # the cotangent of a + ib is a_bar - i b_bar in JAX, so that its real view is that of the conjugate
        v, args_bar, probe_bar = jax.tree.map(jnp.conj, restore(right))
        transpose = jax.vjp(f, x, args)[1]
        w, num_steps, error = adjoint.find(lambda w: transpose(w)[0], v)
        jacobian_w, through_f = transpose(w)
        residual = relative_residual(real_view(w)[0], real_view(jax.tree.map(jnp.add, v, jacobian_w))[0])
        found = Stats(num_steps, residual, residual <= adjoint.tolerance, error=error)
        stats = jax.tree.map(lambda value, like: like + value.astype(like.dtype), found, probe_bar)
        bars = (w, jax.tree.map(jnp.add, args_bar, through_f), stats)
        return _flatten(jax.tree.map(jnp.conj, bars))[0]

    return restore(jax.lax.custom_linear_solve(system, right, forward, backward))[0]


def _flatten(tree: Any) -> tuple[jax.Array, Callable[[jax.Array], Any]]:
    """Convert a pytree without a batch axis to one real vector, and return the inverse function."""
    flat, restore = real_view(jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], tree))
    return flat[0], lambda flat: jax.tree.map(lambda leaf: leaf[0], restore(flat[None]))


def _is_zero(tangent: Any) -> bool:
    return isinstance(tangent, jax.custom_derivatives.SymbolicZero)


def _zero_tangent(leaf: jax.Array) -> Any:
    inexact = jnp.issubdtype(leaf.dtype, jnp.inexact)
    return jnp.zeros_like(leaf) if inexact else np.zeros(leaf.shape, jax.dtypes.float0)


def _check_settings(*settings: Any) -> None:
    for setting in settings:
        try:
            hash(setting)
        except TypeError as error:
            raise ValueError(
                f"settings are plain numbers, and {type(setting).__name__} holds a value that is not ({error}): pass a "
                "Python number; a value that is learned belongs into args, or is an option learn_... of the map"
            ) from error
