"""The Jacobian penalty: what it estimates, and that it finds a single direction that does not contract."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deqjax.jacobian_penalty import MARGIN, JacobianPenalty

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


def test_the_barrier_is_its_formula_and_its_tangent() -> None:
    """On ``g x`` every direction grows by g. The slope at the margin is that of the logarithm, 1 / MARGIN."""
    barrier = JacobianPenalty(threshold=0.98, form="barrier")
    value = lambda g: barrier(lambda x, _: g * x, jnp.ones((1, 5)), None, keys(1))
    both = jax.jit(jax.vmap(jax.value_and_grad(value)))
    found, slope = both(jnp.array([0.0, 0.5, 0.9, 0.979, 1.2]))
    inside = [-np.log(1 - g / 0.98) for g in (0.0, 0.5, 0.9, 0.979)]
    np.testing.assert_allclose(found[:4], inside, rtol=2e-4, atol=1e-6)
    np.testing.assert_allclose(slope[1:3], [1 / (0.98 - g) for g in (0.5, 0.9)], rtol=1e-4)
    assert float(found[4]) == pytest.approx(inside[3] + (1.2 - 0.979) / MARGIN, rel=1e-4)
    assert float(slope[4]) == pytest.approx(1 / MARGIN, rel=1e-4)
    assert np.isfinite(slope).all()
    with pytest.raises(ValueError, match="needs a threshold above"):
        JacobianPenalty(form="barrier")
