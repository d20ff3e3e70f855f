"""Linear systems with a Hermitian positive definite operator."""

from collections.abc import Callable

import jax
import jax.numpy as jnp


def conjugate_gradient(
    operator: Callable[[jax.Array], jax.Array], image: jax.Array, steps: int, dimensions: int = 2
) -> jax.Array:
    """Solve ``B z = x`` by a fixed number of conjugate gradient steps from zero, each image on its own.

    A fixed number of steps is a fixed function of its arguments: its derivatives, forward and reverse, are those of
    what was computed, whether or not it has converged. An image that is solved exactly stays as it is.

    Args:
      operator: Hermitian positive definite, on (..., y, x).
      image: the right-hand side, (..., y, x).
      steps: at least 1.
      dimensions: axes of one image, the last ones: 3 for volumes and series.

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
