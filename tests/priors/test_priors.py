"""The contract of every prior in ``deqjax.priors``, with one row for each, and properties of single priors."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import pywt

from deqjax import priors
from deqjax.maps.primal_dual import adjoint
from deqjax.priors import TotalVariation, Wavelet
from deqjax.priors.wavelet import daubechies_filter, level_matrix
from deqjax.types import Prior

ROWS = {
    "TotalVariation": TotalVariation(),
    "TotalVariation, anisotropic": TotalVariation(isotropic=False),
    "TotalVariation of volumes": TotalVariation(dimensions=3),
    "Wavelet": Wavelet(moments=2, levels=2),
    "Wavelet with shifts": Wavelet(moments=4, levels=3, shifts=(0, 1, 5)),
    "Wavelet of volumes": Wavelet(moments=2, levels=2, shifts=(0, 1), dimensions=3),
}
each_prior = pytest.mark.parametrize("prior", ROWS.values(), ids=ROWS)
DEAR = "Wavelet with shifts"
each_quick_prior = pytest.mark.parametrize(
    "prior", [pytest.param(ROWS[name], marks=pytest.mark.slow if name == DEAR else [], id=name) for name in ROWS]
)
SHAPES = [pytest.param((3, 8, 8), marks=pytest.mark.slow), (3, 7, 9), pytest.param((1, 5, 1), marks=pytest.mark.slow)]


def random_complex(*shape: int, seed: int = 0) -> jax.Array:
    rng = np.random.default_rng(seed)
    return jnp.asarray(rng.normal(size=shape) + 1j * rng.normal(size=shape))


def inner(a: Any, b: Any) -> complex:
    return sum(complex(jnp.vdot(x, y)) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


def random_like(tree: Any, seed: int = 1) -> Any:
    leaves, structure = jax.tree.flatten(tree)
    return jax.tree.unflatten(structure, [random_complex(*leaf.shape, seed=seed + i) for i, leaf in enumerate(leaves)])


def normal_operator(prior: Prior, image: jax.Array) -> jax.Array:
    return adjoint(prior.analysis, image, prior.analysis(image))


def test_every_prior_has_a_row() -> None:
    assert set(priors.__all__) == {type(prior).__name__ for prior in ROWS.values()}


@each_prior
@pytest.mark.parametrize("shape", SHAPES)
def test_the_adjoint_is_consistent(prior: Prior, shape: tuple[int, ...], float64: None) -> None:
    image = random_complex(*shape)
    coefficients = jax.jit(prior.analysis)(image)
    dual = random_like(coefficients)
    assert inner(dual, coefficients) == pytest.approx(
        inner(jax.jit(lambda x, u: adjoint(prior.analysis, x, u))(image, dual), image), abs=1e-10
    )


@each_prior
@pytest.mark.parametrize("shape", [(3, 8, 8), pytest.param((3, 7, 9), marks=pytest.mark.slow)])
def test_norm_squared_bounds_the_operator_tightly(
    prior: TotalVariation | Wavelet, shape: tuple[int, ...], float64: None
) -> None:
    normal = jax.jit(partial(normal_operator, prior))
    image, size = random_complex(*shape), 0.0
    for _ in range(200):
        image = normal(image / jnp.linalg.norm(image))
        size = float(jnp.linalg.norm(image))
    assert size <= prior.norm_squared * (1 + 1e-9)
    if shape == (3, 8, 8) and prior.dimensions == 2:
        assert size == pytest.approx(prior.norm_squared, rel=1e-3)


@each_quick_prior
def test_the_value_is_homogeneous_and_dual_to_the_projection(prior: TotalVariation | Wavelet, float64: None) -> None:
    image = random_complex(2, 8, 8)
    if prior.dimensions == 3:
        assert prior.value(image).shape == ()
    else:
        assert prior.value(image).shape == (2,)
        np.testing.assert_allclose(prior.value(image)[1], prior.value(image[1]), rtol=1e-12)
    np.testing.assert_allclose(prior.value(3j * image), 3 * prior.value(image), rtol=1e-12)
    # The value is the largest inner product with a dual variable of magnitudes up to 1. The projection of a large
    # multiple of K x attains it.
    coefficients = prior.analysis(image)
    maximiser = prior.project(jax.tree.map(lambda c: 1e9 * c, coefficients), 1.0)
    assert inner(maximiser, coefficients).real == pytest.approx(float(jnp.sum(prior.value(image))), rel=1e-6)


@each_quick_prior
def test_the_value_is_not_negative_and_total_variation_of_a_constant_is_zero(prior: Prior, float64: None) -> None:
    constant = jnp.full((8, 8, 8), 2 - 1j)
    assert jnp.all(prior.value(random_complex(8, 8, 8)) > 0)
    assert jnp.all(prior.value(0 * constant) == 0)
    if isinstance(prior, TotalVariation):  # the low-pass coefficients of a wavelet transform are not zero
        assert jnp.all(prior.value(constant) == 0)


@each_prior
def test_project_is_the_projection_onto_the_ball(prior: Prior, float64: None) -> None:
    dual = random_like(prior.analysis(random_complex(2, 8, 8)))
    inside = prior.project(dual, 0.7)
    again = prior.project(inside, 0.7)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), again, inside)
    jax.tree.map(lambda a: np.testing.assert_array_equal(a, 0 * a), prior.project(dual, 0.0))
    # The vector to the projection makes an obtuse angle with the vector to every other point of the ball.
    other = prior.project(random_like(dual, seed=9), 0.7)
    difference = jax.tree.map(jnp.subtract, dual, inside)
    assert inner(difference, jax.tree.map(jnp.subtract, other, inside)).real <= 1e-9


def test_total_variation_equals_its_definition(float64: None) -> None:
    image = np.random.default_rng(0).normal(size=(6, 5))
    down, right = np.roll(image, -1, 0) - image, np.roll(image, -1, 1) - image
    isotropic, anisotropic = TotalVariation(), TotalVariation(isotropic=False)
    assert float(isotropic.value(jnp.asarray(image))) == pytest.approx(np.sqrt(down**2 + right**2).sum())
    assert float(anisotropic.value(jnp.asarray(image))) == pytest.approx(abs(down).sum() + abs(right).sum())


@pytest.mark.parametrize("moments", range(1, 11))
def test_the_filters_equal_pywavelets(moments: int) -> None:
    np.testing.assert_allclose(daubechies_filter(moments), pywt.Wavelet(f"db{moments}").rec_lo, atol=2e-8)
    matrix = level_matrix(moments, 64).astype(float)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(64), atol=1e-6)
    details = matrix[32:] @ np.arange(64.0) ** (moments - 1)  # details of a polynomial are zero except at the border
    assert abs(details[: 32 - moments]).max() < 1e-6 * 64.0 ** (moments - 1)


def test_wavelet_coefficients_equal_pywavelets(float64: None) -> None:
    image = np.random.default_rng(0).normal(size=(32, 16))
    ours = Wavelet(moments=3, levels=1).analysis(jnp.asarray(image))
    theirs = pywt.wavedec2(image, "db3", mode="periodization", level=1)
    for part, bands in zip(ours[:-1], theirs[:0:-1]):
        mine = sorted(float(jnp.sum(band**2)) for band in part[0])
        assert mine == pytest.approx(sorted(float((band**2).sum()) for band in bands), rel=1e-6)
    assert float(jnp.sum(ours[-1] ** 2)) == pytest.approx(float((theirs[0] ** 2).sum()), rel=1e-6)


def test_with_all_shifts_the_value_does_not_depend_on_the_position(float64: None) -> None:
    image = jnp.zeros((16, 16)).at[4:9, 3:11].set(1.0)
    spread = lambda wavelet: np.ptp([float(wavelet.value(jnp.roll(image, (s, s), (0, 1)))) for s in range(4)])
    plain, shifted = Wavelet(2, 2), Wavelet(2, 2, shifts=(0, 1, 2, 3))
    assert spread(plain) > 0.1
    assert spread(shifted) < 1e-9


@pytest.mark.parametrize("settings", [{"moments": 0}, {"moments": 11}, {"levels": 0}, {"shifts": ()}])
def test_invalid_wavelet_settings_raise(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="Wavelet needs 1 <= moments <= 10"):
        Wavelet(**settings)
