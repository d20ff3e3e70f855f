"""What a registration does with input and results that cannot be trusted: NaN, lost overlap, no convergence, types."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deqjax.registration import (
    Grid,
    Registration,
    optimizers,
    register,
    register_pairs,
    regularizers,
    similarities,
    transforms,
)
from deqjax.registration.starts import STARTS, find_start

GRID = Grid.of((24, 23))
IDENTITY = transforms.LinearMap(jnp.eye(2), jnp.zeros(2))
FAST: dict[str, Any] = {"transform": transforms.Translation(), "levels": (1.0,)}


def spots(centre: Any, grid: Grid = GRID) -> np.ndarray:
    """Make an image of a large and a small bright spot."""
    away = np.asarray(grid.points()) - np.asarray(centre)
    large, small = (away / [4, 6]) ** 2, ((away - [3, -2]) / 2) ** 2
    return (np.exp(-large.sum(-1)) + 0.6 * np.exp(-small.sum(-1))).astype(np.float32)


FIXED, MOVING = spots([11.0, 11.0]), spots([12.2, 10.4])


def offset(found: Registration) -> np.ndarray:
    return np.asarray(found.map.apply_points(jnp.zeros(2)))


@pytest.mark.parametrize("optimizer", [optimizers.LBFGS(), optimizers.Adam(), optimizers.GaussNewton()])
@pytest.mark.parametrize("gain", [1.0, 1e-9, 1e9])
def test_no_optimizer_leaves_the_view_whatever_the_unit(optimizer, gain):
    found = register(gain * FIXED, gain * MOVING, similarity=similarities.MSE(), optimizer=optimizer, **FAST)
    np.testing.assert_allclose(offset(found), [1.2, -0.6], atol=0.1)
    assert found.status.good
    assert float(found.status.overlap) > 0.8


@pytest.mark.parametrize(
    "similarity",
    [
        similarities.NCC(),
        similarities.MutualInformation(16),
        *(
            pytest.param(similarity, marks=pytest.mark.slow)
            for similarity in (similarities.LocalNCC(), similarities.NGF(), similarities.MIND())
        ),
    ],
)
@pytest.mark.parametrize(("gain", "shift"), [(1e-9, 0.0), (1e9, 0.0), (1000.0, -1024.0)])
def test_a_registration_does_not_depend_on_the_unit(similarity, gain, shift):
    expected = offset(register(FIXED, MOVING, similarity=similarity, **FAST))
    found = offset(register(gain * FIXED + shift, gain * MOVING + shift, similarity=similarity, **FAST))
    np.testing.assert_allclose(found, expected, atol=0.02)


@pytest.mark.parametrize("similarity", [similarities.MSE(), similarities.NGF()])
def test_an_optimum_out_of_view_is_not_found_and_flagged(similarity):
    # The part of the fixed image that differs from the moving image begins at voxel 6: without it, they agree.
    stripes = np.where(np.arange(24) < 6, 0, 5 + np.sin(2.0 * np.arange(24)))[:, None] + FIXED
    evolution = optimizers.Evolution(steps=40, spread=12.0)
    found = register(stripes, 1e-3 * MOVING, similarity=similarity, optimizer=evolution, **FAST)
    assert float(found.status.overlap) >= 0.5
    if isinstance(similarity, similarities.MSE):
        assert not bool(found.status.in_view)
        assert not found.status.good
        assert "OUT OF VIEW" in str(found.status)


def test_the_status_says_which_levels_converged():
    given = FAST | {"levels": (2.0, 1.0)}
    short = register(FIXED, MOVING, optimizer=optimizers.Adam(steps=5, learning_rate=0.05), **given).status
    assert not bool(short.converged)
    assert not short.good
    assert "NOT CONVERGED" in str(short)
    long = register(FIXED, MOVING, **given).status
    assert long.good
    assert long.levels.shape == (2,)
    assert "in view" in str(long)


def test_the_status_of_images_that_agree_already_is_good():
    assert register(FIXED, FIXED, **FAST).status.good


def test_the_status_of_a_batch_has_an_axis_of_pairs():
    found = register_pairs(np.stack([FIXED, MOVING]), np.stack([MOVING, FIXED]), **FAST)
    assert found.status.converged.shape == (2,)
    assert found.status.levels.shape == (2, 1)
    assert "2 of 2 pairs" in str(found.status)


def with_nan(image: np.ndarray, where: Any) -> np.ndarray:
    image = image.copy()
    image[where] = np.nan
    return image


RIM = np.hypot(*(np.moveaxis(np.asarray(GRID.points()), -1, 0) - 11.5)) > 10
NAN = {
    "fixed rim": (with_nan(FIXED, RIM), MOVING),
    "moving rim": (FIXED, with_nan(MOVING, RIM)),
    "both": (with_nan(FIXED, RIM), with_nan(MOVING, RIM)),
    "one voxel": (with_nan(FIXED, (11, 11)), MOVING),
    "moving slab": (FIXED, with_nan(MOVING, np.s_[:5])),
    "fixed columns": (with_nan(FIXED, np.s_[:, 19:]), MOVING),
    "checkerboard": (with_nan(FIXED, np.s_[::2, ::2]), MOVING),
    "random": (with_nan(FIXED, np.random.RandomState(0).rand(24, 23) < 0.3), MOVING),
    "moving corner": (FIXED, with_nan(MOVING, np.s_[:4, :4])),
    "complex": (with_nan(FIXED.astype(np.complex64), RIM), MOVING.astype(np.complex64)),
    "masked array": (np.ma.masked_array(np.where(RIM, 9, FIXED), mask=RIM), MOVING),
    "masked array of integers": (np.ma.masked_array((100 * FIXED).astype(int) + 50 * RIM, mask=RIM), 100 * MOVING),
}


@pytest.mark.parametrize("name", NAN)
def test_nan_counts_as_masked(name):
    found = register(*NAN[name], **FAST)
    np.testing.assert_allclose(offset(found), [1.2, -0.6], atol=0.1)
    assert all(np.isfinite(float(value)) for value in found.measures.values())


def test_nan_in_a_batch_and_in_a_mask_counts_as_masked():
    found = register_pairs(np.stack([NAN["both"][0], FIXED]), np.stack([NAN["both"][1], MOVING]), **FAST)
    moved = jax.vmap(lambda mapping: mapping.apply_points(jnp.zeros(2)))(found.map)
    np.testing.assert_allclose(moved, jnp.array([[1.2, -0.6]] * 2), atol=0.1)
    mask = with_nan(np.ones(GRID.shape), RIM)
    np.testing.assert_allclose(offset(register(FIXED, MOVING, mask=mask, **FAST)), [1.2, -0.6], atol=0.1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fixed": np.where(RIM, np.inf, FIXED)}, "not finite"),
        ({"fixed": with_nan(FIXED, RIM), "mask": RIM}, "every voxel of the mask is NaN"),
        ({"fixed": np.full((24, 23), "a")}, "numbers"),
        ({"moving": np.where(RIM, np.nan, 1.0)}, "constant"),
    ],
)
def test_input_without_information_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        register(**({"fixed": FIXED, "moving": MOVING} | FAST | arguments))


TYPES = (
    np.dtype(">f4"),
    np.dtype(">i2"),
    np.float16,
    np.float32,
    np.float64,
    np.uint8,
    np.int16,
    np.int32,
    np.int64,
    np.uint64,
    np.complex64,
)


@pytest.mark.parametrize("dtype", TYPES)
def test_every_type_of_image_is_registered_in_both_precisions(dtype):
    fixed, moving = ((100 * image).astype(dtype) for image in (FIXED, MOVING))
    for enabled in (False, True):
        with jax.enable_x64(enabled):
            found = register(fixed, moving, **FAST)
            assert offset(found).dtype == (jnp.float64 if enabled else jnp.float32)
            np.testing.assert_allclose(offset(found), [1.2, -0.6], atol=0.1)


@pytest.mark.parametrize(
    "transform",
    [
        transforms.Affine(),
        *(pytest.param(one, marks=pytest.mark.slow) for one in (transforms.FreeForm(9.0), transforms.Velocity())),
    ],
)
def test_float32_images_and_grids_are_registered_in_float64(transform, float64):
    grid = Grid(jnp.eye(3, dtype=jnp.float32), GRID.shape)
    init = transforms.LinearMap(jnp.eye(2, dtype=jnp.float32), jnp.zeros(2, jnp.float32))
    given = FAST | {"transform": transform, "levels": (2.0, 1.0), "regularizer": regularizers.Bending(0.01)}
    found = register(FIXED, MOVING, init=init, fixed_grid=grid, moving_grid=grid, **given)
    assert float(found.measures["similarity_after"]) < 0.3 * float(found.measures["similarity_before"])


@pytest.mark.parametrize("sizes", [(3.0, 2.0), (3.0, 2.0, 1.0), (5.0, 3.0), (4.0, 1.0)])
@pytest.mark.parametrize("setting", [transforms.Dense(0.0), transforms.Velocity(0.0)])
def test_a_field_passes_between_levels_by_the_ratio_of_the_voxel_sizes(sizes, setting):
    grid, factors = Grid.of((31, 26)), [int(size) for size in sizes]
    coarse, fine = (grid.strided((f, f)) for f in factors[:2])
    ramp = lambda level: 0.01 * level.points()
    refined = setting.refine(ramp(coarse), setting.init(fine), (factors[0] / factors[1],) * 2)
    inside = np.s_[: (30 // factors[0]) * factors[0] // factors[1], : (25 // factors[0]) * factors[0] // factors[1]]
    np.testing.assert_allclose(refined[inside], ramp(fine)[inside], atol=1e-5)


SLABS = {"first": (0, 12), "middle": (5, 16), "last": (10, 24), "wide": (3, 21), "whole": (0, 24)}


@pytest.mark.parametrize("slab", SLABS)
def test_a_slab_with_the_right_header_starts_from_the_header(slab):
    low, high = SLABS[slab]
    moving_grid = Grid.of((high - low, 23), origin=(low, 0.0))
    _, name = find_start(None, FIXED, FIXED[low:high], GRID, moving_grid, similarities.NCC())
    assert name == "header"


@pytest.mark.parametrize("shift", [(100.0, 0.0), (9.0, 0.0), (0.0, -12.0), (-300.0, 50.0)])
def test_an_image_with_a_wrong_header_starts_from_the_centres(shift):
    moved = Grid.of(GRID.shape, origin=shift)
    start, name = find_start(None, FIXED, FIXED, GRID, moved, similarities.NCC())
    assert name == "centres"
    np.testing.assert_allclose(start.offset, shift, atol=0.5)


@pytest.mark.parametrize("name", STARTS)
def test_every_start_is_a_rigid_map(name):
    start, found = find_start(name, FIXED, with_nan(MOVING, np.s_[:3]), GRID, GRID, similarities.NCC())
    assert found == name
    np.testing.assert_allclose(start.matrix @ start.matrix.T, np.eye(2), atol=1e-4)
    assert np.all(np.isfinite(start.offset))


def test_a_search_needs_a_curvature():
    with pytest.raises(ValueError, match="curvature"):
        find_start("search", FIXED, MOVING, GRID, GRID, similarities.NGF())


@pytest.mark.parametrize("steps", [4, 6, 8])
def test_a_smooth_velocity_below_the_stated_bound_does_not_fold(steps):
    grid = Grid.of((40, 40), spacing=0.25)
    wave = 2 * np.pi / 8
    velocity = jnp.sin(wave * grid.points()[..., ::-1] + 1) * 2.5  # slopes up to 2 mm per mm, far below 2^steps / 2
    mapping = transforms.VelocityMap(velocity, grid, steps)
    assert float(mapping.jacobian_determinant(grid.points())[2:-2, 2:-2].min()) > 0
    without_steps = transforms.VelocityMap(velocity, grid, 0)
    assert float(without_steps.jacobian_determinant(grid.points()).min()) < 0
