"""Simulated noise: its standard deviation, and the samples to which it is added."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deqjax.physics import add_noise, complex_noise, fft2c, ifft2c


@pytest.mark.parametrize("level", [0.05, 3.0])
def test_noise_has_the_stated_level_and_is_circular(level: float) -> None:
    noise = complex_noise(jax.random.key(0), jnp.zeros((256, 256), complex), level)
    np.testing.assert_allclose(jnp.sqrt(jnp.mean(jnp.abs(noise) ** 2)), level, rtol=0.01)
    np.testing.assert_allclose([jnp.std(noise.real), jnp.std(noise.imag)], level / 2**0.5, rtol=0.02)
    assert abs(float(jnp.mean(noise.real * noise.imag))) < 0.01 * level**2
    assert abs(complex(jnp.mean(noise))) < 0.02 * level
    in_image = jnp.sqrt(jnp.mean(jnp.abs(ifft2c(noise)) ** 2))
    np.testing.assert_allclose(in_image, level, rtol=0.01)


def test_noise_is_added_to_sampled_lines_only() -> None:
    mask = jnp.zeros((1, 64)).at[:, ::3].set(1.0)
    kspace = mask * fft2c(jax.random.normal(jax.random.key(1), (3, 4, 48, 64), complex))
    noisy = add_noise(jax.random.key(0), kspace, mask, 0.2)
    added = noisy - kspace
    assert jnp.all(jnp.where(mask == 0, noisy, 0) == 0)
    sampled = added[..., ::3]
    assert jnp.all(sampled != 0)
    np.testing.assert_allclose(jnp.sqrt(jnp.mean(jnp.abs(sampled) ** 2)), 0.2, rtol=0.03)
    correlation = jnp.corrcoef(sampled[0, :2].reshape(2, -1))
    assert float(jnp.max(jnp.abs(correlation - jnp.eye(2)))) < 0.1, "the noise of two coils is correlated"


def test_level_zero_adds_nothing_and_the_key_determines_the_noise() -> None:
    kspace = jnp.ones((4, 5), complex)
    np.testing.assert_array_equal(add_noise(jax.random.key(0), kspace, jnp.ones(5), 0.0), kspace)
    one, two, other = (complex_noise(jax.random.key(seed), kspace, 1.0) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, two)
    assert jnp.all(one != other)
    assert one.dtype == jnp.complex64
