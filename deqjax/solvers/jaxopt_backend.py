"""The solvers of the package jaxopt, for the same real vectors and in the same loop as the other solvers.

A jaxopt solver calls f itself, once per step, at a point that it computes from its state. An update here therefore runs
jaxopt's step twice: first with f(x) as the value of the function, which completes the pending step, and then with a
function that records at which point the next step evaluates f. Broyden's method runs without its line search, which
would evaluate f more than once per step.

Source: M. Blondel et al., "Efficient and modular implicit differentiation", NeurIPS 2022.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp


class JaxoptState(NamedTuple):
    """The iterate and the state of a jaxopt solver."""

    params: jax.Array
    """The iterate of jaxopt, which may differ from the point at which f is evaluated."""

    inner: Any
    """The state of the solver as jaxopt defines it."""


@dataclass(frozen=True)
class JaxoptPicard:
    """The solver ``FixedPointIteration`` of jaxopt.

    Attributes:
      max_steps: the largest number of evaluations of f.
      rtol: the relative residual at which an image stops.

    >>> JaxoptPicard().update(jnp.zeros(2), jnp.ones(2), 0, JaxoptPicard().init(jnp.zeros(2)))[0]
    Array([1., 1.], dtype=float32)
    """

    max_steps: int = 100
    rtol: float = 1e-4

    def _solver(self, f: Callable) -> Any:
        return _jaxopt().FixedPointIteration(f, jit=False)

    def init(self, x: jax.Array) -> JaxoptState:
        return _init(self._solver, x)

    def update(self, x: jax.Array, fx: jax.Array, step: jax.Array, state: JaxoptState) -> tuple[jax.Array, JaxoptState]:
        return _update(self._solver, fx, state)


@dataclass(frozen=True)
class JaxoptAnderson:
    """The solver ``AndersonAcceleration`` of jaxopt. Its first ``history`` steps are Picard steps.

    Attributes:
      history: the number of iterates that are combined.
      relaxation: the weight of the residuals, jaxopt's ``beta``.
      ridge: the regularisation. It is absolute, so that it depends on the scale of x.
      max_steps: the largest number of evaluations of f.
      rtol: the relative residual at which an image stops.

    >>> JaxoptAnderson().update(jnp.zeros(2), jnp.ones(2), 0, JaxoptAnderson().init(jnp.zeros(2)))[0]
    Array([1., 1.], dtype=float32)
    """

    history: int = 5
    relaxation: float = 1.0
    ridge: float = 1e-5
    max_steps: int = 50
    rtol: float = 1e-4

    def _solver(self, f: Callable) -> Any:
        return _jaxopt().AndersonAcceleration(
            f, history_size=self.history, beta=self.relaxation, ridge=self.ridge, jit=False
        )

    def init(self, x: jax.Array) -> JaxoptState:
        return _init(self._solver, x)

    def update(self, x: jax.Array, fx: jax.Array, step: jax.Array, state: JaxoptState) -> tuple[jax.Array, JaxoptState]:
        return _update(self._solver, fx, state)


@dataclass(frozen=True)
class JaxoptBroyden:
    """The solver ``Broyden`` of jaxopt on ``x - f(x)``, with a fixed step size instead of its line search.

    Attributes:
      history: the number of pairs of differences.
      step_size: the length of every step.
      max_steps: the largest number of evaluations of f.
      rtol: the relative residual at which an image stops.

    >>> JaxoptBroyden().update(jnp.zeros(2), jnp.ones(2), 0, JaxoptBroyden().init(jnp.zeros(2)))[0]
    Array([1., 1.], dtype=float32)
    """

    history: int = 8
    step_size: float = 1.0
    max_steps: int = 50
    rtol: float = 1e-4

    def _solver(self, f: Callable) -> Any:
        return _jaxopt().Broyden(lambda x: x - f(x), stepsize=self.step_size, history_size=self.history, jit=False)

    def init(self, x: jax.Array) -> JaxoptState:
        return _init(self._solver, x)

    def update(self, x: jax.Array, fx: jax.Array, step: jax.Array, state: JaxoptState) -> tuple[jax.Array, JaxoptState]:
        def first() -> JaxoptState:  # no step is pending at the first evaluation
            return state._replace(inner=state.inner._replace(value=(x - fx).astype(state.params.dtype)))

        later = lambda: _complete_step(self._solver, fx, state)
        return _next_point(self._solver, jax.lax.cond(step == 0, first, later), fx)


def _jaxopt() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import jaxopt
    return jaxopt


def _init(make: Callable, x: jax.Array) -> JaxoptState:
    """Make the first state of jaxopt, in the widest type: jaxopt computes in it, whatever the type of x is."""
    x = x.astype(jnp.promote_types(x.dtype, jnp.result_type(float)))
    inner = make(lambda point: point).init_state(x)
    return JaxoptState(x, jax.tree.map(jnp.asarray, inner))


def _complete_step(make: Callable, fx: jax.Array, state: JaxoptState) -> JaxoptState:
    """Complete the pending step of jaxopt with the value of f at the point that it asked for."""
    fx = fx.astype(state.params.dtype)
    params, inner = make(lambda _: fx).update(state.params, state.inner)
    return jax.tree.map(lambda new, old: jnp.asarray(new, old.dtype), JaxoptState(params, inner), state)


def _next_point(make: Callable, state: JaxoptState, like: jax.Array) -> tuple[jax.Array, JaxoptState]:
    """Find the point at which the next step of jaxopt evaluates f, in the type of ``like``."""
    points: list[jax.Array] = []

    def record(point: jax.Array) -> jax.Array:
        points.append(point)
        return point

    make(record).update(state.params, state.inner)
    return points[-1].astype(like.dtype), state


def _update(make: Callable, fx: jax.Array, state: JaxoptState) -> tuple[jax.Array, JaxoptState]:
    return _next_point(make, _complete_step(make, fx, state), fx)
