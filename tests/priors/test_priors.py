"""The classical regularisers: their transforms, adjoints, norms and projections."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import pywt

from deqjax.maps.primal_dual import adjoint
from deqjax.priors import TotalVariation, Wavelet
from deqjax.priors.wavelet import daubechies, one_level

PRIORS = [
    TotalVariation(),
    TotalVariation(isotropic=False),
    TotalVariation(dimensions=3),
    Wavelet(moments=2, levels=2),
    Wavelet(moments=4, levels=3, shifts=(0, 1, 5)),
    Wavelet(moments=2, levels=2, shifts=(0, 1), dimensions=3),
]
each_prior = pytest.mark.parametrize("prior", PRIORS, ids=str)
SHAPES = [pytest.param((3, 8, 8), marks=pytest.mark.slow), (3, 7, 9), pytest.param((1, 5, 1), marks=pytest.mark.slow)]


def random_complex(*shape: int, seed: int = 0) -> jax.Array:
    rng = np.random.default_rng(seed)
    return jnp.asarray(rng.normal(size=shape) + 1j * rng.normal(size=shape))


def inner(a, b) -> complex:
    return sum(complex(jnp.vdot(x, y)) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


def random_like(tree, seed: int = 1):
    leaves, structure = jax.tree.flatten(tree)
    return structure.unflatten([random_complex(*leaf.shape, seed=seed + i) for i, leaf in enumerate(leaves)])


@each_prior
@pytest.mark.parametrize("shape", SHAPES)
def test_the_adjoint_is_the_adjoint(prior, shape, float64) -> None:
    image = random_complex(*shape)
    coefficients = jax.jit(prior.analysis)(image)
    dual = random_like(coefficients)
    assert inner(dual, coefficients) == pytest.approx(
        inner(jax.jit(lambda x, u: adjoint(prior.analysis, x, u))(image, dual), image), abs=1e-10
    )


@each_prior
@pytest.mark.parametrize("shape", [(3, 8, 8), pytest.param((3, 7, 9), marks=pytest.mark.slow)])
def test_the_norm_is_a_bound_that_is_nearly_reached(prior, shape, float64) -> None:
    normal = jax.jit(lambda x: adjoint(prior.analysis, x, prior.analysis(x)))
    image, size = random_complex(*shape), 0.0
    for _ in range(200):
        image = normal(image / jnp.linalg.norm(image))
        size = float(jnp.linalg.norm(image))
    assert size <= prior.norm_squared * (1 + 1e-9)
    if shape == (3, 8, 8) and getattr(prior, "dimensions", 2) == 2:
        assert size == pytest.approx(prior.norm_squared, rel=1e-3)


@each_prior
def test_the_value_is_the_sum_of_magnitudes_and_scales(prior, float64) -> None:
    image = random_complex(2, 8, 8)
    if getattr(prior, "dimensions", 2) == 3:
        assert prior.value(image).shape == ()
    else:
        assert prior.value(image).shape == (2,)
        np.testing.assert_allclose(prior.value(image)[1], prior.value(image[1]), rtol=1e-12)
    np.testing.assert_allclose(prior.value(3j * image), 3 * prior.value(image), rtol=1e-12)
    # it is the largest inner product with a dual variable of radius 1, reached at the projection of a large multiple
    coefficients = prior.analysis(image)
    steepest = prior.project(jax.tree.map(lambda c: 1e9 * c, coefficients), 1.0)
    assert inner(steepest, coefficients).real == pytest.approx(float(jnp.sum(prior.value(image))), rel=1e-6)


@each_prior
def test_the_projection_is_the_nearest_point_of_the_ball(prior, float64) -> None:
    dual = random_like(prior.analysis(random_complex(2, 8, 8)))
    inside = prior.project(dual, 0.7)
    again = prior.project(inside, 0.7)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), again, inside)
    jax.tree.map(lambda a: np.testing.assert_array_equal(a, 0 * a), prior.project(dual, 0.0))
    other = prior.project(random_like(dual, seed=9), 0.7)
    difference = jax.tree.map(jnp.subtract, dual, inside)
    assert inner(difference, jax.tree.map(jnp.subtract, other, inside)).real <= 1e-9  # the obtuse angle


def test_total_variation_is_that_of_the_textbook(float64) -> None:
    image = np.random.default_rng(0).normal(size=(6, 5))
    down, right = np.roll(image, -1, 0) - image, np.roll(image, -1, 1) - image
    assert float(TotalVariation().value(image)) == pytest.approx(np.sqrt(down**2 + right**2).sum())
    assert float(TotalVariation(isotropic=False).value(image)) == pytest.approx(abs(down).sum() + abs(right).sum())


@pytest.mark.parametrize("moments", range(1, 11))
def test_the_filters_are_those_of_daubechies(moments) -> None:
    np.testing.assert_allclose(daubechies(moments), pywt.Wavelet(f"db{moments}").rec_lo, atol=2e-8)
    matrix = one_level(moments, 64).astype(float)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(64), atol=1e-6)
    details = matrix[32:] @ np.arange(64.0) ** (moments - 1)  # polynomials leave no detail, but at the border
    assert abs(details[: 32 - moments]).max() < 1e-6 * 64.0 ** (moments - 1)


def test_wavelet_coefficients_agree_with_pywavelets(float64) -> None:
    image = np.random.default_rng(0).normal(size=(32, 16))
    ours = Wavelet(moments=3, levels=1).analysis(jnp.asarray(image))
    theirs = pywt.wavedec2(image, "db3", mode="periodization", level=1)
    for part, bands in zip(ours[:-1], theirs[:0:-1]):
        mine = sorted(float(jnp.sum(band**2)) for band in part[0])
        assert mine == pytest.approx(sorted(float((band**2).sum()) for band in bands), rel=1e-6)
    assert float(jnp.sum(ours[-1] ** 2)) == pytest.approx(float((theirs[0] ** 2).sum()), rel=1e-6)


def test_shifts_make_the_value_independent_of_the_place(float64) -> None:
    image = jnp.zeros((16, 16)).at[4:9, 3:11].set(1.0)
    spread = lambda wavelet: np.ptp([float(wavelet.value(jnp.roll(image, (s, s), (0, 1)))) for s in range(4)])
    plain, shifted = Wavelet(2, 2), Wavelet(2, 2, shifts=(0, 1, 2, 3))
    assert spread(plain) > 0.1
    assert spread(shifted) < 1e-9


@pytest.mark.parametrize("settings", [{"moments": 0}, {"moments": 11}, {"levels": 0}, {"shifts": ()}])
def test_wavelets_that_do_not_exist(settings) -> None:
    with pytest.raises(ValueError, match="Wavelet needs 1 <= moments <= 10"):
        Wavelet(**settings)
