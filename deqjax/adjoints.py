"""The ways to differentiate a fixed point: how to solve, or to approximate, the linear equation of the gradient."""

import dataclasses
from dataclasses import dataclass, field
from numbers import Real
from typing import Literal

import jax
import jax.numpy as jnp

from deqjax.gradient_error import KRYLOV_STEPS, estimate_error
from deqjax.solvers import Anderson, solve
from deqjax.types import Solver, State, Transpose


@dataclass(frozen=True)
class Implicit:
    """The exact gradient: solve ``w = v + (df/dx)^T w`` to a tolerance, separately for each image.

    The gradient of an image is refused if its estimated relative error stays above a bound, so that it is not silently
    wrong. The estimate takes 5 more products with the transposed Jacobian; see
    :func:`deqjax.gradient_error.estimate_error` for what is proved about it and what is not.

    Attributes:
      solver: solves the adjoint equation.
      rtol: the relative residual at which the solve stops. If it is None, the tolerance of ``solver`` applies.
      nan_above: the gradient of an image is refused if the estimate of its relative error is above this bound. Set it
        to ``inf`` to use every gradient and to save the products of the estimate; the error is then reported as NaN.
      on_failure: what a refused gradient becomes. With "nan" it is NaN, and so is the gradient of everything that the
        images of a batch share. With "drop" it is zero, so that the other images of the batch still train the model.

    >>> import deqjax as dj
    >>> fixed = lambda b: dj.fixed_point(lambda x, b: 0.5 * x + b, jnp.zeros((1, 1)), b, adjoint=Implicit())[0].sum()
    >>> round(float(jax.grad(fixed)(jnp.array(1.0))), 4)
    2.0
    """

    solver: Solver = field(default_factory=lambda: Anderson(rtol=1e-5))
    rtol: float | None = None
    nan_above: float = 0.1
    on_failure: Literal["nan", "drop"] = "nan"

    def __post_init__(self) -> None:
        if self.on_failure not in ("nan", "drop"):
            raise ValueError(f'on_failure must be "nan" or "drop"; it is {self.on_failure!r}')
        if isinstance(self.nan_above, Real) and not self.nan_above > 0:
            raise ValueError(f"nan_above must be above 0; it is {self.nan_above}")

    @property
    def tolerance(self) -> float:
        return self.solver.rtol if self.rtol is None else self.rtol

    def find(self, product: Transpose, v: State) -> tuple[State, jax.Array, jax.Array]:
        solver = dataclasses.replace(self.solver, rtol=self.tolerance)  # type: ignore[type-var]
        w, stats = solve(lambda w: jax.tree.map(jnp.add, v, product(w)), v, solver)
        if self.nan_above == float("inf"):
            return w, stats.num_steps, jnp.full_like(stats.residual, jnp.nan)
        error = estimate_error(product, v, w)
        refused = ~(error <= self.nan_above)
        value = jnp.nan if self.on_failure == "nan" else 0
        replace = lambda leaf: jnp.where(refused.reshape(-1, *[1] * (leaf.ndim - 1)), value, leaf)
        return jax.tree.map(replace, w), stats.num_steps + KRYLOV_STEPS + 1, jnp.where(refused, jnp.inf, error)


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

    def find(self, product: Transpose, v: State) -> tuple[State, jax.Array, jax.Array]:
        return v, jnp.zeros(_batch(v), jnp.int32), jnp.full(_batch(v), jnp.nan)


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

    def __post_init__(self) -> None:
        known = isinstance(self.steps, Real) and isinstance(self.relaxation, Real)
        if known and not (self.steps >= 1 and 0 < self.relaxation <= 1):
            raise ValueError(
                f"Phantom needs steps >= 1 and relaxation in (0, 1]; they are {self.steps} and {self.relaxation}"
            )

    @property
    def tolerance(self) -> float:
        return 1e-3

    def find(self, product: Transpose, v: State) -> tuple[State, jax.Array, jax.Array]:
        def step(_: int, w: State) -> State:
            mix = lambda a, b, c: self.relaxation * (a + b) + (1 - self.relaxation) * c
            return jax.tree.map(mix, v, product(w), w)

        w = jax.lax.fori_loop(0, self.steps, step, v)
        return w, jnp.full(_batch(v), self.steps, jnp.int32), jnp.full(_batch(v), jnp.nan)


@dataclass(frozen=True)
class Unrolled:
    """Differentiate the iteration itself, including the solver. Every step is recomputed in the backward pass.

    The solver takes ``max_steps - 1`` steps and returns the last iterate; the last evaluation measures its residual.
    The gradient is exact for what was computed, converged or not. Its memory grows with the number of steps. Through an
    accelerated solver it contains the derivative of the acceleration, which may be huge for maps with kinks, although
    the solve converged: use it with :class:`deqjax.solvers.Picard`.

    >>> import deqjax as dj
    >>> solver = dj.solvers.Picard(max_steps=3, rtol=0.0)
    >>> f = lambda x, b: 0.5 * x + b
    >>> fixed = lambda b: dj.fixed_point(f, jnp.zeros((1, 1)), b, solver=solver, adjoint=Unrolled())[0].sum()
    >>> float(jax.grad(fixed)(jnp.array(1.0)))
    1.5
    """


def _batch(x: State) -> int:
    return jax.tree.leaves(x)[0].shape[0]
