"""Blur, Inpainting and CompressedSensing: adjoints, inverses, and their use in maps and in the reconstructor."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_arrays import dot_product_error, random_complex
from scipy.ndimage import convolve

import deqjax as dj
from deqjax.physics import Blur, CompressedSensing, Inpainting, gaussian_matrix, largest_eigenvalue
from deqjax.types import ForwardModel, MapArgs

CASES = [
    ((7, 10), 3),
    *(pytest.param(*case, marks=pytest.mark.slow) for case in (((8, 10), 1), ((7, 9), 1), ((8, 10), 3))),
]


def models(shape: tuple[int, int], batch: int) -> dict[str, ForwardModel]:
    rng = np.random.default_rng(3)
    kernel = rng.uniform(size=(3, 4)) * np.exp(1j * rng.uniform(size=(3, 4)))
    holes = jnp.asarray(rng.uniform(size=(batch, *shape)) < 0.6, float)
    return {
        "blur": Blur(jnp.asarray(kernel / np.abs(kernel).sum(), complex)),
        "holes": Inpainting(holes[0]),
        "holes per image": Inpainting(holes),
        "random": CompressedSensing(gaussian_matrix(jax.random.key(0), 20, shape)),
        "complex": CompressedSensing(0.05 * random_complex((6, *shape), 5)),
    }


@pytest.mark.parametrize(("shape", "batch"), CASES)
def test_adjoint_normal_and_regularised_inverse_are_exact(shape: tuple[int, int], batch: int) -> None:
    image = random_complex((batch, *shape))

    @jax.jit
    def apply_to_solution(A: ForwardModel) -> jax.Array:
        solved = A.regularised_inverse(image, 0.3, 40)
        return A.normal(solved) + 0.3 * solved

    for name, A in models(shape, batch).items():
        gap, several = dot_product_error(A, image)
        assert gap < 1e-5, name
        one = A.forward(image[0])
        np.testing.assert_allclose(apply_to_solution(A), image, atol=2e-5, err_msg=name)
        assert np.linalg.norm(several) <= np.linalg.norm(image) * (1 + 1e-5), name
        np.testing.assert_allclose(several[0], one[0] if name == "holes per image" else one, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("kernel_shape", [(3, 3), (2, 5)])
def test_blur_is_a_periodic_convolution(kernel_shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    kernel, image = rng.normal(size=kernel_shape), rng.normal(size=(7, 10))
    shift = [-(1 - n % 2) for n in kernel_shape]  # SciPy centres an even kernel one pixel further
    expected = convolve(image, kernel, mode="wrap")
    found = Blur(jnp.asarray(kernel)).forward(jnp.asarray(image) + 0j)
    gaps = [np.abs(found - np.roll(expected, s, (0, 1))).max() for s in (shift, [0, 0])]
    assert min(gaps) < 1e-5
    point = jnp.zeros((7, 10), complex).at[3, 5].set(1)
    spread = Blur(jnp.asarray(kernel)).forward(point)
    rows, columns = kernel_shape
    top, left = 3 - rows // 2, 5 - columns // 2
    np.testing.assert_allclose(spread[top : top + rows, left : left + columns], kernel, atol=1e-6)


def test_a_gaussian_matrix_has_norm_one_and_normal_entries() -> None:
    A = CompressedSensing(gaussian_matrix(jax.random.key(2), 60, (9, 14)))
    assert np.linalg.norm(np.asarray(A.matrix).reshape(60, -1), ord=2) == pytest.approx(1, abs=1e-5)
    assert largest_eigenvalue(A, jax.random.key(0), (9, 14), steps=200) == pytest.approx(1, abs=0.02)
    entries = np.asarray(A.matrix).ravel()
    assert abs(entries.mean()) < 4 * entries.std() / len(entries) ** 0.5
    assert np.mean(np.abs(entries) < entries.std()) == pytest.approx(0.683, abs=0.02)


def test_iteration_maps_and_the_reconstructor_accept_every_model() -> None:
    net = dj.nets.DnCNN(layers=2, features=4)
    step = dj.maps.HalfQuadratic(net, cg_steps=1)
    params = step.init(jax.random.key(0))
    for name in ("blur", "holes per image", "random"):
        A = models((7, 10), 3)[name]
        args = MapArgs(params, A, A.adjoint(A.forward(random_complex((3, 7, 10)))))
        image = step.image(step(step.start(args), args))
        assert image.shape == (3, 7, 10), name
        assert jnp.all(jnp.isfinite(image)), name
    recon = dj.Reconstructor(dj.maps.ProximalGradient(net), solver=dj.solvers.Picard(max_steps=3))
    A = models((7, 10), 3)["random"]
    image, stats = recon(recon.init(jax.random.key(0)), A, A.forward(random_complex((3, 7, 10))))
    assert image.shape == (3, 7, 10)
    assert stats.residual.shape == (3,)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: Blur(jnp.ones(3)), ["kernel", "(3,)"]),
        (lambda: Blur(jnp.ones((9, 3))).forward(jnp.ones((8, 8))), ["(9, 3)", "(8, 8)", "larger"]),
        (lambda: Inpainting(jnp.ones((3, 3), complex)), ["mask", "complex"]),
        (lambda: CompressedSensing(jnp.ones((3, 4))), ["matrix", "(3, 4)"]),
        (lambda: gaussian_matrix(jax.random.key(0), 0, (3, 4)), ["measurements", "0"]),
    ],
)
def test_wrong_arrays_raise_an_error_with_their_shapes(build: Callable[[], object], words: list[str]) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011
        build()
    assert all(word in str(error.value) for word in words), error.value
