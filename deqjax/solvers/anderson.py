"""Anderson acceleration."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from deqjax.scaling import power_of_two_scale
from deqjax.solvers.safeguard import Best, init_best, safeguard


class AndersonState(NamedTuple):
    """The last iterates and their residuals."""

    xs: jax.Array
    """The last iterates, (history, n). A row that has not been written yet is zero."""

    residuals: jax.Array
    """Their residuals f(x) - x, (history, n)."""

    best: Best
    """The best iterate, for the safeguard."""


@dataclass(frozen=True)
class Anderson:
    """Anderson acceleration: combine the last iterates so that the norm of their combined residual is smallest.

    ``x+ = sum_i a_i (x_i + relaxation r_i)``, where a minimises ``||sum_i a_i r_i||^2 + ridge sum_i ||a_i r_i||^2``
    with ``sum_i a_i = 1`` and ``r_i = f(x_i) - x_i``. The ridge is relative to the norm of each residual. It bounds the
    condition number of the linear system by history / ridge. A ridge relative to the trace of the Gram matrix would
    instead be large compared with the small residuals of late steps. Where the residual has grown more than tenfold,
    the next step is a relaxed one from the best iterate; see :mod:`deqjax.solvers.safeguard`.

    Source: H. F. Walker and P. Ni, "Anderson acceleration for fixed-point iterations", SIAM J. Numer. Anal. 49:1715,
    2011, algorithm AA with equation 2.1.

    Attributes:
      history: the number of iterates that are combined, at least 1. With 1 the method is the Picard iteration.
      relaxation: the weight of the residuals; 1 is undamped.
      ridge: the relative regularisation. It should be well above the rounding error of the floating-point type.
      max_steps: the largest number of evaluations of f.
      rtol: the relative residual at which an image stops.

    >>> import deqjax as dj
    >>> x, stats = dj.fixed_point(lambda x, b: 0.9 * x + b, jnp.zeros((1, 2)), jnp.ones(2), solver=Anderson())
    >>> bool(stats.converged[0]), int(stats.num_steps[0])
    (True, 4)
    """

    history: int = 10
    relaxation: float = 1.0
    ridge: float = 1e-4
    max_steps: int = 50
    rtol: float = 1e-4

    def init(self, x: jax.Array) -> AndersonState:
        if self.history < 1:
            raise ValueError(f"Anderson needs history >= 1; it is {self.history}")
        empty = jnp.zeros((self.history, *x.shape), x.dtype)
        return AndersonState(empty, empty, init_best(x, allowed=10))

    def update(
        self, x: jax.Array, fx: jax.Array, step: jax.Array, state: AndersonState
    ) -> tuple[jax.Array, AndersonState]:
        slot = step % self.history
        xs = state.xs.at[slot].set(x)
        residuals = state.residuals.at[slot].set(fx - x)
        used = jnp.any(residuals != 0, axis=1)  # false in an empty slot and at an exact solution; any weights are right
        scale = power_of_two_scale(residuals, axes=1)
        directions = scale.apply(residuals)
        gram = directions @ directions.T
        size = jnp.sqrt(jnp.where(used, jnp.diag(gram), 1))
        cosines = gram / (size[:, None] * size[None, :])
        cosines = jnp.where(jnp.eye(self.history, dtype=bool), 1 + self.ridge, cosines)
        relative = [part[:, 0] / jnp.max(jnp.where(used, part[:, 0], 0)) for part in (scale.first, scale.second)]
        # the smallest norm over every norm, up to a common factor, which cancels in the weights
        target = jnp.where(used, relative[0] * relative[1] / size, 0)
        weights = jnp.linalg.solve(cosines, target) * target
        weights = jnp.where(jnp.any(used), weights, jnp.arange(self.history) == slot)
        weights = weights / jnp.sum(weights)
        proposed = weights @ (xs + self.relaxation * residuals)
        following, best = safeguard(x, fx - x, proposed, step, state.best)
        return following, AndersonState(xs, residuals, best)
