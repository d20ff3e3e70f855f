"""Interpolation against SciPy, and its boundaries and gradients."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from scipy.ndimage import map_coordinates

from deqjax.registration import interpolate


def random_image(shape, seed=0):
    return np.random.RandomState(seed).randn(*shape)


@pytest.mark.parametrize("shape", [(9, 12), (7, 8, 9)])
@pytest.mark.parametrize("order", [0, 1, 3])
def test_the_mirror_boundary_agrees_with_scipy(shape, order, float64):
    image = random_image(shape)
    index = np.random.RandomState(1).uniform(-4, np.array(shape) + 3, (200, len(shape)))
    expected = map_coordinates(image, index.T, order=order, mode="mirror")
    np.testing.assert_allclose(
        interpolate(jnp.asarray(image), jnp.asarray(index), order, "mirror"), expected, atol=1e-10
    )


@pytest.mark.parametrize("order", [0, 1, 3])
def test_the_nearest_boundary_repeats_the_edge(order):
    image, outside = jnp.asarray(random_image((6, 5))), jnp.array([[-3.0, 2.0], [2.0, 9.0]])
    np.testing.assert_allclose(interpolate(image, outside, order), [image[0, 2], image[2, 4]], atol=1e-5)


def test_the_zero_boundary_agrees_with_the_grid_constant_mode_of_scipy():
    image = random_image((6, 5))
    index = np.random.RandomState(1).uniform(-3, 8, (200, 2))
    index[:, 1] = np.clip(index[:, 1], 0, 4)
    expected = map_coordinates(image, index.T, order=1, mode="grid-constant")
    np.testing.assert_allclose(interpolate(jnp.asarray(image), jnp.asarray(index), 1, "zero"), expected, atol=1e-5)


def test_channels_and_complex_parts_are_interpolated_independently():
    real, imaginary, index = random_image((6, 5)), random_image((6, 5), 1), jnp.array([[1.3, 2.6], [4.1, 0.2]])
    both = interpolate(jnp.asarray(real + 1j * imaginary), index, 3)
    np.testing.assert_allclose(
        both, interpolate(jnp.asarray(real), index, 3) + 1j * interpolate(jnp.asarray(imaginary), index, 3), rtol=1e-5
    )
    stacked = interpolate(jnp.stack([jnp.asarray(real), jnp.asarray(imaginary)], -1), index, 3)
    np.testing.assert_allclose(stacked, jnp.stack([both.real, both.imag], -1), atol=1e-6)


@pytest.mark.parametrize("order", [1, 3])
def test_gradients_agree_with_finite_differences(order, float64):
    image, index = jnp.asarray(random_image((6, 5, 7))), jnp.array([[1.3, 2.6, 3.1], [4.1, 0.2, 5.7]])
    check_grads(lambda image, index: interpolate(image, index, order), (image, index), 1, modes=("fwd", "rev"))


def test_an_axis_of_one_voxel_is_constant():
    assert float(interpolate(jnp.array([[2.0, 4.0]]), jnp.array([0.4, 0.5]), 3)) == pytest.approx(3.0)


def test_other_orders_and_boundaries_raise():
    another_order: Any = 2
    another_boundary: Any = "wrap"
    with pytest.raises(ValueError, match="orders 0"):
        interpolate(jnp.ones((3, 3)), jnp.ones(2), another_order)
    with pytest.raises(ValueError, match="must be"):
        interpolate(jnp.ones((3, 3)), jnp.ones(2), 1, another_boundary)


def test_the_image_can_be_traced():
    image = jnp.asarray(random_image((6, 5)))
    gradient = jax.grad(lambda image: interpolate(image, jnp.array([1.5, 2.0])))(image)
    np.testing.assert_allclose(gradient[1:3, 2], [0.5, 0.5])
