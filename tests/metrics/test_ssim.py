"""SSIM against scikit-image, its gradient, and flat, small or invalid images."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from skimage.metrics import structural_similarity

from deqjax.metrics import ssim


def _pair(shape, seed=0, noise=0.05):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[-1 : 1 : shape[-2] * 1j, -1 : 1 : shape[-1] * 1j]
    disc = (x**2 + 1.3 * y**2 < 0.6) * (0.9 + 0.1 * np.sin(9 * x))
    target = np.broadcast_to(disc, shape) * rng.uniform(0.5, 1, (*shape[:-2], 1, 1))
    return np.abs(target + noise * rng.standard_normal(shape)), target


def _reference(image, target, data_range):
    slices = zip(np.atleast_3d(image.T).T, np.atleast_3d(target.T).T, strict=True)
    return np.mean([structural_similarity(*pair, data_range=data_range) for pair in slices])


@pytest.mark.parametrize("shape", [(7, 8), (1, 31, 29), (3, 45, 38)])
@pytest.mark.parametrize("noise", [0.001, 0.2])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_equals_scikit_image_with_the_volume_maximum(shape, noise, dtype):
    image, target = _pair(shape, noise=noise)
    with jax.enable_x64(dtype == "float64"):
        image, target = jnp.asarray(image, dtype), jnp.asarray(target, dtype)
        found = float(ssim(image, target))
    image, target = np.asarray(image, float), np.asarray(target, float)
    expected = _reference(image, target, target.max())
    assert found == pytest.approx(expected, abs=1e-5 if dtype == "float32" else 1e-12)


def test_a_bright_image_of_low_contrast_is_as_precise():
    image, target = (1000 + volume.astype(np.float32) for volume in _pair((3, 40, 40)))
    expected = _reference(image.astype(float), target.astype(float), 1.0)
    assert float(ssim(image, target, data_range=1.0)) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_ssim_does_not_depend_on_the_unit(scale):
    image, target = _pair((2, 30, 30))
    expected = float(ssim(image, target))
    assert float(ssim(scale * image, scale * target)) == pytest.approx(expected, abs=1e-5)
    assert float(ssim(scale * image, scale * target, data_range=2 * scale)) == pytest.approx(
        float(ssim(image, target, data_range=2.0)), abs=1e-5
    )


def test_gradient_agrees_with_finite_differences():
    image, target = _pair((2, 12, 13))
    direction = np.random.default_rng(1).standard_normal(image.shape)
    with jax.enable_x64(True):
        gradient = jax.jit(jax.grad(ssim))(jnp.asarray(image), jnp.asarray(target))
        ahead, behind = (ssim(image + step * direction, target) for step in (1e-5, -1e-5))
        assert float(jnp.vdot(gradient, direction)) == pytest.approx(float(ahead - behind) / 2e-5, rel=1e-6)


def test_flat_and_empty_images_are_finite():
    zero, one = np.zeros((2, 9, 9), np.float32), np.ones((2, 9, 9), np.float32)
    assert float(ssim(zero, zero)) == 1
    assert float(ssim(one, one)) == pytest.approx(1)
    assert 0 <= float(ssim(one, zero)) < 0.01
    assert np.isfinite(jax.grad(ssim)(zero, zero)).all()


@pytest.mark.parametrize(
    ("image", "target", "message"),
    [
        (np.ones((8, 8)), np.ones((8, 9)), r"\(8, 8\).*\(8, 9\)"),
        (np.ones((8, 8)) * 1j, np.ones((8, 8)), r"image is complex.*jnp.abs"),
        (np.ones((8, 8)), np.ones((8, 8)) * 1j, r"target is complex.*jnp.abs"),
        (np.ones((8, 6)), np.ones((8, 6)), r"\(8, 6\).*7 pixels"),
        (np.ones(8), np.ones(8), r"\(slice, y, x\)"),
        (np.ones((0, 8, 8)), np.ones((0, 8, 8)), r"at least one slice"),
    ],
)
def test_errors_name_the_bad_input_also_under_jit(image, target, message):
    for function in (ssim, jax.jit(ssim)):
        with pytest.raises(ValueError, match=message):
            function(image, target)


def test_a_bad_data_range_is_an_error():
    ones = np.ones((8, 8))
    with pytest.raises(ValueError, match=r"data_range is 0.*positive"):
        ssim(ones, ones, data_range=0)
    with pytest.raises(ValueError, match=r"data_range has shape \(2,\)"):
        ssim(ones, ones, data_range=np.ones(2))
