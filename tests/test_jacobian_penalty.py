"""The Jacobian penalty: what it estimates, and that it finds a single direction that does not contract."""

import jax
import jax.numpy as jnp
import pytest

from deqjax.jacobian_penalty import JacobianPenalty

SIZE = 4000
SLOPES = jnp.full(SIZE, 0.5).at[7].set(1.05)


def affine(x: jax.Array, args: None) -> jax.Array:
    return SLOPES * x + 1


def keys(count: int) -> jax.Array:
    return jax.random.split(jax.random.key(0), count)


def test_without_power_steps_it_is_the_mean_square_of_the_slopes() -> None:
    found = JacobianPenalty()(affine, jnp.zeros((64, SIZE)), None, keys(64))
    assert float(found) == pytest.approx(float(jnp.mean(SLOPES**2)), rel=0.01)


def test_it_finds_one_direction_in_thousands_that_does_not_contract() -> None:
    x = jnp.zeros((2, SIZE))
    for _ in range(20):
        x = affine(x, None)
    growth = JacobianPenalty(power_steps=3)(affine, x, None, keys(2)) ** 0.5
    assert float(growth) == pytest.approx(1.05, rel=0.01)
    assert float(JacobianPenalty(power_steps=3, threshold=1.05)(affine, x, None, keys(2))) == pytest.approx(0, abs=1e-3)


def test_the_penalty_at_an_exact_fixed_point_is_finite() -> None:
    x = 1 / (1 - SLOPES)[None]
    assert float(JacobianPenalty(power_steps=2)(affine, x, None, keys(1))) == pytest.approx(0.25, rel=0.2)
    zero = JacobianPenalty(power_steps=2)(lambda x, _: 0 * x, jnp.zeros((1, 5)), None, keys(1))
    assert float(zero) == 0
