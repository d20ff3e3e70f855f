"""Broyden's method with limited memory."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from deqjax.scaling import power_of_two_scale
from deqjax.solvers.safeguard import Best, init_best, safeguard


class BroydenState(NamedTuple):
    """The last point, its residual, and the pairs of differences that define H."""

    x: jax.Array
    residual: jax.Array
    steps: jax.Array
    """Differences of successive iterates, oldest first, (history, n). A row that has not been written yet is zero."""

    changes: jax.Array
    """Differences of their residuals, (history, n).

    Every pair is scaled by a power of two so that its largest entry here is in [0.5, 1).
    """

    best: Best
    """The best iterate, for the safeguard."""


@dataclass(frozen=True)
class Broyden:
    """Broyden's good method with limited memory, for ``g(x) = f(x) - x = 0``.

    ``x+ = x - H g(x)``. Every step computes H anew from ``H_0 = -relaxation I`` and the last pairs ``s = dx, c = dg``,
    the oldest first: ``H <- H + (s - H c) s^T H / (s^T H c)``. A pair is left out if rounding errors dominate its
    denominator. Where the residual has grown more than 1000-fold, the next step is a relaxed one from the best iterate;
    see :mod:`deqjax.solvers.safeguard`.

    Source: C. G. Broyden, "A class of methods for solving nonlinear simultaneous equations", Math. Comput. 19:577,
    1965, eq. 4.5; the limited memory after S. Bai, J. Z. Kolter, V. Koltun, "Deep equilibrium models", NeurIPS 2019.

    Attributes:
      history: the number of pairs, at least 1.
      relaxation: the weight of the residual in the first step, which is a damped Picard step.
      max_steps: the largest number of evaluations of f.
      rtol: the relative residual at which an image stops.

    >>> import deqjax as dj
    >>> x, stats = dj.fixed_point(lambda x, b: 0.9 * x + b, jnp.zeros((1, 2)), jnp.ones(2), solver=Broyden())
    >>> bool(stats.converged[0]), round(float(x[0, 0]), 3)
    (True, 10.0)
    """

    history: int = 8
    relaxation: float = 1.0
    max_steps: int = 50
    rtol: float = 1e-4

    def init(self, x: jax.Array) -> BroydenState:
        if self.history < 1:
            raise ValueError(f"Broyden needs history >= 1; it is {self.history}")
        empty = jnp.zeros((self.history, *x.shape), x.dtype)
        return BroydenState(jnp.zeros_like(x), jnp.zeros_like(x), empty, empty, init_best(x, allowed=1000))

    def update(
        self, x: jax.Array, fx: jax.Array, step: jax.Array, state: BroydenState
    ) -> tuple[jax.Array, BroydenState]:
        residual = fx - x
        append = lambda kept, new: jnp.concatenate([kept[1:], jnp.where(step > 0, new, 0)[None]])
        step_taken, change = x - state.x, residual - state.residual
        scale = power_of_two_scale(change)  # scaling a pair does not change H, and prevents overflow and underflow
        steps = append(state.steps, scale.apply(step_taken))
        changes = append(state.changes, scale.apply(change))
        left: list[jax.Array] = []
        right: list[jax.Array] = []
        for s, c in zip(steps, changes, strict=True):
            h_c = -self.relaxation * c + sum((u * (v @ c) for u, v in zip(left, right)), jnp.zeros_like(c))
            s_h = -self.relaxation * s + sum((v * (u @ s) for u, v in zip(left, right)), jnp.zeros_like(s))
            s_h = power_of_two_scale(s_h).apply(s_h)  # the scale of s_h cancels in the product of left and right
            denominator = s_h @ c
            usable = jnp.abs(denominator) > 10 * jnp.finfo(x.dtype).eps * _norm(s_h) * _norm(c)
            left.append(jnp.where(usable, (s - h_c) / jnp.where(usable, denominator, 1), 0))
            right.append(s_h)
        move = self.relaxation * residual
        for u, v in zip(left, right):
            move = move - u * (v @ residual)
        following, best = safeguard(x, residual, x + move, step, state.best)
        return following, BroydenState(x, residual, steps, changes, best)


def _norm(v: jax.Array) -> jax.Array:
    energy = v @ v
    return jnp.where(energy > 0, jnp.sqrt(jnp.where(energy > 0, energy, 1)), 0)
