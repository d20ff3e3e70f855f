"""Powers of two: exact at every size that the type can hold."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deqjax.scaling import power_of_two_scale


@pytest.mark.parametrize("size", [1e-37, 1e-30, 1e-10, 0.3, 1.0, 7.0, 1e10, 1e30, 3e38])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.complex64])
def test_the_largest_part_becomes_about_one_and_comes_back(size, dtype):
    x = jnp.array([[size, -size / 3, 0.0], [0.0, 0.0, 0.0]], dtype)
    x = x * (1 if dtype == jnp.float32 else 1j)
    scale = jax.jit(power_of_two_scale, static_argnums=1)(x, 1)
    scaled = jax.jit(scale.apply)(x)
    assert 0.5 <= float(jnp.abs(scaled[0, 0])) < 1
    np.testing.assert_array_equal(scaled[1], 0)
    np.testing.assert_array_equal(scale.undo(scaled), x)


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
def test_what_is_not_finite_is_left_alone(bad):
    x = jnp.array([1.0, bad])
    np.testing.assert_array_equal(power_of_two_scale(x).apply(x), x)


def test_float64_and_gradients():
    with jax.enable_x64(True):
        x = jnp.array([1e300, 1e-300])
        assert 0.5 <= float(power_of_two_scale(x).apply(x)[0]) < 1
        slope = jax.grad(lambda x: power_of_two_scale(x).apply(x).sum())(x)
        np.testing.assert_array_equal(slope, power_of_two_scale(x).apply(jnp.ones(2)))
