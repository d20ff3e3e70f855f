"""Solvers for the linear algebra of forward models: conjugate gradients and the largest eigenvalue."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp

from deqjax.types import ForwardModel


def conjugate_gradient(
    operator: Callable[[jax.Array], jax.Array], image: jax.Array, steps: int, dimensions: int = 2
) -> jax.Array:
    """Solve ``B z = x`` by a fixed number of conjugate gradient steps from zero, for each image separately.

    The number of steps is fixed, so that the result is a fixed function of the arguments. Its forward and reverse
    derivatives are those of the computed result, whether or not the iteration has converged. An image that is solved
    exactly does not change in later steps.

    Args:
      operator: B, Hermitian positive definite, on arrays (..., y, x).
      image: the right-hand side x, (..., y, x).
      steps: the number of steps, at least 1.
      dimensions: the number of trailing axes of one image: 2 for images, 3 for volumes and series.

    Returns:
      The approximate solution z, with the shape of the image.

    Source: M. R. Hestenes and E. Stiefel, "Methods of conjugate gradients for solving linear systems", J. Res. Natl.
    Bur. Stand. 49:409, 1952, section 3.

    >>> float(conjugate_gradient(lambda z: 4 * z, jnp.ones((2, 2)), steps=1)[0, 0])
    0.25
    """

    def inner(a: jax.Array, b: jax.Array) -> jax.Array:
        return jnp.sum((jnp.conj(a) * b).real, axis=tuple(range(-dimensions, 0)), keepdims=True)

    def divide(numerator: jax.Array, denominator: jax.Array) -> jax.Array:
        done = denominator <= 0
        return jnp.where(done, 0, numerator / jnp.where(done, 1, denominator))

    def step(carry: tuple, _: None) -> tuple:
        solution, residual, direction, energy = carry
        image_of_direction = operator(direction)
        length = divide(energy, inner(direction, image_of_direction))
        solution = solution + length * direction
        residual = residual - length * image_of_direction
        new_energy = inner(residual, residual)
        direction = residual + divide(new_energy, energy) * direction
        return (solution, residual, direction, new_energy), None

    start = (jnp.zeros_like(image), image, image, inner(image, image))
    (solution, *_), _ = jax.lax.scan(step, start, length=steps)
    return solution


@partial(jax.jit, static_argnames=("shape", "steps"))
def largest_eigenvalue(A: ForwardModel, key: jax.Array, shape: tuple[int, ...], steps: int = 30) -> jax.Array:
    """Estimate the largest eigenvalue of ``A^H A`` by power iteration: ``x <- A^H A x / ||A^H A x||``.

    Args:
      A: a forward model.
      key: a JAX key, for the first image.
      shape: the shape of one image, for instance (y, x).
      steps: the number of steps, at least 1. The estimate never exceeds the eigenvalue, and is slightly below it after
        few steps.

    Returns:
      A real number without unit. A :class:`NonCartesian` with its density divided by this number has the norm 1.

    Source: G. H. Golub and C. F. Van Loan, "Matrix Computations", 4th edition, 2013, section 7.3.1.

    >>> from deqjax.physics import MaskedFourier
    >>> float(largest_eigenvalue(MaskedFourier(jnp.ones((1, 8))), jax.random.key(0), (8, 8)).round(3))
    1.0
    """

    def step(image: jax.Array, _: None) -> tuple[jax.Array, jax.Array]:
        image = A.normal(image / jnp.linalg.norm(image))
        return image, jnp.linalg.norm(image)

    return jax.lax.scan(step, jax.random.normal(key, shape, complex), length=steps)[1][-1]
