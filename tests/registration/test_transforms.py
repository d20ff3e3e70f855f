"""The contract of every transform and map, and what each of them adds."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.spatial
from geometry import NAMES, SETTINGS, inner_points, oblique_grid, random_map

from deqjax.registration import Grid, transforms
from deqjax.registration.transforms.jacobians import jacobian_determinant

ODD_SHAPES = {2: (23, 19), 3: (17, 13, 19)}
"""Shapes whose centre is also the centre of every second voxel."""

IDENTITY = transforms.LinearMap(jnp.eye(2), jnp.zeros(2))
LATTICE = Grid.of((5, 6), spacing=4.0, origin=-4.0)
FIELD = Grid.of((9, 12))
WAVES = 0.2 * jnp.sin(FIELD.points())
MAPS: dict[str, transforms.Map] = {
    "Composite": transforms.Composite((IDENTITY, IDENTITY)),
    "DisplacementMap": transforms.DisplacementMap(WAVES, FIELD),
    "InverseMap": transforms.InverseMap(transforms.DisplacementMap(WAVES, FIELD)),
    "LinearMap": transforms.LinearMap(1.1 * jnp.eye(2), jnp.ones(2)),
    "SplineMap": transforms.SplineMap(jnp.ones((5, 6, 2)), LATTICE),
    "VelocityMap": transforms.VelocityMap(WAVES, FIELD),
}
"""Every exported map, on a grid of 9 x 12 voxels of 1 mm."""

PROTOCOLS = {"Map", "Transform"}
FUNCTIONS = {"invert_points", "linear_map"}

LINEAR = ("Translation", "Similarity", "Affine", "RotationScaleShear")
EVERY = pytest.mark.parametrize("name", NAMES)
RIGID_FIRST = pytest.mark.parametrize(
    "name", ["Rigid", *(pytest.param(name, marks=pytest.mark.slow) for name in SETTINGS if name != "Rigid")]
)
NDIM = pytest.mark.parametrize("ndim", [2, pytest.param(3, marks=pytest.mark.slow)])


def test_every_export_has_a_row():
    assert set(transforms.__all__) == set(SETTINGS) | set(MAPS) | PROTOCOLS | FUNCTIONS


@pytest.mark.parametrize("name", SETTINGS)
def test_a_transform_is_frozen_and_hashable(name):
    setting = SETTINGS[name]
    assert type(setting) is getattr(transforms, name)
    assert setting == dataclasses.replace(setting)
    assert hash(setting) == hash(dataclasses.replace(setting))
    assert setting.__dataclass_params__.frozen


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("ndim", [2, 3])
def test_the_initial_parameters_are_the_identity(name, ndim):
    grid, setting = oblique_grid(ndim, 0), SETTINGS[name]
    points = inner_points(grid, 1)
    np.testing.assert_allclose(setting.map(setting.init(grid), grid).apply_points(points), points, atol=1e-4)


@pytest.mark.parametrize("name", SETTINGS)
@NDIM
def test_refined_parameters_are_the_same_map_on_the_next_level(name, ndim):
    setting, grid = SETTINGS[name], oblique_grid(ndim, 0, ODD_SHAPES[ndim])
    coarse_grid = grid.strided((2,) * ndim)
    coarse, fine = setting.init(coarse_grid, 2), setting.init(grid)
    np.testing.assert_array_equal(setting.refine(coarse, fine, (2.0,) * ndim), fine)
    scale = 0.03 if coarse.ndim == 1 else 1.0 if name == "FreeForm" else 3.0
    coarse = scale * jnp.asarray(np.random.RandomState(0).randn(*coarse.shape), coarse.dtype)
    refined = setting.refine(coarse, fine, (2.0,) * ndim)
    assert refined.shape == fine.shape
    points = inner_points(grid, 1)
    expected = setting.map(coarse, coarse_grid, 2).apply_points(points)
    moved = float(jnp.abs(expected - points).max())
    error = float(jnp.abs(setting.map(refined, grid).apply_points(points) - expected).max())
    assert error < (0.2 * moved if name in ("Dense", "Velocity") else 1e-4)


@pytest.mark.parametrize("name", SETTINGS)
def test_the_gradient_of_a_displacement_is_finite(name):
    grid, setting = oblique_grid(2, 0, (9, 7)), SETTINGS[name]
    gradient = jax.grad(lambda p: jnp.sum(jnp.cos(setting.displacement(p, grid) + 1)))(setting.init(grid))
    assert gradient.shape == setting.init(grid).shape
    assert np.all(np.isfinite(gradient))
    assert np.any(gradient)


@pytest.mark.parametrize("name", SETTINGS)
def test_the_field_for_a_regularizer_lies_on_its_grid(name):
    grid, setting = oblique_grid(2, 0), SETTINGS[name]
    field = setting.field(setting.init(grid), grid)
    if setting.init(grid).ndim == 1:
        assert field is None
    else:
        assert field is not None
        assert field[0].shape == (*field[1].shape, 2)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name == "InverseMap" else []) for name in MAPS]
)
def test_a_map_is_a_pytree_with_consistent_methods(name):
    mapping, points = MAPS[name], jnp.array([[3.0, 4.5], [4.2, 6.0], [5.0, 5.5]])
    assert type(mapping) is getattr(transforms, name)
    leaves, structure = jax.tree.flatten(mapping)
    copy = jax.tree.unflatten(structure, leaves)
    moved = jax.jit(lambda mapping: mapping.apply_points(points))(copy)
    np.testing.assert_allclose(moved, mapping.apply_points(points), atol=1e-5)
    displacement = mapping.displacement(FIELD)
    np.testing.assert_allclose(displacement, mapping.apply_points(FIELD.points()) - FIELD.points(), atol=2e-3)
    np.testing.assert_allclose(mapping.inverse().apply_points(moved), points, atol=0.02)
    assert np.all(mapping.jacobian_determinant(points) > 0)
    assert mapping.jacobian_determinant(points).shape == (3,)


@EVERY
@NDIM
def test_the_displacement_is_the_mapped_point_minus_the_point(name, ndim):
    grid = oblique_grid(ndim, 0)
    mapping = random_map(name, grid, 1)
    np.testing.assert_allclose(
        mapping.displacement(grid), mapping.apply_points(grid.points()) - grid.points(), atol=1e-4
    )


@EVERY
@NDIM
def test_a_transform_and_its_map_have_the_same_displacement(name, ndim):
    grid, setting = oblique_grid(ndim, 0), SETTINGS[name]
    parameters = 0.05 * jnp.asarray(np.random.RandomState(2).randn(*setting.init(grid, 2).shape))
    displacement = setting.displacement(parameters, grid, 2)
    np.testing.assert_allclose(displacement, setting.map(parameters, grid, 2).displacement(grid), atol=1e-4)


@RIGID_FIRST
@NDIM
def test_the_inverse_undoes_the_map_within_a_twentieth_of_a_voxel(name, ndim):
    grid = oblique_grid(ndim, 0)
    mapping, points = random_map(name, grid, 1), inner_points(grid, 2)
    moved = mapping.apply_points(points)
    assert float(jnp.linalg.norm(moved - points, axis=-1).max()) > 0.3
    for first, second in ((mapping, mapping.inverse()), (mapping.inverse(), mapping)):
        error = grid.index(second.apply_points(first.apply_points(points))) - grid.index(points)
        assert float(jnp.abs(error).max()) < 0.05


@RIGID_FIRST
@NDIM
def test_the_determinant_of_the_inverse_is_the_reciprocal(name, ndim):
    grid = oblique_grid(ndim, 0)
    mapping, points = random_map(name, grid, 1), inner_points(grid, 2)
    product = mapping.jacobian_determinant(points) * mapping.inverse().jacobian_determinant(
        mapping.apply_points(points)
    )
    np.testing.assert_allclose(product, 1, atol=0.02 if name == "Velocity" else 1e-3)


@pytest.mark.parametrize(
    "name", ["Rigid", "FreeForm", *(pytest.param(name, marks=pytest.mark.slow) for name in LINEAR)]
)
@NDIM
def test_the_determinant_agrees_with_finite_differences(name, ndim, float64):
    grid = oblique_grid(ndim, 0)
    mapping, points, h = random_map(name, grid, 1), inner_points(grid, 2), 1e-5
    apply = jax.jit(mapping.apply_points)
    ends = [(apply(points + h * unit) - apply(points - h * unit)) / (2 * h) for unit in np.eye(ndim)]
    np.testing.assert_allclose(
        jax.jit(mapping.jacobian_determinant)(points), np.linalg.det(np.stack(ends, -1)), atol=1e-7
    )


@NDIM
def test_a_displacement_on_an_oblique_grid_has_the_analytic_determinant(ndim):
    grid = oblique_grid(ndim, 5, (40,) * ndim)
    centre = grid.centre()
    # phi(x) = x + 0.3 sin(k . (x - c)) a has the determinant 1 + 0.3 cos(k . (x - c)) k . a.
    wave, along = jnp.array([0.11, -0.07, 0.05])[:ndim], jnp.array([1.0, -2.0, 1.5])[:ndim]
    vectors = 0.3 * jnp.sin((grid.points() - centre) @ wave)[..., None] * along
    points = inner_points(grid, 3)
    expected = 1 + 0.3 * jnp.cos((points - centre) @ wave) * jnp.dot(wave, along)
    determinant = transforms.DisplacementMap(vectors, grid).jacobian_determinant(points)
    np.testing.assert_allclose(determinant, expected, atol=2e-3)
    assert float(jnp.ptp(expected)) > 0.05


def test_a_rigid_map_preserves_distances_on_anisotropic_voxels_and_its_centre():
    grid = Grid.of((12, 14, 9), spacing=(1.0, 1.0, 4.0))
    mapping = transforms.Rigid(centre=(3.0, -2.0, 7.0)).map(jnp.array([0.4, -0.2, 0.7, 0.0, 0.0, 0.0]), grid)
    points = inner_points(grid, 0)
    distances = scipy.spatial.distance.pdist
    np.testing.assert_allclose(distances(mapping.apply_points(points)), distances(points), atol=1e-3)
    np.testing.assert_allclose(mapping.apply_points(jnp.array([3.0, -2.0, 7.0])), [3, -2, 7], atol=1e-5)


def test_the_rotation_matrix_rotates_about_x_then_y_then_z():
    from scipy.spatial.transform import Rotation

    from deqjax.registration.transforms.linear import rotation_matrix

    angles = np.array([0.3, -0.4, 0.8])
    np.testing.assert_allclose(
        rotation_matrix(jnp.asarray(angles)), Rotation.from_euler("xyz", angles).as_matrix(), atol=1e-6
    )


@NDIM
def test_halving_the_spacing_of_the_lattice_does_not_change_the_map(ndim):
    grid, setting = oblique_grid(ndim, 0), transforms.FreeForm(spacing=6.0)
    coarse = jnp.asarray(np.random.RandomState(0).randn(*setting.init(grid, 2).shape))
    fine = setting.refine(coarse, setting.init(grid, 1), (1.0,) * ndim)
    points = inner_points(grid, 1)
    expected = setting.map(coarse, grid, 2).apply_points(points)
    np.testing.assert_allclose(setting.map(fine, grid, 1).apply_points(points), expected, atol=1e-4)


def test_equal_displacements_of_the_control_points_are_a_translation():
    grid, setting = oblique_grid(3, 0), transforms.FreeForm(spacing=6.0)
    moved = setting.map(jnp.ones_like(setting.init(grid)), grid).displacement(grid)
    np.testing.assert_allclose(moved, 1, atol=1e-4)


def test_a_linear_velocity_gives_the_matrix_exponential():
    grid = Grid.of((41, 41), spacing=1.0, origin=-20.0)
    matrix = jnp.array([[0.1, -0.2], [0.15, -0.05]])
    mapping, points = transforms.VelocityMap(grid.points() @ matrix.T, grid), jnp.array([[4.0, 3.0], [-5.0, 2.0]])
    np.testing.assert_allclose(mapping.apply_points(points), points @ jax.scipy.linalg.expm(matrix).T, atol=5e-3)


def test_a_composite_applies_its_maps_in_order_and_multiplies_determinants():
    grid = oblique_grid(2, 0)
    maps = random_map("Affine", grid, 1), random_map("FreeForm", grid, 2)
    both, points = transforms.Composite(maps), inner_points(grid, 3)
    np.testing.assert_allclose(both.apply_points(points), maps[1].apply_points(maps[0].apply_points(points)))
    np.testing.assert_allclose(both.jacobian_determinant(points), jacobian_determinant(both, points), atol=1e-4)
    np.testing.assert_allclose(both.inverse().apply_points(both.apply_points(points)), points, atol=0.02)


def test_maps_can_be_arguments_of_jit_and_results_of_vmap():
    grid = oblique_grid(2, 0)
    mapping, points = random_map("FreeForm", grid, 1), inner_points(grid, 2)
    apply = jax.jit(lambda mapping, points: mapping.apply_points(points))
    np.testing.assert_allclose(apply(mapping, points), mapping.apply_points(points), atol=1e-5)
    shifted = jax.vmap(lambda offset: transforms.LinearMap(jnp.eye(2), offset).apply_points(points))(jnp.ones((3, 2)))
    assert shifted.shape == (3, 40, 2)


def test_a_spacing_of_zero_raises():
    with pytest.raises(ValueError, match="above zero"):
        transforms.FreeForm(spacing=0.0)
