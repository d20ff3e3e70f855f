"""Conjugate gradients, and the regularised inverse (A^H A + penalty I)^-1 that uses them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_arrays import random_complex, random_smaps

from deqjax.physics import Blur, MaskedFourier, Sense, conjugate_gradient, largest_eigenvalue


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


def gradient_case(coils: int, kind: str, batch: int) -> tuple[Sense, jax.Array]:
    """A forward model whose first two kinds of mask are solved exactly in one or two steps, and images."""
    shape = (6, 8)
    lines = {"full": np.ones(8), "regular": np.arange(8) % 2 == 0, "random": np.array([1, 0, 0, 1, 1, 1, 0, 1])}[kind]
    image = random_complex((batch, *shape), 3)
    return Sense(random_smaps((coils, *shape)), jnp.asarray(lines, float)[None]), image.at[2:].set(0)


@pytest.mark.parametrize("kind", ["full", "regular", "random"])
@pytest.mark.parametrize("coils", [1, 3])
@pytest.mark.parametrize(
    ("steps", "batch"),
    [(10, 3), *(pytest.param(n, b, marks=pytest.mark.slow) for n, b in ((1, 1), (1, 3), (10, 1), (30, 1), (30, 3)))],
)
def test_gradients_equal_finite_differences(coils: int, kind: str, steps: int, batch: int, float64: None) -> None:
    A, image = gradient_case(coils, kind, batch)
    weight, penalty = random_complex(image.shape, 1), jnp.array(0.2)
    nonzero = jnp.any(image != 0, axis=(-2, -1), keepdims=True)
    values = (A.smaps, image, penalty)
    directions = (random_complex(A.smaps.shape, 7), random_complex(image.shape, 8) * nonzero, jnp.array(0.3))

    @jax.jit
    def loss(smaps: jax.Array, image: jax.Array, penalty: jax.Array) -> jax.Array:
        return jnp.sum((weight * Sense(smaps, A.mask).regularised_inverse(image, penalty, steps)).real)

    gradient = jax.jit(jax.grad(loss, argnums=(0, 1, 2)))(*values)
    assert all(bool(jnp.all(jnp.isfinite(part))) for part in gradient)
    forward = jax.jit(lambda *tangents: jax.jvp(loss, values, tangents)[1])
    for index, direction in enumerate(directions):
        tangents = [direction if i == index else jnp.zeros_like(value) for i, value in enumerate(values)]
        after, before = (loss(*(v + size * t for v, t in zip(values, tangents))) for size in (1e-5, -1e-5))
        expected = (after - before) / 2e-5
        reverse = jnp.sum(gradient[index] * direction).real
        np.testing.assert_allclose([forward(*tangents), reverse], expected, rtol=2e-6, atol=1e-8)


@pytest.mark.slow
def test_second_derivatives_of_a_solved_image_are_those_of_the_inverse(float64: None) -> None:
    A, image = gradient_case(1, "regular", 1)
    loss = lambda A: lambda penalty: jnp.sum(jnp.abs(A.regularised_inverse(image, penalty, 10)) ** 2)
    closed = MaskedFourier(A.mask)
    flat = Sense(jnp.ones((1, 6, 8), complex), A.mask)
    expected = jax.grad(jax.grad(loss(closed)))(0.2)
    np.testing.assert_allclose(jax.jit(jax.grad(jax.grad(loss(flat))))(0.2), expected, rtol=1e-8)
    np.testing.assert_allclose(jax.jit(jax.jacfwd(jax.grad(loss(flat))))(0.2), expected, rtol=1e-8)


@pytest.mark.parametrize("coils", [1, 3])
def test_the_units_of_the_image_do_not_matter(coils: int) -> None:
    A, image = gradient_case(coils, "regular", 3)
    solve = jax.jit(lambda image: A.regularised_inverse(image, 0.1))
    gradient = jax.jit(jax.grad(lambda penalty, image: jnp.sum(A.regularised_inverse(image, penalty).real)))
    solution, slope = solve(image), gradient(0.1, image)
    for exponent in (-100, -66, -40, 40, 66, 100):  # about 1e-30 to 1e30
        scale = jnp.float32(2.0**exponent)
        np.testing.assert_allclose(solve(scale * image) / scale, solution, rtol=1e-6, atol=1e-7)
        if abs(exponent) < 100:  # the derivatives of single steps are larger than their sum, and overflow first
            np.testing.assert_allclose(gradient(0.1, scale * image) / scale, slope, rtol=1e-5)


def test_images_of_very_different_size_share_a_batch() -> None:
    A, image = gradient_case(3, "random", 2)
    sizes = jnp.array([1e-30, 1e30]).reshape(2, 1, 1)
    found = A.regularised_inverse(sizes * image, 0.1)
    for index in range(2):
        expected = A.regularised_inverse(image[index], 0.1)
        np.testing.assert_allclose(found[index] / sizes[index], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("weight", [1e-15, 1.0, 1e15])
def test_the_largest_eigenvalue_of_a_model_of_any_size(weight: float) -> None:
    A = Blur(jnp.full((1, 1), weight))
    found = largest_eigenvalue(A, jax.random.key(0), (8, 8))
    np.testing.assert_allclose(found, weight**2, rtol=1e-5)
    assert largest_eigenvalue(MaskedFourier(jnp.zeros((1, 8))), jax.random.key(0), (8, 8)) == 0
