"""Adam, and the iteration and the scaling of parameters that several optimizers use."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax

from deqjax.registration.objective import Objective


@dataclass(frozen=True)
class Adam:
    """Minimise with ``optax.adam``: small steps that cope with a rough objective.

    Attributes:
      steps: the maximum number of steps on a level.
      learning_rate: the step of each parameter in mm, the same on all levels.
      window: see `iterate_until_converged`.
      tolerance: see `iterate_until_converged`.

    Source: D. Kingma and J. Ba, "Adam: a method for stochastic optimization", ICLR 2015, algorithm 1.

    >>> Adam(steps=80)
    Adam(steps=80, learning_rate=0.2, window=20, tolerance=0.001)
    """

    steps: int = 150
    learning_rate: float = 0.2
    window: int = 20
    tolerance: float = 1e-3

    def minimise(self, objective: Objective, start: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return the parameters and the objective at every step; see `deqjax.registration.types.Optimizer`."""
        size = displacement_per_parameter(objective, start)
        value_of_scaled = lambda scaled: objective.value(scaled / size)
        optimizer = optax.adam(self.learning_rate)

        def step(state: tuple[jax.Array, Any]) -> tuple[tuple[jax.Array, Any], jax.Array]:
            scaled, inner = state
            value, gradient = jax.value_and_grad(value_of_scaled)(scaled)
            updates, inner = optimizer.update(gradient, inner)
            return (optax.apply_updates(scaled, updates), inner), value

        first = start * size, optimizer.init(start * size)
        (scaled, _), values = iterate_until_converged(step, first, self.steps, self.window, self.tolerance)
        return jnp.asarray(scaled) / size, values


def iterate_until_converged(
    step: Callable[[Any], tuple[Any, jax.Array]], state: Any, steps: int, window: int, tolerance: float
) -> tuple[Any, jax.Array]:
    """Repeat a step until the last ``window`` steps reduced the objective by little compared with all steps.

    Args:
      step: a function from a state to the next state and the value of the objective before the step.
      state: the first state, a pytree.
      steps: the maximum number of steps.
      window: the number of steps over which the last reduction is measured.
      tolerance: the iteration has converged when that reduction is below this fraction of the reduction since the
        first step.

    Returns:
      The last state, and the values, (steps,), NaN after convergence.

    >>> halve = lambda x: (x / 2, x)
    >>> print(iterate_until_converged(halve, jnp.array(8.0), steps=6, window=2, tolerance=0.25)[1])
    [8.  4.  2.  1.  0.5 nan]
    """

    def visit(carry: tuple[Any, jax.Array], k: jax.Array) -> tuple[tuple[Any, jax.Array], None]:
        state, values = carry

        def move(_: None) -> tuple[Any, jax.Array]:
            moved, value = step(state)
            return moved, values.at[k].set(value)

        last, before = values[k - 1], values[k - 1 - window]
        converged = (k > window) & ~(before - last >= tolerance * (values[0] - last))
        return jax.lax.cond(converged, lambda _: (state, values), move, None), None

    (state, values), _ = jax.lax.scan(visit, (state, jnp.full((steps,), jnp.nan)), jnp.arange(steps))
    return state, values


def displacement_per_parameter(objective: Objective, parameters: jax.Array) -> jax.Array:
    """Return the root mean square displacement that a unit of each parameter causes, in mm.

    Multiplied by it, radians, scales and millimetres become comparable, which optimizers without curvature need.

    Args:
      objective: the objective of one level.
      parameters: the parameters at which the displacement is differentiated.

    Returns:
      The displacements, in the shape of ``parameters``; 1 for parameters on a lattice, which are mm already.

    Source: the idea of the physical shift scales of B. Avants et al., "The Insight ToolKit image registration
    framework", Front. Neuroinform. 8:44, 2014.
    """
    if parameters.ndim > 1:
        return jnp.ones(())
    push = lambda unit: jax.jvp(objective.displacement, (parameters,), (unit,))[1]
    squares = jax.lax.map(lambda unit: jnp.mean(jnp.sum(push(unit) ** 2, -1)), jnp.eye(parameters.size))
    return jnp.sqrt(squares)
