"""Each loss against a NumPy implementation of its formula."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from skimage.metrics import structural_similarity

from deqjax.losses import PerpendicularSSIM, l1, mse, perpendicular, perpendicular_ssim, ssim_loss


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    image, target = rng.standard_normal((2, 3, 12, 11)) + 1j * rng.standard_normal((2, 3, 12, 11))
    return image, target


def _phase_distance(X, Y):
    p = np.abs(X.real * Y.imag - X.imag * Y.real) / np.abs(X)
    return np.where((X * Y.conj()).real >= 0, p, 2 * np.abs(Y) - p)


def _ssim(X, Y):
    pairs = zip(np.abs(X), np.abs(Y), strict=True)
    return np.mean([structural_similarity(x, y, data_range=y.max()) for x, y in pairs])


def test_mse_and_l1(pair):
    X, Y = pair
    assert float(mse(X, Y)) == pytest.approx(np.mean(np.abs(X - Y) ** 2), rel=1e-5)
    assert float(l1(X, Y)) == pytest.approx(np.mean(np.abs(X - Y)), rel=1e-5)


def test_ssim_loss_takes_the_data_range_of_each_target(pair):
    X, Y = pair
    Y = Y * np.array([1.0, 3.0, 0.2])[:, None, None]
    assert float(ssim_loss(X, Y)) == pytest.approx(1 - _ssim(X, Y), abs=1e-5)


@pytest.mark.parametrize("magnitude_weight", [1.0, 1.3])
def test_perpendicular(pair, magnitude_weight):
    X, Y = pair
    expected = np.mean(_phase_distance(X, Y) + magnitude_weight * (np.abs(X) - np.abs(Y)) ** 2)
    assert float(perpendicular(X, Y, magnitude_weight)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_perpendicular_ssim(pair, weight):
    X, Y = pair
    expected = weight * np.mean(_phase_distance(X, Y)) + (1 - weight) * 1.3 * (1 - _ssim(X, Y))
    assert float(perpendicular_ssim(X, Y, weight, 1.3)) == pytest.approx(expected, abs=1e-5)


def test_perpendicular_detects_a_change_of_sign_by_its_second_branch(pair):
    _, Y = pair
    without_branch = np.abs(-Y.real * Y.imag + Y.imag * Y.real) / np.abs(Y)
    assert without_branch.max() < 1e-12
    assert float(perpendicular(-Y, Y)) == pytest.approx(2 * np.abs(Y).mean(), rel=1e-5)


def test_perpendicular_grows_with_the_phase_error_up_to_pi(pair):
    _, Y = pair
    rotated = [float(perpendicular(Y * np.exp(1j * angle), Y)) for angle in np.linspace(0, np.pi, 25)]
    assert (np.diff(rotated) > 0).all()
    opposite = [float(perpendicular(Y * np.exp(-1j * angle), Y)) for angle in np.linspace(0, np.pi, 25)]
    assert opposite == pytest.approx(rotated, abs=1e-5)


def test_perpendicular_does_not_change_if_both_images_are_rotated(pair):
    X, Y = pair
    turn = np.exp(0.7j)
    assert float(perpendicular(turn * X, turn * Y)) == pytest.approx(float(perpendicular(X, Y)), rel=1e-5)


def test_the_learned_weight_has_its_initial_value_and_a_gradient(pair):
    X, Y = pair
    loss = PerpendicularSSIM(weight=0.2)
    params = loss.init()
    assert float(jax.nn.sigmoid(params["weight_logit"])) == pytest.approx(0.2)
    gradient = jax.grad(loss, argnums=2)(jnp.asarray(X), jnp.asarray(Y), params)["weight_logit"]
    slope = np.mean(_phase_distance(X, Y)) - (1 - _ssim(X, Y))
    assert float(gradient) == pytest.approx(0.2 * 0.8 * slope, rel=1e-4)


@pytest.mark.parametrize("weight", [0.0, 1.0, -0.1])
def test_a_weight_without_a_finite_logit_is_an_error(weight):
    with pytest.raises(ValueError, match="strictly between 0 and 1"):
        PerpendicularSSIM(weight=weight)


def test_the_error_of_ssim_loss_names_its_axes():
    with pytest.raises(ValueError, match=r"\(2, 3, 9, 9\).*\(batch, y, x\)"):
        ssim_loss(np.ones((2, 3, 9, 9)), np.ones((2, 3, 9, 9)))
