"""L-BFGS."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax

from deqjax.registration.objective import Objective
from deqjax.registration.optimizers.gradient import (
    displacement_per_parameter,
    gradient_unit,
    iterate_until_converged,
)


@dataclass(frozen=True)
class LBFGS:
    """Minimise with ``optax.lbfgs`` and its zoom line search: for any similarity, with few or many parameters.

    Attributes:
      steps: the maximum number of steps on a level.
      history: the number of pairs of steps and gradients that are kept.
      window: see `iterate_until_converged`.
      tolerance: see `iterate_until_converged`.

    Source: D. Liu and J. Nocedal, "On the limited memory BFGS method for large scale optimization", Math. Program.
    45:503, 1989, algorithm 2.1.

    >>> LBFGS(steps=20)
    LBFGS(steps=20, history=10, window=5, tolerance=0.001)
    """

    steps: int = 50
    history: int = 10
    window: int = 5
    tolerance: float = 1e-3

    def minimise(self, objective: Objective, start: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return the parameters and the objective at every step; see `deqjax.registration.types.Optimizer`."""
        size = displacement_per_parameter(objective, start)
        unit = gradient_unit(lambda scaled: objective.value(scaled / size), start * size)
        value_of_scaled = lambda scaled: objective.value(scaled / size) / unit
        optimizer = optax.lbfgs(memory_size=self.history, linesearch=optax.scale_by_zoom_linesearch(8))
        value_and_grad = optax.value_and_grad_from_state(value_of_scaled)

        def step(state: tuple[jax.Array, Any]) -> tuple[tuple[jax.Array, Any], jax.Array]:
            scaled, inner = state
            value, gradient = value_and_grad(scaled, state=inner)
            updates, inner = optimizer.update(
                gradient, inner, scaled, value=value, grad=gradient, value_fn=value_of_scaled
            )
            return (optax.apply_updates(scaled, updates), inner), value * unit

        first = start * size, optimizer.init(start * size)
        (scaled, _), values = iterate_until_converged(step, first, self.steps, self.window, self.tolerance)
        return jnp.asarray(scaled) / size, values
