"""Gauss-Newton with the damping of Levenberg and Marquardt."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from deqjax.registration.objective import Objective, QuadraticModel
from deqjax.registration.optimizers.gradient import iterate_until_converged


class GaussNewtonState(NamedTuple):
    """The best parameters so far and their value, the parameters to be tried next, and the damping."""

    accepted: jax.Array
    value: jax.Array
    trial: jax.Array
    damping: jax.Array


@dataclass(frozen=True)
class GaussNewton:
    """Minimise the quadratic model of `Objective` with damping: ``(H + damping diag) dp = -g``.

    For a vector of few parameters H is computed, and ``diag`` is its diagonal. For parameters on a lattice, conjugate
    gradients use products with H, and ``diag`` is its mean diagonal. A step that increases the objective is rejected,
    and the next one starts from the same parameters with ten times the damping. A step that decreases it is accepted,
    and the damping is divided by three.

    Attributes:
      steps: the maximum number of steps on a level.
      products: the maximum number of products with H in a step of conjugate gradients.
      damping: the damping at the start of a level.
      window: see `iterate_until_converged`.
      tolerance: see `iterate_until_converged`.

    Source: D. Marquardt, "An algorithm for least-squares estimation of nonlinear parameters", SIAM J. Appl. Math.
    11:431, 1963.

    >>> GaussNewton(steps=5, products=6)
    GaussNewton(steps=5, products=6, damping=0.001, window=3, tolerance=0.001)
    """

    steps: int = 10
    products: int = 8
    damping: float = 1e-3
    window: int = 3
    tolerance: float = 1e-3

    def minimise(self, objective: Objective, start: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return the parameters and the objective at every step; see `deqjax.registration.types.Optimizer`."""
        solve = self._solve_directly if start.ndim == 1 else self._solve_iteratively

        def step(state: GaussNewtonState) -> tuple[GaussNewtonState, jax.Array]:
            model = objective.quadratic(state.trial)
            better = model.value <= state.value
            damping = jnp.where(better, state.damping / 3, state.damping * 10)
            accepted = jnp.where(better, state.trial, state.accepted)
            value = jnp.where(better, model.value, state.value)
            trial = jnp.where(better, state.trial - solve(model, damping), state.accepted)
            return GaussNewtonState(accepted, value, trial, damping), value

        first = GaussNewtonState(start, jnp.asarray(jnp.inf, start.dtype), start, jnp.asarray(3 * self.damping))
        state, values = iterate_until_converged(step, first, self.steps, self.window, self.tolerance)
        return state.accepted, values

    def _solve_directly(self, model: QuadraticModel, damping: jax.Array) -> jax.Array:
        hessian = jax.lax.map(model.product, jnp.eye(model.gradient.size, dtype=model.gradient.dtype))
        diagonal = jnp.diag(hessian)
        largest = jnp.max(diagonal)
        scale = 1 / jnp.sqrt(jnp.where(largest > 0, diagonal + 1e-6 * largest, 1))
        system = hessian * scale[:, None] * scale + damping * jnp.eye(len(scale))
        return scale * jnp.linalg.solve(system, scale * model.gradient)

    def _solve_iteratively(self, model: QuadraticModel, damping: jax.Array) -> jax.Array:
        signs = jnp.where(jax.random.bernoulli(jax.random.key(0), shape=model.gradient.shape), 1.0, -1.0)
        diagonal = jnp.abs(jnp.vdot(signs, model.product(signs))) / signs.size
        diagonal = jnp.where(diagonal > 0, diagonal, 1)
        damped = lambda p: model.product(p) / diagonal + damping * p
        step, _ = jax.scipy.sparse.linalg.cg(damped, model.gradient / diagonal, tol=1e-2, maxiter=self.products)
        return step
