"""Gauss-Newton with Levenberg and Marquardt's damping."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from deqjax.registration.objective import Objective, Quadratic
from deqjax.registration.optimisers.descend import descend


class GaussNewtonState(NamedTuple):
    accepted: jax.Array
    value: jax.Array
    trial: jax.Array
    damping: jax.Array


@dataclass(frozen=True)
class GaussNewton:
    """Minimise the quadratic model of `Objective`, damped: ``(H + damping diag) dp = -g``.

    For a vector of few numbers H is assembled and ``diag`` is its diagonal; for a lattice of them conjugate gradients
    see H through its products, and ``diag`` is its mean diagonal. A step that raises the objective is taken back, and
    the next one starts from the same place with more damping; one that lowers it is kept, and the damping shrinks by
    three.

    Attributes:
      steps: at most, a level.
      products: of H, at most, in a step of conjugate gradients.
      damping: at the start of a level.
      window, tolerance: when a level has settled, see `descend`.

    Source: D. Marquardt, "An algorithm for least-squares estimation of nonlinear parameters", SIAM J. Appl. Math.
    11:431, 1963.
    """

    steps: int = 10
    products: int = 8
    damping: float = 1e-3
    window: int = 3
    tolerance: float = 1e-3

    def minimise(self, objective: Objective, start: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return the numbers (like ``start``) and the objective at every step, (steps,), NaN once settled."""
        solve = self._direct if start.ndim == 1 else self._conjugate

        def step(state: GaussNewtonState) -> tuple[GaussNewtonState, jax.Array]:
            model = objective.quadratic(state.trial)
            better = model.value <= state.value
            damping = jnp.where(better, state.damping / 3, state.damping * 10)
            accepted = jnp.where(better, state.trial, state.accepted)
            value = jnp.where(better, model.value, state.value)
            trial = jnp.where(better, state.trial - solve(model, damping), state.accepted)
            return GaussNewtonState(accepted, value, trial, damping), value

        first = GaussNewtonState(start, jnp.asarray(jnp.inf, start.dtype), start, jnp.asarray(3 * self.damping))
        state, values = descend(step, first, self.steps, self.window, self.tolerance)
        return state.accepted, values

    def _direct(self, model: Quadratic, damping: jax.Array) -> jax.Array:
        hessian = jax.lax.map(model.product, jnp.eye(model.gradient.size, dtype=model.gradient.dtype))
        diagonal = jnp.diag(hessian)
        scale = 1 / jnp.sqrt(diagonal + 1e-6 * jnp.max(diagonal) + 1e-30)
        system = hessian * scale[:, None] * scale + damping * jnp.eye(len(scale))
        return scale * jnp.linalg.solve(system, scale * model.gradient)

    def _conjugate(self, model: Quadratic, damping: jax.Array) -> jax.Array:
        signs = jnp.where(jax.random.bernoulli(jax.random.key(0), shape=model.gradient.shape), 1.0, -1.0)
        diagonal = jnp.abs(jnp.vdot(signs, model.product(signs))) / signs.size + 1e-30
        damped = lambda p: model.product(p) / diagonal + damping * p
        step, _ = jax.scipy.sparse.linalg.cg(damped, model.gradient / diagonal, tol=1e-2, maxiter=self.products)
        return step
