"""What every optimiser offers."""

from typing import Protocol

import jax

from deqjax.registration.objective import Objective


class Optimiser(Protocol):
    """A setting: how to lower an objective."""

    def minimise(self, objective: Objective, start: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return the numbers (like ``start``) and the objective, or the residual, at every step."""
        ...
