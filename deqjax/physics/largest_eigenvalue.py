"""How much a forward model can amplify."""

from functools import partial

import jax
import jax.numpy as jnp

from deqjax.types import ForwardModel


@partial(jax.jit, static_argnames=("shape", "steps"))
def largest_eigenvalue(A: ForwardModel, key: jax.Array, shape: tuple[int, int], steps: int = 30) -> jax.Array:
    """Find the largest eigenvalue of ``A^H A`` by power iteration: ``x <- A^H A x / ||A^H A x||``.

    Args:
      A: a forward model.
      key: a JAX key, for the first image.
      shape: of one image, (y, x).
      steps: at least 1; the answer is never too large, and with few steps somewhat too small.

    Returns:
      a real number, no unit. A model with ``density / that`` has the norm 1.

    Source: G. H. Golub and C. F. Van Loan, "Matrix Computations", 4th edition, 2013, section 7.3.1.

    >>> from deqjax.physics import MaskedFourier
    >>> float(largest_eigenvalue(MaskedFourier(2 * jnp.ones((1, 8))), jax.random.key(0), (8, 8)).round(3))
    4.0
    """

    def step(image: jax.Array, _: None) -> tuple[jax.Array, jax.Array]:
        image = A.normal(image / jnp.linalg.norm(image))
        return image, jnp.linalg.norm(image)

    return jax.lax.scan(step, jax.random.normal(key, shape, complex), length=steps)[1][-1]
