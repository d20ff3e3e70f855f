import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.spatial
from geometry import NAMES, SETTINGS, inner_points, oblique_grid, random_map

from deqjax.registration import Grid, transforms
from deqjax.registration.transforms.map import jacobian_determinant

SLOW = ("translation", "similarity", "affine", "rotation_scale_shear")
LINEAR = [pytest.param(name, marks=pytest.mark.slow) for name in SLOW]
EVERY = pytest.mark.parametrize("name", NAMES)
RIGID = pytest.mark.parametrize(
    "name", ["rigid", *(pytest.param(name, marks=pytest.mark.slow) for name in SETTINGS if name != "rigid")]
)
PLANE_AND_SLOWLY_SPACE = pytest.mark.parametrize("ndim", [2, pytest.param(3, marks=pytest.mark.slow)])


@EVERY
@PLANE_AND_SLOWLY_SPACE
def test_the_first_numbers_are_the_identity(name, ndim):
    grid, setting = oblique_grid(ndim, 0), SETTINGS[name]
    points = inner_points(grid, 1)
    np.testing.assert_allclose(setting.map(setting.init(grid), grid).apply_points(points), points, atol=1e-4)


@EVERY
@PLANE_AND_SLOWLY_SPACE
def test_displacement_is_where_points_go(name, ndim):
    grid = oblique_grid(ndim, 0)
    map = random_map(name, grid, 1)
    np.testing.assert_allclose(map.displacement(grid), map.apply_points(grid.points()) - grid.points(), atol=1e-4)


@EVERY
@PLANE_AND_SLOWLY_SPACE
def test_the_quick_displacement_of_a_transform_is_that_of_its_map(name, ndim):
    grid, setting = oblique_grid(ndim, 0), SETTINGS[name]
    numbers = 0.05 * jnp.asarray(np.random.RandomState(2).randn(*setting.init(grid, 2).shape))
    quick = setting.displacement(numbers, grid, 2)
    np.testing.assert_allclose(quick, setting.map(numbers, grid, 2).displacement(grid), atol=1e-4)


@RIGID
@PLANE_AND_SLOWLY_SPACE
def test_inverse_after_map_is_the_identity_within_a_twentieth_of_a_voxel(name, ndim):
    grid = oblique_grid(ndim, 0)
    map, points = random_map(name, grid, 1), inner_points(grid, 2)
    there = map.apply_points(points)
    assert float(jnp.linalg.norm(there - points, axis=-1).max()) > 0.3
    for forth, back in ((map, map.inverse()), (map.inverse(), map)):
        error = grid.index(back.apply_points(forth.apply_points(points))) - grid.index(points)
        assert float(jnp.abs(error).max()) < 0.05


@RIGID
@PLANE_AND_SLOWLY_SPACE
def test_the_determinant_of_the_inverse_is_one_over_that_of_the_map(name, ndim):
    grid = oblique_grid(ndim, 0)
    map, points = random_map(name, grid, 1), inner_points(grid, 2)
    product = map.jacobian_determinant(points) * map.inverse().jacobian_determinant(map.apply_points(points))
    np.testing.assert_allclose(product, 1, atol=0.02 if name == "velocity" else 1e-3)


@pytest.mark.parametrize(
    "name", ["rigid", "free_form", *(pytest.param(name, marks=pytest.mark.slow) for name in LINEAR)]
)
@PLANE_AND_SLOWLY_SPACE
def test_the_determinant_agrees_with_finite_differences(name, ndim, double):
    grid = oblique_grid(ndim, 0)
    map, points, h = random_map(name, grid, 1), inner_points(grid, 2), 1e-5
    apply = jax.jit(map.apply_points)
    ends = [(apply(points + h * unit) - apply(points - h * unit)) / (2 * h) for unit in np.eye(ndim)]
    np.testing.assert_allclose(jax.jit(map.jacobian_determinant)(points), np.linalg.det(np.stack(ends, -1)), atol=1e-7)


@PLANE_AND_SLOWLY_SPACE
def test_a_dense_field_on_an_oblique_grid_has_the_analytic_determinant(ndim):
    grid = oblique_grid(ndim, 5, (40,) * ndim)
    middle = grid.centre()
    # phi(x) = x + 0.3 sin(k . (x - c)) a has the determinant 1 + 0.3 cos(k . (x - c)) k . a.
    wave, along = jnp.array([0.11, -0.07, 0.05])[:ndim], jnp.array([1.0, -2.0, 1.5])[:ndim]
    vectors = 0.3 * jnp.sin((grid.points() - middle) @ wave)[..., None] * along
    points = inner_points(grid, 3)
    expected = 1 + 0.3 * jnp.cos((points - middle) @ wave) * jnp.dot(wave, along)
    determinant = transforms.DisplacementMap(vectors, grid).jacobian_determinant(points)
    np.testing.assert_allclose(determinant, expected, atol=2e-3)
    assert float(jnp.ptp(expected)) > 0.05


def test_a_rigid_map_keeps_distances_on_anisotropic_voxels_and_its_centre_in_place():
    grid = Grid.of((12, 14, 9), spacing=(1.0, 1.0, 4.0))
    map = transforms.Rigid(centre=(3.0, -2.0, 7.0)).map(jnp.array([0.4, -0.2, 0.7, 0.0, 0.0, 0.0]), grid)
    points = inner_points(grid, 0)
    spread = scipy.spatial.distance.pdist
    np.testing.assert_allclose(spread(map.apply_points(points)), spread(points), atol=1e-3)
    np.testing.assert_allclose(map.apply_points(jnp.array([3.0, -2.0, 7.0])), [3, -2, 7], atol=1e-5)


def test_a_rotation_is_about_x_then_y_then_z():
    from scipy.spatial.transform import Rotation

    from deqjax.registration.transforms.rotation import rotation

    angles = np.array([0.3, -0.4, 0.8])
    np.testing.assert_allclose(rotation(jnp.asarray(angles)), Rotation.from_euler("xyz", angles).as_matrix(), atol=1e-6)


@PLANE_AND_SLOWLY_SPACE
def test_halving_the_lattice_keeps_the_free_form_map(ndim):
    grid, setting = oblique_grid(ndim, 0), transforms.FreeForm(spacing=6.0)
    coarse = jnp.asarray(np.random.RandomState(0).randn(*setting.init(grid, 2).shape))
    fine = setting.refine(coarse, setting.init(grid, 1))
    points = inner_points(grid, 1)
    expected = setting.map(coarse, grid, 2).apply_points(points)
    np.testing.assert_allclose(setting.map(fine, grid, 1).apply_points(points), expected, atol=1e-4)


def test_control_points_of_equal_displacement_translate():
    grid, setting = oblique_grid(3, 0), transforms.FreeForm(spacing=6.0)
    moved = setting.map(jnp.ones_like(setting.init(grid)), grid).displacement(grid)
    np.testing.assert_allclose(moved, 1, atol=1e-4)


def test_a_velocity_flows_as_its_matrix_exponential():
    grid = Grid.of((41, 41), spacing=1.0, origin=-20.0)
    matrix = jnp.array([[0.1, -0.2], [0.15, -0.05]])
    map, points = transforms.VelocityMap(grid.points() @ matrix.T, grid), jnp.array([[4.0, 3.0], [-5.0, 2.0]])
    np.testing.assert_allclose(map.apply_points(points), points @ jax.scipy.linalg.expm(matrix).T, atol=5e-3)


def test_composite_applies_first_to_last_and_multiplies_determinants():
    grid = oblique_grid(2, 0)
    maps = random_map("affine", grid, 1), random_map("free_form", grid, 2)
    both, points = transforms.Composite(maps), inner_points(grid, 3)
    np.testing.assert_allclose(both.apply_points(points), maps[1].apply_points(maps[0].apply_points(points)))
    np.testing.assert_allclose(both.jacobian_determinant(points), jacobian_determinant(both, points), atol=1e-4)
    np.testing.assert_allclose(both.inverse().apply_points(both.apply_points(points)), points, atol=0.02)


def test_maps_pass_through_jit_and_vmap():
    grid = oblique_grid(2, 0)
    map, points = random_map("free_form", grid, 1), inner_points(grid, 2)
    apply = jax.jit(lambda map, points: map.apply_points(points))
    np.testing.assert_allclose(apply(map, points), map.apply_points(points), atol=1e-5)
    shifted = jax.vmap(lambda offset: transforms.LinearMap(jnp.eye(2), offset).apply_points(points))(jnp.ones((3, 2)))
    assert shifted.shape == (3, 40, 2)


def test_a_lattice_needs_a_spacing():
    with pytest.raises(ValueError, match="above zero"):
        transforms.FreeForm(spacing=0.0)
