"""An evolution strategy, which needs no gradient."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from deqjax.registration.objective import Objective
from deqjax.registration.optimizers.gradient import displacement_per_parameter, iterate_until_converged


class EvolutionState(NamedTuple):
    """The mean and spread of the candidates, the best parameters so far and their value, and the random key."""

    mean: jax.Array
    spread: jax.Array
    best: jax.Array
    value: jax.Array
    key: jax.Array


@dataclass(frozen=True)
class Evolution:
    """The separable natural evolution strategy, for few parameters and distant starts such as large rotations.

    Each step draws ``x_k = mean + spread z_k``, ranks them by the objective, and follows the natural gradient:
    ``mean += spread sum_k u_k z_k``, ``spread *= exp(rate / 2 sum_k u_k (z_k^2 - 1))``, with utilities u_k that
    depend on the rank alone. A candidate that moves the image out of view ranks last (see `Objective.value`). The
    result is the best x of all steps. It is the same for the same seed.

    Attributes:
      steps: the maximum number of steps on a level.
      population: the number of candidates in a step; they are evaluated together.
      spread: the standard deviation of each parameter at the start of a level, as the root mean square displacement
        that it causes, in mm on voxels of the finest size; it grows in proportion to the voxel size.
      seed: the seed of the candidates.
      window: see `iterate_until_converged`.
      tolerance: see `iterate_until_converged`.

    Source: T. Schaul, T. Glasmachers, J. Schmidhuber, "High dimensions and heavy tails for natural evolution
    strategies", GECCO 2011, algorithm 1; the utilities are those of D. Wierstra et al., J. Mach. Learn. Res. 15:949,
    2014.

    >>> Evolution(spread=8.0)
    Evolution(steps=60, population=32, spread=8.0, seed=0, window=20, tolerance=0.001)
    """

    steps: int = 60
    population: int = 32
    spread: float = 2.0
    seed: int = 0
    window: int = 20
    tolerance: float = 1e-3

    def minimise(self, objective: Objective, start: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return the best parameters, and the best value so far at every step, (steps,), NaN after convergence."""
        size = displacement_per_parameter(objective, start)
        order = jnp.arange(1, self.population + 1)
        utility = jnp.maximum(0, jnp.log(self.population / 2 + 1) - jnp.log(order))
        utility = utility / jnp.sum(utility) - 1 / self.population
        rate = (3 + jnp.log(start.size)) / (5 * jnp.sqrt(start.size))

        def cost(parameters: jax.Array) -> jax.Array:
            value = objective.value(parameters)
            return jnp.where(jnp.isfinite(value), value, jnp.inf)

        def step(state: EvolutionState) -> tuple[EvolutionState, jax.Array]:
            key, draw = jax.random.split(state.key)
            z = jax.random.normal(draw, (self.population, *start.shape), start.dtype)
            candidates = state.mean + state.spread * z
            values = jax.vmap(cost)(candidates)
            ranked = jnp.argsort(values)
            value, best, z = values[ranked[0]], candidates[ranked[0]], z[ranked]
            mean = state.mean + state.spread * jnp.tensordot(utility, z, 1)
            spread = state.spread * jnp.exp(rate / 2 * jnp.tensordot(utility, z**2 - 1, 1))
            better = value < state.value
            best, value = jnp.where(better, best, state.best), jnp.where(better, value, state.value)
            return EvolutionState(mean, spread, best, value, key), value

        spread = jnp.broadcast_to(self.spread * objective.scale / jnp.maximum(size, 1e-6), start.shape)
        key = jax.random.fold_in(jax.random.key(self.seed), objective.fixed.size)
        first = EvolutionState(start, spread, start, cost(start), key)
        state, values = iterate_until_converged(step, first, self.steps, self.window, self.tolerance)
        return state.best, values
