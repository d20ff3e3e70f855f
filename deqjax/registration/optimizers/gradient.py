"""Adam, and the iteration and the scaling of parameters that several optimizers use."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from deqjax.registration.objective import Objective
from deqjax.scaling import power_of_two_scale


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
        """Return the best parameters, and the objective at every step; see `deqjax.registration.types.Optimizer`."""
        size = displacement_per_parameter(objective, start)
        value_of_scaled = lambda scaled: objective.value(scaled / size)
        optimizer = optax.adam(self.learning_rate)

        def step(state: AdamState) -> tuple[AdamState, jax.Array]:
            value, gradient = jax.value_and_grad(value_of_scaled)(state.scaled)
            better, in_view = value < state.value, jnp.isfinite(value)
            best, lowest = jnp.where(better, state.scaled, state.best), jnp.where(better, value, state.value)
            updates, inner = optimizer.update(gradient / unit, state.inner)
            moved = jnp.where(in_view, jnp.asarray(optax.apply_updates(state.scaled, updates)), best)
            inner = jax.tree.map(lambda new, fresh: jnp.where(in_view, new, fresh), inner, optimizer.init(moved))
            return AdamState(moved, inner, best, lowest), value

        scaled = start * size
        unit = gradient_unit(value_of_scaled, scaled)
        first = AdamState(scaled, optimizer.init(scaled), scaled, jnp.asarray(jnp.inf, scaled.dtype))
        last, values = iterate_until_converged(step, first, self.steps, self.window, self.tolerance)
        return last.best / size, values


class AdamState(NamedTuple):
    """The scaled parameters, the moments of Adam, and the best scaled parameters so far with their value.

    If a step moves the image out of view, Adam starts again from the best parameters, with fresh moments.
    """

    scaled: jax.Array
    inner: Any
    best: jax.Array
    value: jax.Array


def gradient_unit(value: Callable[[jax.Array], jax.Array], start: jax.Array) -> jax.Array:
    """Return the norm of the gradient at the start, by which an objective is divided so that its unit has no influence.

    The thresholds of Adam and L-BFGS are absolute: images in units of 1e-9 would not move. The norm is 1 where the
    gradient is 0 or not finite.

    >>> gradient_unit(lambda x: jnp.sum(x**2), jnp.array([3.0, 4.0]))
    Array(10., dtype=float32)
    """
    gradient = jax.grad(value)(start)
    scale = power_of_two_scale(gradient)
    norm = scale.undo(jnp.linalg.norm(scale.apply(gradient).ravel())).reshape(())
    return jnp.where((norm > 0) & jnp.isfinite(norm), norm, 1)


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
