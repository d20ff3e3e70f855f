"""The demons."""

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp

from deqjax.implicit import fixed_point
from deqjax.registration.demons import DemonsArgs, batched_step, both_forces, swapped
from deqjax.registration.gaussian import smooth
from deqjax.registration.objective import Objective
from deqjax.registration.transforms import Dense, Velocity
from deqjax.solvers import Broyden
from deqjax.types import Solver


@dataclass(frozen=True)
class Demons:
    """Solve `deqjax.registration.demons.demons_step` on every level, for `Velocity`, or `Dense`: additive demons.

    The transform's ``smoothing`` is all that regularises. Both images pull, so `Velocity` gives a map and its inverse
    that see the images alike.

    Attributes:
      weight: see `deqjax.registration.demons.demons`.
      solver: of the fixed point.
    """

    weight: float = 0.1
    solver: Solver = field(default_factory=lambda: Broyden(max_steps=30, rtol=1e-3))

    def minimise(self, objective: Objective, start: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return the numbers (like ``start``) and the relative residual at every step, NaN once settled."""
        transform = objective.transform
        assert isinstance(transform, (Dense, Velocity))
        squarings = transform.steps if isinstance(transform, Velocity) else 0
        smoothing, weight = jnp.asarray(transform.smoothing, float), jnp.asarray(self.weight, float)
        args = DemonsArgs(objective, swapped(objective), smoothing, weight, squarings)
        first = smooth(start, smoothing / objective.fixed_grid.spacing())
        velocity, stats = fixed_point(batched_step, first[None], args, solver=self.solver)
        assert stats.residuals is not None
        return velocity[0] + both_forces(velocity[0], args), stats.residuals[0]
