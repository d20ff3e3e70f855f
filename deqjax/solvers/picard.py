"""The Picard iteration."""

from dataclasses import dataclass

import jax

from deqjax.solvers.safeguard import Best, init_best, safeguard


@dataclass(frozen=True)
class Picard:
    """The damped fixed-point iteration ``x+ = x + relaxation (f(x) - x)``.

    It converges linearly if f is a contraction. Where the residual has grown more than tenfold, the next step is a
    relaxed one from the best iterate; see :mod:`deqjax.solvers.safeguard`.

    Source: E. Picard, J. Math. Pures Appl. 6:145, 1890.

    Attributes:
      relaxation: the weight of the residual; 1 is undamped.
      max_steps: the largest number of evaluations of f.
      rtol: the relative residual at which an image stops.

    >>> import jax.numpy as jnp
    >>> solver = Picard(relaxation=0.5)
    >>> solver.update(jnp.zeros(2), jnp.ones(2), 0, solver.init(jnp.zeros(2)))[0]
    Array([0.5, 0.5], dtype=float32)
    """

    relaxation: float = 1.0
    max_steps: int = 100
    rtol: float = 1e-4

    def init(self, x: jax.Array) -> Best:
        return init_best(x, allowed=10)

    def update(self, x: jax.Array, fx: jax.Array, step: jax.Array, state: Best) -> tuple[jax.Array, Best]:
        return safeguard(x, fx - x, x + self.relaxation * (fx - x), step, state)
