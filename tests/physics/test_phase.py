"""The smooth phase of an image, and the forward model with a known phase."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_arrays import random_complex, random_smaps

from deqjax.physics import MaskedFourier, PhaseModulated, Sense, smooth_phase
from deqjax.physics.phase import unit_phase

SHAPE, COILS = (9, 7), 3
PHASE = np.exp(1j * np.random.default_rng(2).uniform(-3, 3, SHAPE))


def test_phase_modulated_multiplies_by_the_phase_before_the_forward_model() -> None:
    image = random_complex((3, *SHAPE))
    mask = jnp.asarray(np.random.default_rng(1).uniform(size=(1, SHAPE[1])) < 0.6, float)
    for A in (MaskedFourier(mask), Sense(random_smaps((COILS, *SHAPE)), mask)):
        measured = PhaseModulated(A, jnp.asarray(PHASE)).forward(image)
        np.testing.assert_allclose(measured, A.forward(PHASE * image), atol=1e-5)


@pytest.mark.parametrize("shape", [(33, 40), (3, 33, 40), (1, 48, 31)])
def test_smooth_phase_finds_a_slowly_varying_phase(shape: tuple[int, ...]) -> None:
    y, x = np.mgrid[: shape[-2], : shape[-1]]
    truth = np.exp(1j * (0.5 + 2 * y / shape[-2] - 1.5 * x / shape[-1] + np.sin(np.pi * y / shape[-2])))
    magnitude = np.exp(-((y / shape[-2] - 0.5) ** 2 + (x / shape[-1] - 0.5) ** 2) * 20)
    found = smooth_phase(jnp.asarray(np.broadcast_to(magnitude * truth, shape)), width=0.3)
    assert found.shape == shape
    np.testing.assert_allclose(abs(found), 1, atol=1e-5)
    inside = np.broadcast_to(magnitude > 0.3, shape)
    assert np.abs(np.angle(found * truth.conj()))[inside].max() < 0.2


def test_smooth_phase_is_the_phase_of_the_windowed_spectrum() -> None:
    image, width = np.asarray(random_complex((2, 9, 12))), 0.4
    window = np.ones((1, 1))
    for axis, n in ((-2, 9), (-1, 12)):
        f = np.fft.fftfreq(n)
        hann = np.where(abs(f) <= width / 2, 0.5 + 0.5 * np.cos(2 * np.pi * f / width), 0)
        window = window * (hann[:, None] if axis == -2 else hann)
    low = np.fft.ifft2(window * np.fft.fft2(image))
    np.testing.assert_allclose(smooth_phase(jnp.asarray(image), width), low / abs(low), atol=1e-4)


def test_smooth_phase_follows_a_factor_and_is_one_for_a_zero_image() -> None:
    image = random_complex((2, 8, 9)).at[1].set(0)
    found = smooth_phase(image)
    np.testing.assert_allclose(smooth_phase(-3j * image)[0], -1j * found[0], atol=1e-5)
    np.testing.assert_array_equal(found[1], 1)
    slope = jax.grad(lambda image: jnp.sum(smooth_phase(image).real * PHASE.real[:8, :1]))(image)
    assert jnp.isfinite(slope).all()


def test_smooth_phase_of_a_volume_uses_all_three_axes() -> None:
    image = random_complex((8, 9, 7))
    found = smooth_phase(image, 0.05, 3)
    assert np.ptp(np.angle(found)) < 1e-4  # the window keeps only the mean
    np.testing.assert_allclose(found[0, 0, 0], jnp.mean(image) / abs(jnp.mean(image)), atol=1e-4)


@pytest.mark.parametrize("exponent", [-100, -40, 40, 100])
def test_the_units_do_not_change_the_phase(exponent: int) -> None:
    image, scale = random_complex((16, 15)), jnp.float32(2.0**exponent)
    np.testing.assert_allclose(smooth_phase(scale * image), smooth_phase(image), atol=1e-6)
    weight = random_complex((16, 15), 1)
    gradient = jax.grad(lambda image: jnp.sum((weight * unit_phase(image)).real))
    np.testing.assert_allclose(scale * gradient(scale * image), gradient(image), rtol=1e-4, atol=1e-5)
    assert jnp.all(jnp.isfinite(gradient(0 * image)))
    np.testing.assert_array_equal(unit_phase(jnp.zeros((2, 2), complex)), 1)
