"""Volumes (z, y, x) and series (t, y, x): exact adjoints, and their reconstruction."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_arrays import random_complex, random_smaps

import deqjax as dj
from deqjax.physics import MaskedFourier, Sense, fftc
from deqjax.types import ForwardModel

SHAPE, COILS = (5, 7, 9), 3


def pattern(*shape: int) -> jax.Array:
    mask = np.random.default_rng(1).uniform(size=shape) < 0.6
    mask[..., shape[-3] // 2, shape[-2] // 2, shape[-1] // 2] = True
    return jnp.asarray(mask, float)


def models(batch: int) -> dict[str, MaskedFourier | Sense]:
    z, y, x = SHAPE
    smaps, own_smaps = random_smaps((COILS, *SHAPE), -4), random_smaps((batch, COILS, *SHAPE), -4)
    return {
        "volume": MaskedFourier(pattern(z, y, 1), "zyx"),
        "volume, mask per image": MaskedFourier(pattern(batch, z, y, 1), "zyx"),
        "volume, coils": Sense(smaps, pattern(z, y, 1), "zyx"),
        "volume, smaps and mask per image": Sense(own_smaps, pattern(batch, z, y, 1), "zyx"),
        "series": MaskedFourier(pattern(z, 1, x), "tyx"),
        "series, coils": Sense(smaps, pattern(z, 1, x), "tyx"),
        "series, shared smaps": Sense(random_smaps((COILS, 1, y, x), -4), pattern(z, 1, x), "tyx"),
        "series, smaps and mask per image": Sense(own_smaps, pattern(batch, z, 1, x), "tyx"),
    }


@pytest.mark.parametrize("batch", [1, 3])
def test_adjoint_and_normal_are_exact_and_the_norm_is_at_most_one(batch: int) -> None:
    image, norm = random_complex((batch, *SHAPE)), np.linalg.norm
    for name, A in models(batch).items():
        kspace = random_complex(jax.eval_shape(A.forward, image).shape, 1)
        measured, zero_filled, normal, again = jax.jit(
            lambda A, x, y: (A.forward(x), A.adjoint(y), A.normal(x), A.adjoint(A.forward(x)))
        )(A, image, kspace)
        gap = abs(np.vdot(measured, kspace) - np.vdot(image, zero_filled))
        assert gap < 1e-5 * norm(measured) * norm(kspace), name
        assert norm(normal - again) < 1e-5 * norm(image), name
        assert norm(normal) <= norm(image) * (1 + 1e-6), name


def test_forward_equals_numpy() -> None:
    image, (z, y, x), built = random_complex(SHAPE), SHAPE, models(1)
    shift = lambda f, axes: np.fft.fftshift(f(np.fft.ifftshift(image, axes), axes=axes, norm="ortho"), axes)
    volume, series = built["volume"], built["series"]
    np.testing.assert_allclose(fftc(image, 3), shift(np.fft.fftn, (0, 1, 2)), atol=1e-5)
    np.testing.assert_allclose(volume.forward(image), volume.mask * shift(np.fft.fftn, (0, 1, 2)), atol=1e-5)
    frames = MaskedFourier(series.mask[2])
    np.testing.assert_allclose(series.forward(image)[2], frames.forward(image[2]), atol=1e-5)
    shared, separate = built["series, shared smaps"], built["series, coils"]
    assert shared.forward(image).shape == separate.forward(image).shape == (COILS, z, y, x)
    fully_sampled = Sense(random_smaps((COILS, *SHAPE), -4), jnp.ones(x), "zyx")
    np.testing.assert_allclose(fully_sampled.normal(image), image, atol=1e-5)


@pytest.mark.parametrize("name", ["volume, coils", "series, shared smaps"])
def test_the_regularised_inverse_solves_every_image_independently(name: str) -> None:
    A, image = models(1)[name], random_complex((2, *SHAPE))
    solved = A.regularised_inverse(image, 0.5, 30)
    np.testing.assert_allclose(A.normal(solved) + 0.5 * solved, image, atol=1e-4)


TV = dj.priors.TotalVariation(dimensions=3)


@pytest.mark.parametrize("name", ["volume, coils", "series"])
def test_every_image_of_a_batch_has_its_own_stats_and_units(name: str) -> None:
    recon = dj.Reconstructor(dj.maps.PrimalDual(TV, 0.02), dj.solvers.Anderson(max_steps=15))
    A = models(1)[name]
    kspace = A.forward(random_complex((2, *SHAPE))) * jnp.array([1.0, 1e4]).reshape(2, *[1] * (3 + ("coils" in name)))
    batch, stats = recon({}, A, kspace)
    assert batch.shape == (2, *SHAPE)
    assert stats.num_steps.shape == stats.residual.shape == (2,)
    one, one_stats = recon({}, A, kspace[1])
    assert one.shape == SHAPE
    assert one_stats.residual.shape == ()
    np.testing.assert_allclose(one, batch[1], rtol=1e-2, atol=1)
    np.testing.assert_allclose(one_stats.residual, stats.residual[1], rtol=0.1)


def test_one_volume_has_one_unit() -> None:
    image = random_complex((2, *SHAPE))
    power = abs(image) ** 2
    expected = np.sqrt((power**2).sum(axis=(1, 2, 3)) / power.sum(axis=(1, 2, 3)))
    units = dj.EnergyScale()(image, 3)
    assert units.scale.shape == (2, 1, 1, 1)
    np.testing.assert_allclose(units.scale.ravel(), expected, rtol=1e-5)
    scored = dj.StandardScore()(image, 3).apply(image)
    np.testing.assert_allclose(scored.real.mean(axis=(1, 2, 3)) + scored.imag.mean(axis=(1, 2, 3)), 0, atol=1e-5)


def test_total_variation_restores_a_volume_better_than_the_zero_filled_image() -> None:
    z, y, x = shape = (8, 16, 16)
    truth = jnp.zeros(shape, complex).at[2:6, 4:12, 3:13].set(1).at[3:5, 6:9, 6:10].set(2j)
    smaps = np.stack([np.ones(shape), np.exp(1j * np.arange(x) / 9) * np.ones(shape)]) / np.sqrt(2)
    mask = pattern(z, y, 1).at[2:7, 5:12].set(1)
    A = Sense(jnp.asarray(smaps, jnp.complex64), mask, "zyx")
    image, _ = dj.Reconstructor(dj.maps.PrimalDual(TV, 0.002))({}, A, A.forward(truth))
    error = lambda found: float(jnp.linalg.norm(found - truth))
    assert error(image) < 0.75 * error(A.adjoint(A.forward(truth)))


@pytest.mark.parametrize(
    ("build", "parts"),
    [
        (lambda: MaskedFourier(jnp.ones(9), "xyz"), ["'zyx' (volumes)", "'xyz'"]),
        (
            lambda: Sense(random_smaps((1, COILS, *SHAPE), -4)[0, 0], jnp.ones(9), "zyx"),
            ["(coil, z, y, x)", "(5, 7, 9)"],
        ),
        (
            lambda: Sense(random_smaps((COILS, *SHAPE), -4), jnp.ones((4, 7, 1)), "zyx"),
            ["(4, 7, 1)", "axis z", "[-3:]"],
        ),
        (lambda: reconstruct(models(1)["volume"], random_complex((7, 8))), ["(7, 8)", "it measures (5, 7, 8)"]),
        (lambda: reconstruct(models(1)["volume"], random_complex((5, 6, 8))), ["(5, 6, 8)", "mask is over (z, y, x)"]),
        (lambda: reconstruct(models(1)["volume"], random_complex((2, 3, *SHAPE))), ["an image is (z, y, x)"]),
        (lambda: reconstruct(MaskedFourier(jnp.ones(9)), random_complex((3, 7, 9))), ["more axes than (7, 9)"]),
    ],
)
def test_wrong_arrays_raise_an_error_with_their_shapes(build: Callable[[], object], parts: list[str]) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011
        build()
    assert all(part in str(error.value) for part in parts), error.value


def reconstruct(A: ForwardModel, kspace: jax.Array) -> tuple[jax.Array, dj.Stats]:
    return dj.Reconstructor(dj.maps.PrimalDual(TV))({}, A, kspace)


def test_networks_reject_volumes_with_an_error() -> None:
    method = dj.Reconstructor(dj.maps.ProximalGradient(dj.nets.DnCNN(layers=2, features=2)))
    A = models(1)["volume"]
    with pytest.raises(ValueError, match=r"DnCNN needs images \(batch, y, x\), and these have shape \(1, 5, 7, 9\)"):
        method(method.init(jax.random.key(0)), A, A.forward(random_complex(SHAPE)))
