"""Complex noise, and the gap of an adjoint on it: what several tests of this folder draw from."""

import jax
import jax.numpy as jnp
import numpy as np

from deqjax.types import ForwardModel


def random_complex(shape: tuple[int, ...], seed: int = 0) -> jax.Array:
    rng = np.random.default_rng(seed)
    return jnp.asarray(rng.normal(size=shape) + 1j * rng.normal(size=shape), complex)


def gap_of(A: ForwardModel, image: jax.Array) -> tuple[float, jax.Array]:
    """What ``dot_product_gap`` measures, with NumPy's random numbers: JAX's take a second to compile. And A x."""
    run = jax.jit(lambda A, x, y: (A.forward(x), A.adjoint(y), A.normal(x), A.adjoint(A.forward(x))))
    kspace = random_complex(jax.eval_shape(A.forward, image).shape, 1)
    measured, spread, normal, twice = run(A, image, kspace)
    gap = abs(np.vdot(measured, kspace) - np.vdot(image, spread))
    scale = np.linalg.norm(measured) * np.linalg.norm(kspace)
    return max(gap / scale, np.linalg.norm(normal - twice) / np.linalg.norm(image)), measured
