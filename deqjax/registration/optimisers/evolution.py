"""An evolution strategy."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from deqjax.registration.objective import Objective
from deqjax.registration.optimisers.descend import descend
from deqjax.registration.optimisers.reach import reach


class EvolutionState(NamedTuple):
    mean: jax.Array
    spread: jax.Array
    best: jax.Array
    value: jax.Array
    key: jax.Array


@dataclass(frozen=True)
class Evolution:
    """The separable natural evolution strategy: no gradient, for few numbers and hard starts, e.g. far rotations.

    Each step draws ``x_k = mean + spread z_k``, ranks them by the objective, and follows the natural gradient:
    ``mean += spread sum_k u_k z_k``, ``spread *= exp(rate / 2 sum_k u_k (z_k^2 - 1))``, with utilities u_k
    that depend on the rank alone. What leaves more than half of the mask out of view counts as worst. The best x of all
    is kept. The same seed gives the same numbers.

    Attributes:
      steps: at most, a level.
      population: candidates a step, evaluated side by side.
      spread: at the start of a level of the finest voxels, mm (root mean square) that each number moves the image by;
        twice that on voxels of twice the size.
      seed: of the draws.
      window, tolerance: when a level has settled, see `descend`.

    Source: T. Schaul, T. Glasmachers, J. Schmidhuber, "High dimensions and heavy tails for natural evolution
    strategies", GECCO 2011, algorithm 1; the utilities after D. Wierstra et al., J. Mach. Learn. Res. 15:949, 2014.
    """

    steps: int = 60
    population: int = 32
    spread: float = 2.0
    seed: int = 0
    window: int = 20
    tolerance: float = 1e-3

    def minimise(self, objective: Objective, start: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return the numbers (like ``start``) and the best value so far at every step, (steps,), NaN once settled."""
        size = reach(objective, start)
        order = jnp.arange(1, self.population + 1)
        utility = jnp.maximum(0, jnp.log(self.population / 2 + 1) - jnp.log(order))
        utility = utility / jnp.sum(utility) - 1 / self.population
        rate = (3 + jnp.log(start.size)) / (5 * jnp.sqrt(start.size))
        whole = jnp.sum(objective.mask)

        def cost(numbers: jax.Array) -> jax.Array:
            _, reached = objective.warped(objective.displacement(numbers))
            value = objective.value(numbers)
            return jnp.where((jnp.sum(reached) > whole / 2) & jnp.isfinite(value), value, jnp.inf)

        def step(state: EvolutionState) -> tuple[EvolutionState, jax.Array]:
            key, draw = jax.random.split(state.key)
            z = jax.random.normal(draw, (self.population, *start.shape), start.dtype)
            numbers = state.mean + state.spread * z
            values = jax.vmap(cost)(numbers)
            ranked = jnp.argsort(values)
            value, best, z = values[ranked[0]], numbers[ranked[0]], z[ranked]
            mean = state.mean + state.spread * jnp.tensordot(utility, z, 1)
            spread = state.spread * jnp.exp(rate / 2 * jnp.tensordot(utility, z**2 - 1, 1))
            better = value < state.value
            best, value = jnp.where(better, best, state.best), jnp.where(better, value, state.value)
            return EvolutionState(mean, spread, best, value, key), value

        spread = jnp.broadcast_to(self.spread * objective.scale / jnp.maximum(size, 1e-6), start.shape)
        key = jax.random.fold_in(jax.random.key(self.seed), objective.fixed.size)
        first = EvolutionState(start, spread, start, cost(start), key)
        state, values = descend(step, first, self.steps, self.window, self.tolerance)
        return state.best, values
