"""Registration of two images from coarse to fine."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from geometry import oblique_grid

from deqjax.registration import (
    Grid,
    align_centres,
    measures,
    optimizers,
    register,
    regularizers,
    similarities,
    transforms,
    warp,
)


def head(points, centre):
    """Evaluate an image of a smooth bright shape with spots at points."""
    x = points - centre
    spots = np.random.RandomState(3).uniform(-7, 7, (12, points.shape[-1]))
    return jnp.exp(-jnp.sum(x**2, -1) / 120) + sum(
        (-1) ** k * 0.5 * jnp.exp(-jnp.sum((x - s) ** 2, -1) / 6) for k, s in enumerate(spots)
    )


def pair(ndim, truth, shape=None):
    """Make a fixed and a moving image on two oblique grids, such that ``truth`` maps one to the other."""
    fixed_grid = oblique_grid(ndim, 1, shape or (29,) * ndim)
    away = Grid(jnp.asarray(np.asarray(oblique_grid(ndim, 2).affine)), (31,) * ndim)
    shift = fixed_grid.centre() - away.centre()
    moving_grid = Grid(away.affine.at[:-1, -1].add(shift), away.shape)
    centre = fixed_grid.centre()
    fixed = head(truth.apply_points(fixed_grid.points()), centre)
    return fixed, head(moving_grid.points(), centre), fixed_grid, moving_grid


def linear_truth(ndim, grid, size=0.06):
    parameters = size * np.random.RandomState(5).randn(ndim * (ndim + 1))
    parameters[-ndim:] *= 20
    return transforms.Affine().map(jnp.asarray(parameters), grid)


def error(found, truth, grid):
    inside = tuple(slice(8, -8) for _ in range(grid.ndim))
    points = grid.points()[inside]
    return float(jnp.mean(measures.target_error(found, points, truth.apply_points(points))))


@pytest.mark.parametrize("ndim", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_gauss_newton_finds_an_affine_map_between_oblique_anisotropic_grids(ndim):
    truth = linear_truth(ndim, oblique_grid(ndim, 1, (29,) * ndim))
    fixed, moving, fixed_grid, moving_grid = pair(ndim, truth)
    found = register(
        fixed, moving, transforms.Affine(), levels=(2.0, 1.0), fixed_grid=fixed_grid, moving_grid=moving_grid
    )
    before = error(transforms.LinearMap(jnp.eye(ndim), jnp.zeros(ndim)), truth, fixed_grid)
    assert before > 1
    assert error(found.map, truth, fixed_grid) < 0.1
    assert found.measures["similarity_after"] < 0.05 * found.measures["similarity_before"]


@pytest.mark.parametrize(
    ("similarity", "optimizer"),
    [
        pytest.param(similarities.NCC(), None, marks=pytest.mark.slow),
        pytest.param(similarities.LocalNCC(width=5.0), None, marks=pytest.mark.slow),
        pytest.param(similarities.MutualInformation(), None, marks=pytest.mark.slow),
        pytest.param(similarities.MIND(), None, marks=pytest.mark.slow),
        pytest.param(similarities.NGF(), None, marks=pytest.mark.slow),
        (similarities.MSE(), optimizers.Adam(steps=80)),
    ],
    ids=["NCC", "LocalNCC", "MutualInformation", "MIND", "NGF", "Adam"],
)
def test_every_similarity_and_optimizer_finds_a_rigid_map(similarity, optimizer):
    grid = oblique_grid(2, 1, (29, 29))
    truth = transforms.Rigid().map(jnp.array([0.1, 1.5, -1.0]), grid)
    fixed, moving, fixed_grid, moving_grid = pair(2, truth)
    moving = (
        moving
        if isinstance(similarity, similarities.MSE)
        else 2 - 1.5 * moving
        if isinstance(similarity, (similarities.MutualInformation, similarities.MIND, similarities.NGF))
        else 2 + 1.5 * moving
    )
    found = register(
        fixed,
        moving,
        transforms.Rigid(),
        similarity,
        levels=(1.0,),
        optimizer=optimizer,
        fixed_grid=fixed_grid,
        moving_grid=moving_grid,
    )
    assert error(found.map, truth, fixed_grid) < 0.25


@pytest.mark.parametrize(
    "transform",
    [
        pytest.param(transforms.FreeForm(spacing=7.0), marks=pytest.mark.slow),
        pytest.param(transforms.Dense(smoothing=4.0), marks=pytest.mark.slow),
        pytest.param(transforms.Velocity(smoothing=4.0), marks=pytest.mark.slow),
    ],
    ids=["free_form", "dense", "velocity"],
)
def test_a_deformation_is_found_after_an_affine_start_without_folds(transform):
    grid = oblique_grid(2, 1, (29, 29))
    bend = lambda points: 1.2 * jnp.sin((points - grid.centre()) @ jnp.array([[0.15, 0.1], [-0.1, 0.15]]))
    start = linear_truth(2, grid, 0.03)
    truth = transforms.Composite((transforms.DisplacementMap(bend(grid.points()), grid), start))
    fixed, moving, fixed_grid, moving_grid = pair(2, truth)
    found = register(
        fixed,
        moving,
        transform,
        regularizer=regularizers.Bending(0.01),
        levels=(2.0, 1.0),
        init=start,
        fixed_grid=fixed_grid,
        moving_grid=moving_grid,
    )
    assert error(start, truth, fixed_grid) > 0.8
    assert error(found.map, truth, fixed_grid) < 0.3
    assert float(found.measures["folded_fraction"]) == 0
    warped = warp(moving, found.map, fixed_grid, moving_grid)
    assert float(jnp.abs(warped - fixed)[8:-8, 8:-8].mean()) < 0.03


def test_complex_images_are_registered_by_magnitude_and_phase():
    grid = Grid.of((24, 24))
    truth = transforms.LinearMap(jnp.eye(2), jnp.array([1.0, -0.7]))
    phased = lambda points: jnp.exp(1j * jnp.sin(points @ jnp.array([0.4, 0.3]))) * head(points, grid.centre())
    fixed, moving = phased(truth.apply_points(grid.points())), phased(grid.points())
    found = register(fixed, moving, transforms.Translation(), similarities.Perpendicular(), levels=(1.0,))
    np.testing.assert_allclose(found.map.apply_points(jnp.zeros(2)), truth.offset, atol=0.1)


@pytest.mark.slow
def test_voxels_outside_the_mask_have_no_influence():
    grid = Grid.of((30, 30))
    fixed, moving = head(grid.points() + jnp.array([1.0, 0.0]), grid.centre()), head(grid.points(), grid.centre())
    changed = fixed.at[22:].set(3.0)
    mask = jnp.ones(grid.shape).at[19:].set(0)
    found = register(changed, moving, transforms.Translation(), mask=mask, levels=(1.0,))
    np.testing.assert_allclose(found.map.apply_points(jnp.zeros(2)), [1.0, 0.0], atol=0.05)


def test_distant_images_are_registered_from_their_centres_of_mass():
    grid = Grid.of((30, 30))
    far = Grid.of((30, 30), origin=100.0)
    fixed, moving = head(grid.points(), grid.centre()), head(far.points() + 1.5, far.centre())
    with pytest.raises(ValueError, match="overlap"):
        register(fixed, moving, transforms.Translation(), levels=(1.0,), fixed_grid=grid, moving_grid=far)
    start = align_centres(fixed, moving, grid, far)
    found = register(
        fixed, moving, transforms.Translation(), init=start, levels=(1.0,), fixed_grid=grid, moving_grid=far
    )
    np.testing.assert_allclose(found.map.apply_points(jnp.zeros(2)), [98.5, 98.5], atol=0.1)


@pytest.mark.parametrize("shape", [(13, 7), pytest.param((9, 31), marks=pytest.mark.slow)])
def test_odd_sizes_are_registered_and_the_result_is_deterministic(shape):
    grid = Grid.of(shape)
    fixed, moving = head(grid.points() + 0.5, grid.centre()), head(grid.points(), grid.centre())
    once, twice = (register(fixed, moving, transforms.FreeForm(spacing=5.0), levels=(2.0, 1.0)) for _ in range(2))
    assert once.measures["similarity_after"] < 0.2 * once.measures["similarity_before"]
    assert all(jax.tree.leaves(jax.tree.map(lambda a, b: np.array_equal(a, b, equal_nan=True), once, twice)))


@pytest.mark.slow
def test_the_history_decreases_and_ends_at_convergence():
    grid = Grid.of((20, 20))
    fixed, moving = head(grid.points() + 0.5, grid.centre()), head(grid.points(), grid.centre())
    (values,) = register(fixed, moving, transforms.Translation(), levels=(1.0,)).history
    values = values[~np.isnan(values)]
    assert 2 < len(values) < 20
    assert values[-1] < 0.1 * values[0]


IMAGE = np.random.RandomState(0).rand(12, 12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"moving": np.random.rand(12, 12, 12)}, "2-D and the moving image is 3-D"),
        ({"fixed": np.ones((12, 12))}, "constant"),
        ({"moving": np.full((12, 12), np.nan)}, "not finite"),
        ({"mask": np.zeros((12, 12))}, "some above 0"),
        ({"mask": np.ones((3, 3))}, "shape"),
        ({"mask": -np.ones((12, 12))}, "none below 0"),
        ({"mask": np.where(IMAGE > 0.9, np.inf, 1)}, "finite weights"),
        ({"mask": 1j * np.ones((12, 12))}, "real weights"),
        ({"fixed": 1e-30 * IMAGE}, "values up to 9.9e-31: multiply both images by 1e[+]30"),
        ({"moving": 1e20 * IMAGE}, "values up to 9.9e[+]19: multiply both images by 1e-20"),
        ({"init": transforms.LinearMap(jnp.eye(3), jnp.zeros(3))}, "points of 2 coordinates"),
        ({"levels": (float("nan"),)}, "levels"),
        ({"levels": ()}, "levels"),
        ({"similarity": similarities.NGF(), "optimizer": optimizers.GaussNewton()}, "needs LBFGS"),
        ({"levels": (1.0, 2.0)}, "coarse to fine"),
        ({"levels": (1.0, -2.0)}, "above zero"),
        ({"fixed_grid": Grid.of((4, 4))}, "does not match"),
        ({"fixed_grid": Grid(jnp.diag(jnp.array([1.0, 0.0, 1.0])), (12, 12))}, "above zero"),
        ({"moving_grid": Grid(jnp.ones((3, 3)), (12, 12))}, "singular"),
    ],
)
def test_invalid_input_raises(arguments, message):
    given = {"fixed": IMAGE, "moving": IMAGE, "transform": transforms.Translation()} | arguments
    with pytest.raises(ValueError, match=message):
        register(**given)


def test_a_registration_goes_on_from_the_parameters_of_an_earlier_one():
    fixed, moving = (head(Grid.of((20, 18)).points(), jnp.array(centre)) for centre in ((10.0, 9.0), (11.0, 8.0)))
    found = register(fixed, moving, transforms.Translation(), levels=(1.0,))
    again = register(fixed, moving, transforms.Translation(), levels=(1.0,), start=found.parameters)
    assert float(again.history[0][0]) < 0.01 * float(found.history[0][0])
    moved = again.map.apply_points(jnp.zeros(2))
    np.testing.assert_allclose(moved, jnp.array([1.0, -1.0]), atol=0.01)
    with pytest.raises(ValueError, match=r"start has the shape \(3,\), and the parameters on the first level \(2,\)"):
        register(fixed, moving, transforms.Translation(), levels=(1.0,), start=np.zeros(3))
