import jax
import jax.numpy as jnp
import numpy as np
import pytest
from geometry import inner_points, oblique_grid, random_map

from deqjax.implicit import fixed_point
from deqjax.registration.transforms import Dense, DisplacementMap, FreeForm, invert_points
from deqjax.solvers import Anderson, Picard


# The 3-D field is rough for its voxels; smooth ones need a third there too.
@pytest.mark.parametrize(("ndim", "part"), [(2, 1 / 3), pytest.param(3, 1 / 2, marks=pytest.mark.slow)])
def test_it_needs_a_part_of_the_plain_iterations_evaluations(ndim, part):
    grid = oblique_grid(ndim, 0)
    map = random_map("dense", grid, 1)
    stretched, points = DisplacementMap(map.vectors * 4, grid), grid.points()
    plain_step = lambda v, map: (points + v[0] - map.apply_points(points + v[0]))[None]
    found, quick = invert_points(stretched, points, Anderson(rtol=1e-4, max_steps=200))
    start = (points - stretched.apply_points(points))[None]
    expected, plain = fixed_point(plain_step, start, stretched, solver=Picard(rtol=1e-4, max_steps=200))
    assert bool(quick.converged[0] & plain.converged[0])
    assert quick.num_steps[0] <= part * plain.num_steps[0]
    np.testing.assert_allclose(found, expected[0], atol=0.02)


@pytest.mark.slow
def test_a_fold_does_not_end_in_numbers_that_are_not_finite():
    grid = oblique_grid(2, 0)
    folded = DisplacementMap(25.0 * random_map("dense", grid, 1).vectors, grid)
    assert float(folded.jacobian_determinant(grid.points()).min()) < 0
    v, _ = invert_points(folded, grid.points())
    assert np.all(np.isfinite(v))


def test_the_implicit_gradient_agrees_with_finite_differences(double):
    grid, setting = oblique_grid(2, 0), FreeForm(spacing=9.0)
    numbers = jnp.asarray(np.random.RandomState(0).uniform(-1.5, 1.5, setting.init(grid).shape))
    points, h = inner_points(grid, 1), 1e-5
    direction = jnp.asarray(np.random.RandomState(2).randn(*numbers.shape))
    weights = jnp.asarray(np.random.RandomState(3).randn(*points.shape))

    def value(numbers):
        v, _ = invert_points(setting.map(numbers, grid), points, Anderson(rtol=1e-11, max_steps=200))
        return jnp.sum(v * weights)

    value = jax.jit(value)
    gradient = jnp.sum(jax.jit(jax.grad(value))(numbers) * direction)
    difference = (value(numbers + h * direction) - value(numbers - h * direction)) / (2 * h)
    np.testing.assert_allclose(gradient, difference, rtol=1e-4)


def test_the_field_of_an_inverse_is_dense_or_pointwise_alike():
    grid = oblique_grid(2, 0)
    map, points = random_map("dense", grid, 1), inner_points(grid, 2)
    field = DisplacementMap(map.inverse().displacement(grid), grid)
    error = grid.index(field.apply_points(map.apply_points(points))) - grid.index(points)
    assert float(jnp.abs(error).max()) < 0.05


def test_the_inverse_of_the_identity_is_found_at_once():
    grid = oblique_grid(2, 0)
    v, stats = invert_points(Dense().map(Dense().init(grid), grid), grid.points())
    assert bool(stats.converged[0])
    assert not np.any(v)
