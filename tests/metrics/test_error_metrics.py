"""NMSE against its formula and PSNR against scikit-image."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio

from deqjax.metrics import nmse, psnr


@pytest.mark.parametrize("shape", [(5, 7), (1, 31, 29), (3, 40, 33)])
@pytest.mark.parametrize("scale", [1e-25, 1e-6, 1.0, 1e6, 1e25])
def test_nmse_equals_the_formula_over_the_volume(shape, scale):
    rng = np.random.default_rng(0)
    target = rng.random(shape) * rng.random((*shape[:-2], 1, 1))
    image = target + 0.1 * rng.standard_normal(shape)
    expected = np.sum((image - target) ** 2) / np.sum(target**2)
    assert float(nmse(scale * image, scale * target)) == pytest.approx(expected, rel=1e-5)


def test_nmse_of_zero_targets_is_zero_or_infinite_and_not_nan():
    zero, one = jnp.zeros((2, 3, 3)), jnp.ones((2, 3, 3))
    assert float(nmse(zero, zero)) == 0
    assert float(nmse(one, zero)) == np.inf


def test_different_shapes_are_an_error():
    with pytest.raises(ValueError, match=r"image has shape \(3, 3\) but target has shape \(1, 3, 3\)"):
        nmse(np.ones((3, 3)), np.ones((1, 3, 3)))


@pytest.mark.parametrize("shape", [(5, 7), (1, 31, 29), (3, 40, 33)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_psnr_equals_scikit_image_with_the_volume_maximum(shape, dtype, scale):
    rng = np.random.default_rng(0)
    target = scale * rng.random(shape) * rng.random((*shape[:-2], 1, 1))
    image = target + scale * 0.03 * rng.standard_normal(shape)
    with jax.enable_x64(dtype == "float64"):
        found = float(psnr(jnp.asarray(image, dtype), jnp.asarray(target, dtype)))
        doubled = float(psnr(jnp.asarray(image, dtype), jnp.asarray(target, dtype), data_range=2 * target.max()))
    expected = peak_signal_noise_ratio(target, image, data_range=target.max())
    assert found == pytest.approx(expected, abs=1e-4 if dtype == "float32" else 1e-10)
    assert doubled - found == pytest.approx(20 * np.log10(2), abs=1e-4)


def test_the_peak_is_that_of_the_volume_and_not_of_the_slice():
    target = np.stack([np.ones((4, 4)), 0.01 * np.ones((4, 4))])
    assert float(psnr(target + 0.1, target)) == pytest.approx(20, abs=1e-4)


def test_psnr_of_equal_images_is_infinite_and_of_zero_targets_not_nan():
    zero, one = jnp.zeros((2, 3, 3)), jnp.ones((2, 3, 3))
    assert float(psnr(one, one)) == float(psnr(zero, zero)) == np.inf
    assert float(psnr(one, zero)) == 0


def test_complex_input_is_an_error():
    with pytest.raises(ValueError, match=r"complex.*jnp.abs"):
        psnr(np.ones((3, 3), np.complex64), np.ones((3, 3)))
