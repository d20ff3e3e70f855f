"""Conjugate gradients, and the regularised inverse (A^H A + penalty I)^-1 that uses them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_arrays import random_complex, random_smaps

from deqjax.physics import MaskedFourier, Sense, conjugate_gradient


def models(shape: tuple[int, int]) -> list:
    rng = np.random.default_rng(5)
    mask, masks = (
        jnp.asarray(rng.uniform(size=(1, shape[1])) < 0.5, float),
        jnp.asarray(rng.uniform(size=(2, *shape)) < 0.5, float),
    )
    return [MaskedFourier(mask), MaskedFourier(mask[0]), MaskedFourier(masks), Sense(random_smaps((3, *shape)), mask)]


@pytest.mark.parametrize("shape", [(8, 10), (7, 9)])
def test_the_regularised_inverse_solves_its_equation(shape: tuple[int, int], float64: None) -> None:
    image = random_complex((2, *shape))

    @jax.jit
    def apply_to_solution(A: MaskedFourier | Sense, penalty: jax.Array) -> jax.Array:
        solution = A.regularised_inverse(image, penalty, 80)
        return A.normal(solution) + penalty * solution

    for A in models(shape):
        for penalty in (0.01, 0.1, 2.0):
            np.testing.assert_allclose(apply_to_solution(A, jnp.array(penalty)), image, atol=1e-9)


def test_more_steps_lower_the_error(float64: None) -> None:
    *_, A = models((8, 10))
    image = random_complex((1, 8, 10))
    exact = A.regularised_inverse(image, 0.1, 80)
    errors = [float(jnp.linalg.norm(A.regularised_inverse(image, 0.1, steps) - exact)) for steps in (2, 5, 10)]
    assert errors[0] > 3 * errors[1] > 9 * errors[2]


def test_steps_equal_the_textbook_algorithm(float64: None) -> None:
    rng = np.random.default_rng(0)
    root = rng.normal(size=(12, 12)) + 1j * rng.normal(size=(12, 12))
    matrix = root.conj().T @ root + np.eye(12)
    b = rng.normal(size=12) + 1j * rng.normal(size=12)
    x, r, p = np.zeros(12, complex), b, b
    for steps in range(1, 4):
        length = np.vdot(r, r).real / np.vdot(p, matrix @ p).real
        x, new = x + length * p, r - length * matrix @ p
        p, r = new + np.vdot(new, new).real / np.vdot(r, r).real * p, new
        operator = lambda z: (jnp.asarray(matrix) @ z.reshape(12)).reshape(3, 4)
        found = conjugate_gradient(operator, jnp.asarray(b).reshape(3, 4), steps)
        np.testing.assert_allclose(found.reshape(12), x, rtol=1e-10)


def test_images_of_a_batch_are_solved_independently(float64: None) -> None:
    scale = jnp.array([1.0, 3.0, 1e-3]).reshape(3, 1, 1)
    diagonal = jnp.asarray(np.random.default_rng(1).uniform(0.5, 1, size=(3, 4, 5))) * scale
    image = random_complex((3, 4, 5)).at[2].multiply(1e-9)
    solve = jax.jit(lambda diagonal, image: conjugate_gradient(lambda z: diagonal * z, image, 6))
    together = solve(diagonal, image)
    for index in range(3):
        alone = solve(diagonal[index], image[index])
        np.testing.assert_allclose(together[index], alone, rtol=1e-12)


def test_gradients_equal_those_of_the_dense_inverse(float64: None) -> None:
    *_, A = models((4, 5))
    image = random_complex((4, 5))
    weight = random_complex((4, 5), 1)

    def by_cg(smaps: jax.Array, image: jax.Array, penalty: jax.Array) -> jax.Array:
        return jnp.sum((weight * Sense(smaps, A.mask).regularised_inverse(image, penalty, 60)).real)

    def dense(smaps: jax.Array, image: jax.Array, penalty: jax.Array) -> jax.Array:
        columns = jnp.eye(20, dtype=complex).reshape(20, 4, 5)
        matrix = Sense(smaps, A.mask).normal(columns).reshape(20, 20).T + penalty * jnp.eye(20)
        return jnp.sum((weight * jnp.linalg.solve(matrix, image.reshape(20)).reshape(4, 5)).real)

    args = (A.smaps, image, jnp.array(0.2))
    found, expected = (jax.jit(jax.grad(f, argnums=(0, 1, 2)))(*args) for f in (by_cg, dense))
    for a, b in zip(found, expected):
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-10)


def test_a_solved_image_does_not_change_and_its_gradient_is_finite() -> None:
    solve = lambda image: conjugate_gradient(lambda z: 4 * z, image, 10)
    ones = jnp.ones((2, 3, 3)).at[0].set(0.0)
    np.testing.assert_allclose(solve(ones), ones / 4)
    gradient = jax.jit(jax.grad(lambda image: jnp.sum(solve(image))))(ones)
    assert jnp.all(jnp.isfinite(gradient))
    np.testing.assert_allclose(gradient[1], 0.25, rtol=1e-5)
