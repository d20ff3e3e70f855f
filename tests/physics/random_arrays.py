"""Random arrays for the tests of this folder, and the dot-product test on them."""

import jax
import jax.numpy as jnp
import numpy as np

from deqjax.types import ForwardModel


def random_complex(shape: tuple[int, ...], seed: int = 0) -> jax.Array:
    rng = np.random.default_rng(seed)
    return jnp.asarray(rng.normal(size=shape) + 1j * rng.normal(size=shape), complex)


def random_smaps(shape: tuple[int, ...], coil_axis: int = -3) -> jax.Array:
    """Coil sensitivities whose sum of squared magnitudes over the coils is 1."""
    smaps = random_complex(shape, 6)
    return smaps / jnp.sqrt(jnp.sum(jnp.abs(smaps) ** 2, axis=coil_axis, keepdims=True))


def dot_product_error(A: ForwardModel, image: jax.Array) -> tuple[float, jax.Array]:
    """The result of ``dot_product_gap`` with NumPy's random numbers, which need no compilation, and A x."""
    run = jax.jit(lambda A, x, y: (A.forward(x), A.adjoint(y), A.normal(x), A.adjoint(A.forward(x))))
    kspace = random_complex(jax.eval_shape(A.forward, image).shape, 1)
    measured, spread, normal, twice = run(A, image, kspace)
    gap = abs(np.vdot(measured, kspace) - np.vdot(image, spread))
    scale = np.linalg.norm(measured) * np.linalg.norm(kspace)
    return max(gap / scale, np.linalg.norm(normal - twice) / np.linalg.norm(image)), measured
