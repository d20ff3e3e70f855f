"""Registration of images by attention, and its training."""

from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deqjax.registration import (
    Grid,
    ImageAttention,
    register_by_network,
    regularizers,
    similarities,
    transforms,
    warp,
)
from deqjax.registration.learning import PairBatch, RegistrationProblem, checked_images, pair_at
from deqjax.registration.nets.image_attention import CARL
from deqjax.registration.objectives import Unsupervised

BRAINS = Path(__file__).parents[3] / "shared/data/registration/oasis2d_000_079.npz"
SMALL = ImageAttention(width=8, radius=9.0)


def spots(size, seed, count=30):
    """Make bright spots of several widths in the middle half of a dark square."""
    random = np.random.RandomState(seed)
    points = Grid.of((size, size)).points()
    centres, widths = random.uniform(0.3, 0.7, (count, 2)) * size, random.uniform(2, 8, count)
    return sum(jnp.exp(-jnp.sum((points - p) ** 2, -1) / w) for p, w in zip(centres, widths))


def start(attention, image, seed=0):
    return jax.jit(attention.init)(jax.random.key(seed), image, image, Grid.of(image.shape))


def mean_error(mapping, truth, image):
    """Return the mean distance of two maps where the image is bright, in mm."""
    points = Grid.of(image.shape).points()[image > 0.1]
    return float(jnp.mean(jnp.linalg.norm(mapping.apply_points(points) - truth.apply_points(points), axis=-1)))


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_untrained_features_find_a_known_shift(seed):
    fixed = spots(64, seed)
    shift = transforms.LinearMap(jnp.eye(2), jnp.array([4.0, -3.0]))
    grid = Grid.of(fixed.shape)
    moving = warp(fixed, shift.inverse(), grid, grid)
    found = register_by_network(fixed, moving, SMALL, start(SMALL, fixed, seed))
    assert mean_error(found, shift, fixed) < 0.4 * 5.0


@pytest.mark.slow
def test_shifting_both_images_by_a_coarse_step_shifts_the_map():
    fixed, moving = spots(112, 0), spots(112, 1)
    parameters = start(SMALL, fixed)
    register = lambda f, m: np.asarray(register_by_network(f, m, SMALL, parameters).displacement(Grid.of(f.shape)))
    before, after = register(fixed, moving), register(*(jnp.roll(i, (4, -4), (0, 1)) for i in (fixed, moving)))
    inner = np.s_[40:72, 40:72]
    assert np.abs(before[inner]).max() > 1
    np.testing.assert_allclose(np.roll(after, (-4, 4), (0, 1))[inner], before[inner], atol=0.02)


def test_shifting_the_moving_image_by_a_coarse_step_adds_it_to_the_map():
    attention = ImageAttention(width=8, passes=1)
    image = spots(96, 0)
    parameters = start(attention, image)
    # So low a temperature that the attention selects one point.
    parameters["params"]["log_temperature"] = jnp.array(-9.0)
    found = register_by_network(image, jnp.roll(image, 4, 0), attention, parameters)
    inner = found.displacement(Grid.of(image.shape))[40:56, 40:56]
    np.testing.assert_allclose(inner, jnp.broadcast_to(jnp.array([4.0, 0.0]), inner.shape), atol=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("outside", [0, 2])
def test_turning_both_images_turns_the_map(outside):
    fixed, moving, grid = spots(49, 0), spots(49, 1), Grid.of((49, 49))
    attention = ImageAttention(width=8, radius=9.0, passes=1, outside=outside, turns=True)
    parameters = start(attention, fixed)

    def find(*images):
        found: Any = attention.apply(parameters, *images, grid)
        return np.asarray(found.vectors)

    before, after = find(fixed, moving), find(jnp.rot90(fixed), jnp.rot90(moving))
    turned = np.rot90(before)[..., ::-1] * [-1, 1]  # The second axis becomes the first one, which is reversed.
    assert np.abs(before).max() > 1
    np.testing.assert_allclose(after, turned, atol=1e-3)


@pytest.mark.slow
def test_turning_a_volume_turns_the_map_and_any_size_has_a_map():
    shape = (13, 9, 13)
    grid = Grid.of(shape)
    fixed, moving = (jnp.exp(-jnp.sum((grid.points() - jnp.array(c)) ** 2, -1) / 20) for c in ((5, 4, 7), (6, 5, 5)))
    attention = ImageAttention(width=4, radius=9.0, passes=1, turns=True)
    parameters = attention.init(jax.random.key(0), fixed, moving, grid)

    def find(*images):
        found: Any = attention.apply(parameters, *images, grid)
        return np.asarray(found.vectors)

    before, after = find(fixed, moving), find(*(jnp.rot90(image, axes=(0, 2)) for image in (fixed, moving)))
    np.testing.assert_allclose(after, np.rot90(before, axes=(0, 2))[..., [2, 1, 0]] * [-1, 1, 1], atol=1e-3)
    even = Grid.of((10, 12))
    images = jnp.moveaxis(even.points(), -1, 0)
    assert attention.init_with_output(jax.random.key(0), *images, even)[0].vectors.shape == (10, 12, 2)


@pytest.mark.slow
def test_points_outside_keep_a_region_without_structure_in_place():
    flat, grid = jnp.zeros((24, 20)), Grid.of((24, 20))
    largest = []
    for outside in (0, 3):
        attention = ImageAttention(width=8, radius=9.0, passes=1, outside=outside)
        parameters = attention.init(jax.random.key(0), flat, flat, grid)
        found: Any = attention.apply(parameters, flat, flat, grid)
        largest.append(float(jnp.abs(found.vectors).max()))
    assert largest[0] > 1
    assert largest[1] < 1e-3


@pytest.mark.slow
def test_a_shift_of_the_moving_image_adds_to_the_map_with_points_outside_and_a_norm_of_the_features():
    image = spots(48, 0)
    attention = ImageAttention(width=8, radius=9.0, passes=1, outside=3, feature_norm=16.0)
    parameters = start(attention, image)
    still, moved = (
        register_by_network(image, jnp.roll(image, k, 0), attention, parameters).displacement(Grid.of(image.shape))
        for k in (0, 4)
    )
    np.testing.assert_allclose(
        (moved - still)[18:30, 18:30], jnp.broadcast_to(jnp.array([4.0, 0]), (12, 12, 2)), atol=0.02
    )


@pytest.mark.slow
def test_blocks_and_the_norm_of_the_features_do_not_change_the_map():
    """A norm of 4 is a temperature of 1 / 16; blocks of rows have the values and the gradients of one block."""
    fixed, moving, grid = spots(32, 0), spots(32, 1), Grid.of((32, 32))
    plain, other = ImageAttention(width=4, passes=1), ImageAttention(width=4, passes=1, feature_norm=4.0, block=25)
    parameters = plain.init(jax.random.key(0), fixed, moving, grid)["params"]
    parameters["log_temperature"] = -jnp.log(jnp.array(16.0))
    layers = {name: value for name, value in parameters.items() if name != "log_temperature"}

    def size(params, network, more):
        return jnp.sum(network.apply({"params": params | more}, fixed, moving, grid).vectors ** 2)

    rest = {"log_temperature": parameters["log_temperature"]}
    expected, found = (
        jax.jit(jax.value_and_grad(partial(size, network=network, more=more)))(layers)
        for network, more in ((plain, rest), (other, {}))
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-3, atol=1e-3), found, expected)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(33, 28), (17, 20, 19)])
def test_what_carl_adds_works_in_2d_and_3d_and_every_parameter_has_a_gradient(shape):
    grid, attention = Grid.of(shape, spacing=1.5), ImageAttention(width=8, passes=1, block=64, **CARL)
    fixed, moving = (jnp.exp(-jnp.sum((grid.points() - c) ** 2, -1) / 40) for c in (11.0, 14.0))
    parameters = attention.init(jax.random.key(0), fixed, moving, grid)
    assert {"refinement_0", "refinement_1", "GroupNorm_0"} < set(parameters["params"])
    assert "log_temperature" not in parameters["params"]
    difference = lambda found: jnp.mean((warp(moving, found, grid, grid) - fixed) ** 2)
    found, gradients = jax.jit(jax.value_and_grad(lambda p: difference(attention.apply(p, fixed, moving, grid))))(
        parameters
    )
    assert float(found) < 0.6 * float(jnp.mean((moving - fixed) ** 2))
    used = [np.any(gradient) for gradient in jax.tree.leaves(gradients)]
    assert np.mean(used) > 0.9
    assert all(np.all(np.isfinite(gradient)) for gradient in jax.tree.leaves(gradients))


def test_the_map_depends_on_the_grids_and_init():
    image = spots(64, 0)
    grid = Grid.of(image.shape, spacing=2.0, origin=(5.0, -7.0))
    moved = Grid.of(image.shape, spacing=2.0, origin=(105.0, -7.0))
    init = transforms.LinearMap(jnp.eye(2), jnp.array([100.0, 0.0]))
    attention = ImageAttention(width=8, radius=18.0, smoothing=8.0)
    moving = jnp.roll(image, 3, 0)
    found = register_by_network(
        image, moving, attention, start(attention, image), init, fixed_grid=grid, moving_grid=moved
    )
    plain = register_by_network(image, moving, ImageAttention(width=8, radius=9.0), start(attention, image))
    expected = 2 * plain.displacement(Grid.of(image.shape)) + jnp.array([100.0, 0.0])
    np.testing.assert_allclose(found.displacement(grid), expected, atol=0.01)


def test_every_parameter_has_a_finite_gradient():
    images = jnp.stack([spots(32, 0), spots(32, 1)])
    grid = Grid.of((32, 32))
    objective = Unsupervised(regularizer=regularizers.Diffusion()).bind(RegistrationProblem(SMALL, grid))
    batch = PairBatch(images, images[::-1])
    keys = jax.random.split(jax.random.key(0), 2)
    value = lambda parameters: objective({"network": parameters}, {}, batch, keys, None)[0]
    gradients = jax.tree.leaves(jax.jit(jax.grad(value))(start(SMALL, images[0])))
    assert len(gradients) == 9
    assert all(np.all(np.isfinite(gradient)) and np.any(gradient) for gradient in gradients)


def test_the_pairs_depend_on_the_seed_and_the_step_alone():
    pairs = np.stack([pair_at(5, 3, seed=1, step=step) for step in range(200)])
    assert pairs.shape == (200, 3, 2)
    assert np.all(pairs[..., 0] != pairs[..., 1])
    assert {tuple(pair) for pair in pairs.reshape(-1, 2).tolist()} == {
        (i, j) for i in range(5) for j in range(5) if i != j
    }
    np.testing.assert_array_equal(pair_at(5, 3, seed=1, step=17), pairs[17])
    assert not np.array_equal(pairs, np.stack([pair_at(5, 3, seed=2, step=step) for step in range(200)]))


def test_checked_images_returns_the_images_and_their_grid():
    images, grid = checked_images(jnp.stack([jnp.eye(5), 1 - jnp.eye(5)]), Grid.of((5, 5), spacing=2.0))
    assert isinstance(images, np.ndarray)
    np.testing.assert_array_equal(grid.spacing(), 2)
    with pytest.raises(ValueError, match="image 0: an image of shape"):
        checked_images(images, Grid.of((4, 5)))


@pytest.mark.parametrize(
    ("fixed", "moving", "message"),
    [
        (np.ones((16, 16)), np.eye(16), "fixed: every voxel is 1.0"),
        (np.eye(16), np.full((16, 16), np.nan), "moving: the image contains values that are not finite"),
        (np.eye(16), np.eye(16) * 1j, "complex"),
        (np.eye(16), np.arange(64.0).reshape(4, 4, 4), "dimension|2-D"),
        (np.arange(16.0), np.arange(16.0), "2-D or 3-D"),
    ],
)
def test_images_that_cannot_be_registered_raise(fixed, moving, message):
    parameters = start(SMALL, jnp.eye(16))
    with pytest.raises(ValueError, match=message):
        register_by_network(fixed, moving, SMALL, parameters)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.eye(16), "at least two images"),
        (np.eye(16)[None], "at least two images"),
        (np.stack([np.eye(16)] * 2) * 1j, "complex"),
        (np.stack([np.eye(16), np.zeros((16, 16))]), "image 1: every voxel is 0.0"),
    ],
)
def test_images_that_are_not_suited_to_training_raise(images, message):
    with pytest.raises(ValueError, match=message):
        checked_images(images)


@pytest.mark.skipif(not BRAINS.exists(), reason="the 2-D brains are not available")
@pytest.mark.slow
def test_untrained_features_reduce_the_difference_of_two_brains():
    fixed, moving = (jnp.asarray(brain) for brain in np.load(BRAINS)["images"][60:62])
    grid = Grid.of(fixed.shape)
    found = register_by_network(fixed, moving, ImageAttention(width=8), start(ImageAttention(width=8), fixed))
    difference = lambda image: float(similarities.NCC()(fixed, image, jnp.ones(grid.shape), grid))
    assert difference(warp(moving, found, grid, grid)) < difference(moving) - 0.02
