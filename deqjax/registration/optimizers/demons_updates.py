"""The demons algorithm as an optimizer of one level."""

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp

from deqjax.implicit import fixed_point
from deqjax.registration.objective import Objective
from deqjax.registration.smoothing import smooth
from deqjax.registration.symmetric_demons import DemonsArgs, batched_step, exchange_images, symmetric_force
from deqjax.registration.transforms import Dense, Velocity
from deqjax.solvers import Broyden
from deqjax.types import Solver


@dataclass(frozen=True)
class Demons:
    """Solve `deqjax.registration.symmetric_demons.demons_step` on every level, for `Velocity` or `Dense`.

    `Dense` gives the additive demons. The ``smoothing`` of the transform is the only regularisation. The forces of both
    images are used, so with `Velocity` exchanging the images inverts the map.

    Attributes:
      weight: see `deqjax.registration.symmetric_demons.demons`.
      solver: the solver of the fixed point.

    >>> Demons(weight=0.2).weight
    0.2
    """

    weight: float = 0.1
    solver: Solver = field(default_factory=lambda: Broyden(max_steps=30, rtol=1e-3))

    def minimise(self, objective: Objective, start: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return the parameters, and the relative residual at every step, (steps,), NaN after convergence."""
        transform = objective.transform
        assert isinstance(transform, (Dense, Velocity))
        squarings = transform.steps if isinstance(transform, Velocity) else 0
        smoothing, weight = jnp.asarray(transform.smoothing, float), jnp.asarray(self.weight, float)
        args = DemonsArgs(objective, exchange_images(objective), smoothing, weight, squarings)
        first = smooth(start, smoothing / objective.fixed_grid.spacing())
        velocity, stats = fixed_point(batched_step, first[None], args, solver=self.solver)
        assert stats.residuals is not None
        return velocity[0] + symmetric_force(velocity[0], args), stats.residuals[0]
