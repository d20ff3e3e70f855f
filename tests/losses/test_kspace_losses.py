"""The losses of k-space: their values by NumPy, their weights, and gradients where nothing is measured or wrong."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deqjax.losses import kspace_l1_l2, kspace_smooth_l1, weighted_l2


@pytest.mark.parametrize("coils", [(), (3,)])
def test_values_and_weights(coils):
    rng = np.random.default_rng(0)
    predicted, measured = (rng.normal(size=(2, *coils, 4, 6, 2)) @ [1, 1j] for _ in range(2))
    weight = np.array([0.0, 1.0, 2.0, 0.0, 5.0, 1.0])[None]
    d, axes = predicted - measured, tuple(range(1, 3 + len(coils)))
    total = lambda values: np.sum(weight * values, axes)
    two = np.sqrt(total(np.abs(d) ** 2) / total(np.abs(measured) ** 2))
    one = total(np.abs(d)) / total(np.abs(measured))
    np.testing.assert_allclose(kspace_l1_l2(predicted, measured, weight), np.mean(one + two), rtol=1e-5)
    np.testing.assert_allclose(weighted_l2(predicted, measured, weight), np.mean(total(np.abs(d) ** 2)) / 24, rtol=1e-5)
    parts = 24**0.5 * np.abs(np.stack([d.real, d.imag]))  # some are below 1 and some above
    huber = np.sum(np.where(parts < 1, parts**2 / 2, parts - 0.5), axis=0)
    smooth = kspace_smooth_l1(predicted, measured, weight)
    np.testing.assert_allclose(smooth, np.mean(total(huber)) / (2 * 24) / 24**0.5, rtol=1e-5)


@pytest.mark.parametrize("loss", [kspace_l1_l2, kspace_smooth_l1, weighted_l2])
@pytest.mark.parametrize(("scale", "weight"), [(0.0, 1.0), (1.0, 0.0), (1.0, 1.0)])
def test_gradients_are_finite_where_nothing_is_measured_or_nothing_is_wrong(loss, scale, weight):
    measured = scale * jnp.ones((1, 2, 2), complex)
    assert jnp.isfinite(loss(measured, measured, weight))
    assert jnp.isfinite(jax.grad(lambda u: loss(u, measured, weight))(measured)).all()
