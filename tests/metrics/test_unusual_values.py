"""Metrics of images with NaN, infinity and negative values, and data ranges that are none."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from deqjax.metrics import hfen, nmse, psnr, ssim, vif

METRICS: dict[str, Callable] = {"hfen": hfen, "nmse": nmse, "psnr": psnr, "ssim": ssim, "vif": vif}
IMAGE = np.random.default_rng(0).random((2, 48, 45)).astype(np.float32)
TARGET = np.random.default_rng(1).random((2, 48, 45)).astype(np.float32)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", METRICS)
def test_nan_and_infinity_anywhere_give_nan(name, bad):
    metric, compiled = METRICS[name], jax.jit(METRICS[name])
    assert np.isfinite(metric(IMAGE, TARGET))
    for position in ((0, 0, 0), (1, 20, 30), (1, 47, 44)):
        broken = [IMAGE.copy(), TARGET.copy()]
        for which in (0, 1):
            broken[which][position] = bad
            pair = (broken[0], TARGET) if which == 0 else (IMAGE, broken[1])
            assert np.isnan(metric(*pair))
            assert np.isnan(compiled(*pair))
            if name not in ("nmse", "hfen"):
                assert np.isnan(metric(*pair, data_range=1.0))
    everywhere = np.full_like(TARGET, bad)
    assert np.isnan(metric(everywhere, everywhere))


@pytest.mark.parametrize(("low", "high"), [(-1.0, 1.0), (-3.0, 0.5), (-5.0, -2.0), (0.0, 2.0), (1.0, 2.0)])
def test_negative_values_widen_the_data_range(low, high):
    image, target = (low + (high - low) * one.astype(np.float64) for one in (IMAGE, TARGET))
    width = target.max() - min(target.min(), 0)
    assert float(psnr(image, target)) == pytest.approx(
        peak_signal_noise_ratio(target, image, data_range=width), abs=1e-3
    )
    slices = [structural_similarity(i, t, data_range=width) for i, t in zip(image, target)]
    assert float(ssim(image, target)) == pytest.approx(np.mean(slices), abs=1e-4)
    assert float(vif(target, target)) == pytest.approx(1, abs=1e-5)
    assert float(nmse(image, target)) == pytest.approx(np.sum((image - target) ** 2) / np.sum(target**2), rel=1e-4)
    for metric in METRICS.values():
        np.testing.assert_allclose(jax.jit(metric)(image, target), metric(image, target), rtol=1e-4)


@pytest.mark.parametrize(
    "data_range", [0, -1, 0.0, -2.5, np.nan, np.inf, np.float32(-1), jnp.array(0.0), jnp.array(np.nan), 1j, [1.0, 2.0]]
)
@pytest.mark.parametrize("name", ["psnr", "ssim", "vif"])
def test_data_ranges_that_are_none_raise(name, data_range):
    with pytest.raises(ValueError, match="data_range"):
        METRICS[name](IMAGE, TARGET, data_range=data_range)


@pytest.mark.slow
def test_gradients_of_finite_images_are_finite():
    for metric in METRICS.values():
        assert np.isfinite(jax.grad(lambda image: metric(image, TARGET))(jnp.asarray(IMAGE))).all()  # noqa: B023
