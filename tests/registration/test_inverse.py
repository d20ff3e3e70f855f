"""The inverse of a map as a fixed point."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from geometry import inner_points, oblique_grid, random_map

from deqjax.implicit import fixed_point
from deqjax.registration import Grid
from deqjax.registration.transforms import Dense, DisplacementMap, FreeForm, invert_points
from deqjax.solvers import Anderson, Picard


# The 3-D field is rough relative to its voxels; for smooth 3-D fields the fraction is also a third.
@pytest.mark.parametrize(("ndim", "fraction"), [(2, 1 / 3), pytest.param(3, 1 / 2, marks=pytest.mark.slow)])
def test_newton_takes_a_fraction_of_the_evaluations_of_the_plain_iteration(ndim, fraction):
    grid = oblique_grid(ndim, 0)
    mapping = random_map("Dense", grid, 1)
    stretched, points = DisplacementMap(mapping.vectors * 4, grid), grid.points()
    plain_step = lambda v, mapping: (points + v[0] - mapping.apply_points(points + v[0]))[None]
    found, newton = invert_points(stretched, points)
    start = (points - stretched.apply_points(points))[None]
    expected, plain = fixed_point(plain_step, start, stretched, solver=Picard(rtol=1e-4, max_steps=200))
    assert bool(newton.converged[0] & plain.converged[0])
    assert newton.num_steps[0] <= fraction * plain.num_steps[0]
    np.testing.assert_allclose(found, expected[0], atol=0.02)


@pytest.mark.slow
def test_the_result_is_finite_for_a_folded_map():
    grid = oblique_grid(2, 0)
    folded = DisplacementMap(25.0 * random_map("Dense", grid, 1).vectors, grid)
    assert float(folded.jacobian_determinant(grid.points()).min()) < 0
    v, _ = invert_points(folded, grid.points())
    assert np.all(np.isfinite(v))


@pytest.mark.parametrize("size", [2.0, 4.0, 8.0, -8.0])
def test_an_inverse_is_either_right_or_nan(size):
    grid = Grid.of((24, 21))
    points = grid.points()
    mapping = DisplacementMap(size * jnp.sin(points / 2), grid)
    back, stats = mapping.inverse().solve(points)
    error = np.linalg.norm(mapping.apply_points(points + back) - points, axis=-1)
    assert not np.any(error > 0.3)  # comparisons with NaN are false
    assert np.isnan(error).any() == (abs(size) > 3)
    assert stats.converged.shape == (1,)


@pytest.mark.slow
def test_the_implicit_gradient_agrees_with_finite_differences(float64):
    grid, setting = oblique_grid(2, 0), FreeForm(spacing=9.0)
    parameters = jnp.asarray(np.random.RandomState(0).uniform(-1.5, 1.5, setting.init(grid).shape))
    points, h = inner_points(grid, 1), 1e-5
    direction = jnp.asarray(np.random.RandomState(2).randn(*parameters.shape))
    weights = jnp.asarray(np.random.RandomState(3).randn(*points.shape))

    def value(parameters):
        v, _ = invert_points(setting.map(parameters, grid), points, Anderson(rtol=1e-11, max_steps=200))
        return jnp.sum(v * weights)

    value = jax.jit(value)
    gradient = jnp.sum(jax.jit(jax.grad(value))(parameters) * direction)
    difference = (value(parameters + h * direction) - value(parameters - h * direction)) / (2 * h)
    np.testing.assert_allclose(gradient, difference, rtol=1e-4)


def test_the_interpolated_displacement_of_an_inverse_undoes_the_map():
    grid = oblique_grid(2, 0)
    mapping, points = random_map("Dense", grid, 1), inner_points(grid, 2)
    field = DisplacementMap(mapping.inverse().displacement(grid), grid)
    error = grid.index(field.apply_points(mapping.apply_points(points))) - grid.index(points)
    assert float(jnp.abs(error).max()) < 0.05


def test_the_inverse_of_the_identity_is_exact():
    grid = oblique_grid(2, 0)
    v, stats = invert_points(Dense().map(Dense().init(grid), grid), grid.points())
    assert bool(stats.converged[0])
    assert not np.any(v)
