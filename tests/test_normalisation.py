"""Normalisations: their formulas, and that their units scale with the data."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deqjax import EnergyScale, SmoothPhase, StandardScore
from deqjax.normalisation import Units
from deqjax.physics import MaskedFourier, PhaseModulated
from deqjax.types import Normalisation

each_normalisation = pytest.mark.parametrize(
    "normalisation", [EnergyScale(), SmoothPhase(0.4), StandardScore()], ids=lambda n: type(n).__name__
)


def random_image(*shape: int, seed: int = 0) -> jax.Array:
    rng = np.random.default_rng(seed)
    return jnp.asarray(rng.normal(size=shape) + 1j * rng.normal(size=shape) + 0.3, complex)


def units_of(normalisation: Normalisation, image: jax.Array) -> Units:
    units = normalisation(image)
    assert isinstance(units, Units)
    return units


def test_energy_scale_equals_its_formula_and_ignores_the_background() -> None:
    image = random_image(2, 7, 9)
    power = np.abs(np.asarray(image)) ** 2
    units = EnergyScale()(image)
    assert units.scale.shape == (2, 1, 1)
    expected = np.sqrt((power**2).sum(axis=(1, 2)) / power.sum(axis=(1, 2)))
    np.testing.assert_allclose(units.scale.ravel(), expected, rtol=1e-6)
    assert not units.shift.any()
    padded = jnp.pad(image, ((0, 0), (3, 5), (2, 2)))
    np.testing.assert_allclose(EnergyScale()(padded).scale, units.scale, rtol=1e-6)
    assert EnergyScale().of_target(random_image(2, 7, 9, seed=1), units) is units


def test_standard_score_equals_its_formula_and_the_target_has_its_own_units() -> None:
    image, target = random_image(2, 7, 9), 5 * random_image(2, 7, 9, seed=1)
    units = StandardScore()(image)
    for index in range(2):
        parts = np.stack([image[index].real, image[index].imag])
        np.testing.assert_allclose(units.scale[index, 0, 0], parts.std(), rtol=1e-5)
        np.testing.assert_allclose(units.shift[index, 0, 0], parts.mean() * (1 + 1j), rtol=1e-5)
    scored = StandardScore().of_target(target, units).apply(target)
    both = jnp.stack([scored.real, scored.imag])
    np.testing.assert_allclose([both.mean(), both.std()], [0, 1], atol=1e-5)


def test_smooth_phase_removes_the_phase_from_the_image_the_target_and_the_forward_model() -> None:
    image = 1j * jnp.abs(random_image(2, 7, 9))
    units = SmoothPhase()(image)
    np.testing.assert_allclose(units.scale, EnergyScale()(image).scale, rtol=1e-6)
    np.testing.assert_allclose(units.apply(image), jnp.abs(image) / units.scale, atol=1e-5)
    assert SmoothPhase().of_target(image, units) is units
    A = MaskedFourier(jnp.ones((1, 9)))
    assert EnergyScale()(image).forward_model(A) is A
    modulated = units.forward_model(A)
    assert isinstance(modulated, PhaseModulated)
    np.testing.assert_allclose(modulated.adjoint(A.forward(image)), units.apply(image) * units.scale, atol=1e-5)


@pytest.mark.parametrize("width", [0.0, -0.1, 1.5, float("nan")])
def test_an_invalid_width_raises_an_error(width: float) -> None:
    with pytest.raises(ValueError, match="0 < width <= 1"):
        SmoothPhase(width)


@each_normalisation
def test_apply_and_undo_are_inverse_and_scale_with_the_data(normalisation: Normalisation) -> None:
    image = random_image(2, 7, 9)
    units = units_of(normalisation, image)
    np.testing.assert_allclose(units.undo(units.apply(image)), image, atol=1e-5)
    for scale in (1e-30, 1e-6, 1e6, 1e30):
        scaled = units_of(normalisation, jnp.float32(scale) * image)
        np.testing.assert_allclose(scaled.scale, scale * units.scale, rtol=1e-5)
        np.testing.assert_allclose(scaled.apply(jnp.float32(scale) * image), units.apply(image), atol=1e-5)


@each_normalisation
def test_an_empty_image_has_the_scale_zero_and_finite_gradients(normalisation: Normalisation) -> None:
    image = random_image(2, 5, 5).at[0].set(0)
    units = units_of(normalisation, image)
    assert units.scale[0, 0, 0] == 0
    assert not units.undo(image + 1)[0].any()  # whatever the output of a network is
    assert not units.apply(image)[0].any()
    gradient = jax.jit(jax.grad(lambda image: jnp.sum(jnp.abs(normalisation(image).apply(image) - 1) ** 2)))(image)
    assert jnp.isfinite(gradient).all()


@each_normalisation
def test_the_gradient_equals_finite_differences(normalisation: Normalisation, float64: None) -> None:
    image, direction, weight = (random_image(1, 5, 6, seed=seed) for seed in range(3))
    loss = jax.jit(lambda image: jnp.sum((weight * normalisation(image).apply(image)).real))
    h = 1e-6
    difference = (loss(image + h * direction) - loss(image - h * direction)) / (2 * h)
    np.testing.assert_allclose(jnp.sum(jax.grad(loss)(image) * direction).real, difference, rtol=1e-7)


@each_normalisation
@pytest.mark.parametrize("size", [1e-32, 1e-30, 1e-20, 1e-10, 1e10, 1e19, 1e25, 1e30, 1e37, 7e37])
def test_the_units_of_very_large_and_very_small_images(normalisation: Normalisation, size: float) -> None:
    image = random_image(2, 7, 9)
    image = image / jnp.max(jnp.abs(image))
    plain, units = units_of(normalisation, image), units_of(normalisation, image * size)
    np.testing.assert_allclose(units.scale, plain.scale * size, rtol=1e-5)
    scaled = jax.jit(lambda units, image: units.apply(image))(units, image * size)
    np.testing.assert_allclose(scaled, plain.apply(image), atol=1e-5)
    np.testing.assert_allclose(units.undo(scaled) / size, image, atol=1e-5)


def test_the_standard_score_is_clamped_and_its_units_are_undone() -> None:
    """One bright pixel of 100: its score of 9.95 is clamped to 6, and the other pixels keep theirs."""
    image = jnp.zeros((10, 10), jnp.complex64).at[3, 4].set(100 + 100j)
    units = StandardScore(clamp=6.0)(image)
    scored = np.asarray(units.apply(image))
    assert scored[3, 4] == 6 + 6j
    others = np.delete(scored.ravel(), 34)
    np.testing.assert_allclose(others, np.asarray(StandardScore()(image).apply(image))[0, 0], rtol=1e-6)
    np.testing.assert_allclose(units.undo(units.apply(image))[0, 0], 0, atol=1e-4)
    with pytest.raises(ValueError, match="clamp must be positive"):
        StandardScore(clamp=0.0)
