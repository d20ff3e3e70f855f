"""The contract of every regularizer, and what each of them adds."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from geometry import oblique_grid

from deqjax.registration import Grid, regularizers, transforms

EVERY: dict[str, Any] = {
    "Bending": regularizers.Bending(),
    "Curvature": regularizers.Curvature(),
    "Diffusion": regularizers.Diffusion(),
    "Elastic": regularizers.Elastic(),
    "InverseConsistency": regularizers.InverseConsistency(),
    "Jacobian": regularizers.Jacobian(),
    "TotalVariation": regularizers.TotalVariation(),
}
PROTOCOLS = {"Regularizer"}
every = pytest.mark.parametrize("name", EVERY)


def field(grid: Grid, seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.RandomState(seed).randn(*grid.shape, grid.ndim))


def test_every_export_has_a_row():
    assert set(regularizers.__all__) == set(EVERY) | PROTOCOLS


@every
def test_a_regularizer_is_frozen_and_hashable(name):
    regularizer = EVERY[name]
    assert type(regularizer) is getattr(regularizers, name)
    assert hash(regularizer) == hash(dataclasses.replace(regularizer))
    assert regularizer.__dataclass_params__.frozen


@every
@pytest.mark.parametrize("ndim", [2, 3])
def test_the_value_is_zero_for_translations_and_positive_otherwise(name, ndim):
    grid = oblique_grid(ndim, 0)
    for translation in (0.0, 1.0):
        vectors = jnp.full((*grid.shape, ndim), translation)
        assert float(EVERY[name](vectors, grid)) == pytest.approx(0, abs=2e-3)
    assert float(EVERY[name](field(grid), grid)) > 0.05


@pytest.mark.parametrize("name", ["Bending", "Curvature"])
def test_the_value_is_zero_for_affine_fields(name):
    grid = oblique_grid(3, 0)
    assert float(EVERY[name](grid.points() @ jnp.array([[1.0, 2, 0], [0, -1, 1], [3, 0, 1]]), grid)) < 1e-6


@pytest.mark.parametrize("name", ["Diffusion", "Elastic", "TotalVariation", "Jacobian"])
@pytest.mark.parametrize("ndim", [2, 3])
def test_the_value_of_a_linear_field_is_that_of_the_formula_on_oblique_grids(name, ndim):
    grid = oblique_grid(ndim, 1)
    slope = np.random.RandomState(1).uniform(-0.3, 0.3, (ndim, ndim))
    strain = (slope + slope.T) / 2
    expected = {
        "Diffusion": np.sum(slope**2),
        "Elastic": np.sum(strain**2) + np.trace(slope) ** 2 / 2,
        "TotalVariation": np.sqrt(np.sum(slope**2) + 1e-6),
        "Jacobian": np.log(np.linalg.det(np.eye(ndim) + slope)) ** 2,
    }[name]
    np.testing.assert_allclose(EVERY[name](grid.points() @ slope.T, grid), expected, rtol=1e-3)


@every
def test_gradients_agree_with_finite_differences(name, float64):
    grid, h = oblique_grid(2, 0), 1e-6
    vectors, direction = 0.3 * field(grid), field(grid, 1)
    value = lambda vectors: EVERY[name](vectors, grid)
    difference = (value(vectors + h * direction) - value(vectors - h * direction)) / (2 * h)
    np.testing.assert_allclose(jnp.vdot(jax.grad(value)(vectors), direction), difference, rtol=1e-5)


@every
def test_the_value_is_proportional_to_the_weight(name):
    grid, tripled = oblique_grid(2, 0), dataclasses.replace(EVERY[name], weight=3.0)
    np.testing.assert_allclose(tripled(field(grid), grid), 3 * EVERY[name](field(grid), grid), rtol=1e-6)


def test_descent_on_the_jacobian_penalty_removes_folds():
    grid = oblique_grid(2, 0)
    folded = -1.5 * grid.points()
    descent = -jax.grad(regularizers.Jacobian())(folded, grid)
    less = regularizers.Jacobian()(folded + 0.01 * descent / jnp.abs(descent).max(), grid)
    assert float(less) < float(regularizers.Jacobian()(folded, grid))


def test_inverse_consistency_is_smallest_for_a_field_and_its_inverse():
    grid = oblique_grid(2, 0)
    velocity = transforms.Velocity(smoothing=5.0)
    mapping = velocity.map(8.0 * field(grid), grid)
    forward, backward = (m.displacement(grid) for m in (mapping, mapping.inverse()))
    between = regularizers.InverseConsistency().between
    assert float(between(forward, backward, grid)) < 0.05 * float(between(forward, -forward, grid))
    assert float(between(forward, -forward, grid)) == float(regularizers.InverseConsistency()(forward, grid))
