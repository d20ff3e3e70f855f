"""The smooth phase, and the forward model without it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_arrays import gap_of, random_complex

from deqjax.physics import MaskedFourier, Modulated, Sense, smooth_phase
from deqjax.types import ForwardModel

SHAPE, COILS = (9, 7), 3
PHASE = np.exp(1j * np.random.default_rng(2).uniform(-3, 3, SHAPE))
MASK = (np.random.default_rng(1).uniform(size=(1, SHAPE[1])) < 0.6).astype(float)


def models() -> list[ForwardModel]:
    smaps = random_complex((COILS, *SHAPE), seed=3)
    smaps = smaps / jnp.linalg.norm(smaps, axis=0)
    return [MaskedFourier(jnp.asarray(MASK)), Sense(smaps, jnp.asarray(MASK))]


@pytest.mark.parametrize("batch", [(), (1,), (3,)])
@pytest.mark.parametrize("A", models(), ids=lambda A: type(A).__name__)
def test_adjoint_and_normal(A: ForwardModel, batch: tuple[int, ...]) -> None:
    image = random_complex((*batch, *SHAPE))
    modulated = Modulated(A, jnp.asarray(PHASE))
    gap, measured = gap_of(modulated, image)
    assert gap < 1e-5
    np.testing.assert_allclose(measured, A.forward(PHASE * image), atol=1e-5)


@pytest.mark.parametrize("A", models(), ids=lambda A: type(A).__name__)
def test_the_regularised_inverse_inverts(A: ForwardModel) -> None:
    image, modulated = random_complex(SHAPE), Modulated(A, jnp.asarray(PHASE))
    found = modulated.regularised_inverse(image, 0.3, 40)
    np.testing.assert_allclose(modulated.normal(found) + 0.3 * found, image, atol=1e-4)


def test_it_has_the_axes_of_the_model_that_it_holds() -> None:
    assert Modulated(MaskedFourier(jnp.ones((1, 4)), axes="tyx"), jnp.ones((2, 3, 4))).axes == "tyx"
    assert Modulated(models()[0], jnp.ones(SHAPE)).axes == "yx"


@pytest.mark.parametrize("shape", [(33, 40), (3, 33, 40), (1, 48, 31)])
def test_a_smooth_phase_is_found(shape: tuple[int, ...]) -> None:
    y, x = np.mgrid[: shape[-2], : shape[-1]]
    truth = np.exp(1j * (0.5 + 2 * y / shape[-2] - 1.5 * x / shape[-1] + np.sin(np.pi * y / shape[-2])))
    magnitude = np.exp(-((y / shape[-2] - 0.5) ** 2 + (x / shape[-1] - 0.5) ** 2) * 20)
    found = smooth_phase(jnp.asarray(np.broadcast_to(magnitude * truth, shape)), width=0.3)
    assert found.shape == shape
    np.testing.assert_allclose(abs(found), 1, atol=1e-5)
    inside = np.broadcast_to(magnitude > 0.3, shape)
    assert np.abs(np.angle(found * truth.conj()))[inside].max() < 0.2


def test_it_is_the_phase_of_the_windowed_spectrum() -> None:
    image, width = np.asarray(random_complex((2, 9, 12))), 0.4
    window = 1.0
    for axis, n in ((-2, 9), (-1, 12)):
        f = np.fft.fftfreq(n)
        hann = np.where(abs(f) <= width / 2, 0.5 + 0.5 * np.cos(2 * np.pi * f / width), 0)
        window = window * (hann[:, None] if axis == -2 else hann)
    low = np.fft.ifft2(window * np.fft.fft2(image))
    np.testing.assert_allclose(smooth_phase(jnp.asarray(image), width), low / abs(low), atol=1e-4)


def test_a_factor_gives_its_phase_to_it_and_an_empty_image_has_none() -> None:
    image = random_complex((2, 8, 9)).at[1].set(0)
    found = smooth_phase(image)
    np.testing.assert_allclose(smooth_phase(-3j * image)[0], -1j * found[0], atol=1e-5)
    np.testing.assert_array_equal(found[1], 1)
    slope = jax.grad(lambda image: jnp.sum(smooth_phase(image).real * PHASE.real[:8, :1]))(image)
    assert jnp.isfinite(slope).all()


def test_volumes_are_smoothed_along_all_their_axes() -> None:
    image = random_complex((8, 9, 7))
    found = smooth_phase(image, 0.05, 3)
    assert np.ptp(np.angle(found)) < 1e-4  # a window of one frequency: the mean
    np.testing.assert_allclose(found[0, 0, 0], jnp.mean(image) / abs(jnp.mean(image)), atol=1e-4)
