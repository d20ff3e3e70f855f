"""A penalty on the Jacobian of an iteration map at its fixed points, which keeps the map contracting there."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp

from deqjax.pytree import real_view
from deqjax.solvers.parts import part_scales
from deqjax.types import State

MARGIN = 1e-3
"""The distance from its threshold at which the barrier becomes linear, so that it is finite everywhere."""


@dataclass(frozen=True)
class JacobianPenalty:
    """The penalty ``max(0, ||J v||^2 / ||v||^2 - threshold^2)``, where J is the Jacobian of the map at a fixed point.

    The initial v is Gaussian noise, drawn for each image. Without power steps and threshold, the penalty is
    Hutchinson's estimate of the squared Frobenius norm of J per unknown, which reduces all of J (Bai et al.). With
    power steps, the residual ``f(x) - x`` contributes half of the initial v, because the directions that contract least
    remain in it. Then v is multiplied by J ``power_steps`` times. The penalty finds the directions in which the
    iteration would diverge and reduces J only there, down to the threshold, so that only the loss determines the rest
    of the map (Pesquet et al.). Noise alone misses these directions: after 2,000 training steps the penalty was close
    to 0 and the iteration no longer converged (``docs/models.md``). The gradient treats the fixed point and v as
    constants.

    With ``form = "barrier"`` the penalty is ``-log(1 - g / threshold)`` of the growth ``g = ||J v|| / ||v||``, and its
    tangent above ``threshold -`` :data:`MARGIN`. In contrast to the hinge it acts below the threshold too, ever more
    strongly close to it. It is penalised for the whole map, the data step included (John et al.).

    Sources: S. Bai, V. Koltun, J. Z. Kolter, "Stabilizing equilibrium models by Jacobian regularization", ICML 2021,
    eq. 6; J.-C. Pesquet, A. Repetti, M. Terris, Y. Wiaux, "Learning maximally monotone operators for image recovery",
    SIAM J. Imaging Sci. 14:1206, 2021, section 4.2, there on ``J^T J`` of the denoiser; A. Pramanik, M. B. Zimmerman,
    M. Jacob, IEEE Trans. Comput. Imaging 9:260, 2023 (the barrier, there on the denoiser); M. John, J. R. Chand, M.
    Jacob, "Memory-efficient model-based deep learning with local monotonicity", arXiv 2312.00386, 2023 (the barrier on
    the whole map).

    Attributes:
      weight: the weight of the penalty relative to the loss; 0 for no penalty.
      power_steps: the number of products with J before the one that is penalised.
      threshold: the largest ``||J v|| / ||v||`` without a penalty, or the one where the barrier stands. It must be
        below 1 for the map to contract.
      form: "hinge" or "barrier".

    Raises:
      ValueError: a setting is negative, or the barrier has no threshold above :data:`MARGIN`.
    """

    weight: float = 0.0
    power_steps: int = 0
    threshold: float = 0.0
    form: Literal["hinge", "barrier"] = "hinge"

    def __post_init__(self) -> None:
        if not (self.weight >= 0 and self.power_steps >= 0 and self.threshold >= 0):
            raise ValueError(
                f"weight, power_steps and threshold of the penalty must be at least 0; they are {self.weight}, "
                f"{self.power_steps} and {self.threshold}"
            )
        if self.form == "barrier" and self.threshold <= MARGIN:
            raise ValueError(f"the barrier needs a threshold above {MARGIN}, such as 0.98; it is {self.threshold}")

    def __call__(self, iteration: Callable[[State, Any], State], state: State, args: Any, keys: jax.Array) -> jax.Array:
        """Return the mean of the penalty over the batch, without its weight.

        Args:
          iteration: f(x, args), for example a :class:`deqjax.types.IterationMap`.
          state: the fixed points, a pytree whose leaves have a leading batch axis.
          args: the other arguments of f.
          keys: one JAX key per image, (batch,).

        >>> double = lambda x, args: 2 * x
        >>> keys = jax.random.split(jax.random.key(0), 3)
        >>> float(JacobianPenalty(power_steps=2, threshold=1.0)(double, jnp.ones((3, 8)), None, keys).round(4))
        3.0
        """
        state = jax.lax.stop_gradient(state)
        start, restore = real_view(state)
        scales = part_scales(state)

        def product(v: jax.Array) -> jax.Array:
            return real_view(jax.jvp(lambda x: iteration(x, args), (state,), (restore(v / scales),))[1])[0] * scales

        def unit(v: jax.Array) -> jax.Array:
            return v / jnp.maximum(jnp.linalg.norm(v, axis=1, keepdims=True), jnp.finfo(v.dtype).tiny)

        noise = jax.vmap(lambda key: jax.random.normal(key, start.shape[1:], start.dtype))(keys)
        v = unit(noise)
        if self.power_steps:
            v = unit(v + unit((real_view(iteration(state, args))[0] - start) * scales))
        for _ in range(self.power_steps):
            v = unit(product(v))
        v = jax.lax.stop_gradient(v)
        growth = jnp.sum(product(v) ** 2, axis=1)
        if self.form == "barrier":
            return jnp.mean(_barrier(growth, self.threshold))
        return jnp.mean(jnp.maximum(growth - self.threshold**2, 0))


def _barrier(squared: jax.Array, threshold: float) -> jax.Array:
    """Return ``-log(1 - g / threshold)`` of a growth g, given its square, with its tangent close to the threshold."""
    growth = jnp.sqrt(jnp.where(squared > 0, squared, 1)) * (squared > 0)
    last = threshold - MARGIN
    inside = -jnp.log1p(-jnp.minimum(growth, last) / threshold)
    return inside + jnp.maximum(growth - last, 0) / MARGIN
