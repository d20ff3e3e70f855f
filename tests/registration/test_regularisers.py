import jax
import jax.numpy as jnp
import numpy as np
import pytest
from geometry import oblique_grid

from deqjax.registration import regularisers, transforms

EVERY = {name: getattr(regularisers, name)() for name in regularisers.__all__ if name != "Regulariser"}
every = pytest.mark.parametrize("name", EVERY)


def field(grid, seed=0):
    return jnp.asarray(np.random.RandomState(seed).randn(*grid.shape, grid.ndim))


@every
@pytest.mark.parametrize("ndim", [2, 3])
def test_a_translation_costs_nothing(name, ndim):
    grid = oblique_grid(ndim, 0)
    assert float(EVERY[name](jnp.ones((*grid.shape, ndim)), grid)) == pytest.approx(0, abs=2e-3)
    assert float(EVERY[name](field(grid), grid)) > 0.05


@pytest.mark.parametrize("name", ["Bending", "Curvature"])
def test_an_affine_field_costs_nothing(name):
    grid = oblique_grid(3, 0)
    assert float(EVERY[name](grid.points() @ jnp.array([[1.0, 2, 0], [0, -1, 1], [3, 0, 1]]), grid)) < 1e-6


@pytest.mark.parametrize("name", ["Diffusion", "Elastic", "TotalVariation", "Jacobian"])
@pytest.mark.parametrize("ndim", [2, 3])
def test_a_linear_field_costs_what_the_formula_says_on_oblique_grids(name, ndim):
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
def test_gradients_agree_with_finite_differences(name, double):
    grid, h = oblique_grid(2, 0), 1e-6
    vectors, direction = 0.3 * field(grid), field(grid, 1)
    value = lambda vectors: EVERY[name](vectors, grid)
    difference = (value(vectors + h * direction) - value(vectors - h * direction)) / (2 * h)
    np.testing.assert_allclose(jnp.vdot(jax.grad(value)(vectors), direction), difference, rtol=1e-5)


def test_the_weight_multiplies():
    grid = oblique_grid(2, 0)
    for name, regulariser in EVERY.items():
        heavy = type(regulariser)(weight=3.0)
        np.testing.assert_allclose(heavy(field(grid), grid), 3 * EVERY[name](field(grid), grid), rtol=1e-6)


def test_the_gradient_of_the_jacobian_penalty_unfolds():
    grid = oblique_grid(2, 0)
    folded = -1.5 * grid.points()
    downhill = -jax.grad(regularisers.Jacobian())(folded, grid)
    less = regularisers.Jacobian()(folded + 0.01 * downhill / jnp.abs(downhill).max(), grid)
    assert float(less) < float(regularisers.Jacobian()(folded, grid))


def test_inverse_consistency_is_zero_between_a_field_and_its_inverse_alone():
    grid = oblique_grid(2, 0)
    velocity = transforms.Velocity(smoothing=5.0)
    map = velocity.map(8.0 * field(grid), grid)
    there, back = (m.displacement(grid) for m in (map, map.inverse()))
    between = regularisers.InverseConsistency().between
    assert float(between(there, back, grid)) < 0.05 * float(between(there, -there, grid))
    assert float(between(there, -there, grid)) == float(regularisers.InverseConsistency()(there, grid))
