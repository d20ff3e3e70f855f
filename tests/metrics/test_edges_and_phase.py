"""HFEN against scipy.ndimage, and the phase error and the magnitude bias against their formulas."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from deqjax.metrics import hfen, magnitude_bias, phase_error


def _pair(shape):
    rng = np.random.default_rng(0)
    target = rng.random(shape) * np.exp(2j * rng.standard_normal(shape))
    return target + 0.2 * (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)), target


def _log_filter():
    """MATLAB's fspecial("log", 15, 1.5), from its documentation: the sum of the weights is zero."""
    y, x = np.mgrid[-7:8, -7:8]
    gaussian = np.exp(-(x**2 + y**2) / (2 * 1.5**2))
    weights = gaussian * (x**2 + y**2 - 2 * 1.5**2) / (1.5**4 * gaussian.sum())
    return weights - weights.sum() / weights.size


@pytest.mark.parametrize("shape", [(9, 11), (3, 31, 22)])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_hfen_equals_the_filter_of_scipy(shape, scale):
    image, target = (np.abs(volume) for volume in _pair(shape))
    image, target = image.reshape(-1, *shape[-2:]), target.reshape(-1, *shape[-2:])
    filtered = [
        np.stack([ndimage.convolve(part, _log_filter(), mode="constant") for part in volume])
        for volume in (image - target, target)
    ]
    expected = np.linalg.norm(filtered[0]) / np.linalg.norm(filtered[1])
    assert float(hfen(scale * image, scale * target)) == pytest.approx(expected, rel=1e-5)


def test_hfen_of_zero_targets_is_zero_or_infinite():
    zero, one = jnp.zeros((2, 16, 16)), jnp.ones((2, 16, 16))
    assert float(hfen(zero, zero)) == 0
    assert float(hfen(one, zero)) == np.inf


def test_phase_error_and_magnitude_bias_equal_their_formulas_on_the_object():
    image, target = _pair((3, 12, 14))
    inside = np.abs(target) > 0.1 * np.abs(target).max()
    assert 0 < inside.mean() < 1
    angles = np.angle(np.exp(1j * (np.angle(image) - np.angle(target))))
    assert float(phase_error(image, target)) == pytest.approx(np.abs(angles[inside]).mean(), rel=1e-5)
    bias = np.abs(image)[inside].sum() / np.abs(target)[inside].sum() - 1
    assert float(magnitude_bias(image, target)) == pytest.approx(bias, rel=1e-4)
    assert float(magnitude_bias(1e6 * image, 1e6 * target)) == pytest.approx(bias, rel=1e-4)


def test_one_sees_the_phase_and_the_other_the_magnitude():
    _, target = _pair((12, 14))
    assert float(phase_error(0.5 * target * np.exp(0.3j), target)) == pytest.approx(0.3, abs=1e-6)
    assert float(magnitude_bias(0.5 * target * np.exp(0.3j), target)) == pytest.approx(-0.5, abs=1e-6)
    assert float(phase_error(target, 0 * target)) == float(magnitude_bias(target, 0 * target)) == 0
    assert np.isnan(phase_error(np.nan * target, target))
    with pytest.raises(ValueError, match="image has shape"):
        phase_error(target, target[1:])
