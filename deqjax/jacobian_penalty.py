"""A penalty that keeps an iteration map contracting where it is used: at its solutions."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from deqjax.pytree import real_view
from deqjax.types import IterationMap, MapArgs, State


@dataclass(frozen=True)
class JacobianPenalty:
    """Penalise ``max(0, ||J v||^2 / ||v||^2 - threshold^2)``, where J is the Jacobian of the map at a held solution.

    v starts as Gaussian noise, an image its own. Without power steps and threshold this is Hutchinson's estimate of the
    squared Frobenius norm per unknown, which pulls all of J down (Bai). With power steps, half of v is the residual
    ``f(x) - x``, in which the directions that contract least are left over, and v is multiplied by J so many times:
    that finds where the iteration would diverge, and only pulls that below the threshold, so that the rest of the map
    is left to the loss (Pesquet). Noise alone misses these directions: after 2,000 steps of training the penalty was
    near 0 and the iteration no longer converged (``docs/models.md``).

    Sources: S. Bai, V. Koltun, J. Z. Kolter, "Stabilizing equilibrium models by Jacobian regularization", ICML 2021,
    eq. 6; J.-C. Pesquet, A. Repetti, M. Terris, Y. Wiaux, "Learning maximally monotone operators for image recovery",
    SIAM J. Imaging Sci. 14:1206, 2021, section 4.2, there on ``J^T J`` of the denoiser.

    Attributes:
      weight: of the penalty against the loss; 0 leaves it out.
      power_steps: products with J before the one that is penalised.
      threshold: growth that is allowed, below 1 to contract.
    """

    weight: float = 0.0
    power_steps: int = 0
    threshold: float = 0.0

    def __call__(self, iteration: IterationMap, state: State, args: MapArgs, keys: jax.Array) -> jax.Array:
        """Return the penalty without its weight, a mean over the batch; ``keys`` is one JAX key an image.

        >>> double = lambda x, args: 2 * x
        >>> keys = jax.random.split(jax.random.key(0), 3)
        >>> float(JacobianPenalty(power_steps=2, threshold=1.0)(double, jnp.ones((3, 8)), None, keys).round(4))
        3.0
        """
        state = jax.lax.stop_gradient(state)
        start, restore = real_view(state)

        def product(v: jax.Array) -> jax.Array:
            return real_view(jax.jvp(lambda x: iteration(x, args), (state,), (restore(v),))[1])[0]

        def unit(v: jax.Array) -> jax.Array:
            return v / jnp.maximum(jnp.linalg.norm(v, axis=1, keepdims=True), jnp.finfo(v.dtype).tiny)

        noise = jax.vmap(lambda key: jax.random.normal(key, start.shape[1:], start.dtype))(keys)
        v = unit(noise)
        if self.power_steps:
            v = unit(v + unit(real_view(iteration(state, args))[0] - start))
        for _ in range(self.power_steps):
            v = unit(product(v))
        v = jax.lax.stop_gradient(v)
        growth = jnp.sum(product(v) ** 2, axis=1)
        return jnp.mean(jnp.maximum(growth - self.threshold**2, 0))
