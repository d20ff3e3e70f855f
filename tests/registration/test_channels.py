"""What registers beside two images: masks of the moving image, landmarks, and several channels."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from geometry import last_objective

from deqjax.registration import Grid, Landmarks, optimizers, register, register_pairs, similarities, transforms
from deqjax.registration.regularizers import Bending
from deqjax.registration.symmetric_demons import force

GRID = Grid.of((26, 23))
SHIFT = np.array([1.0, -0.6])


def spots(shift: Any, seed: int = 0) -> np.ndarray:
    """Make an image of six spots that lie at a shift from where they lie without one."""
    centres = np.random.RandomState(seed).uniform(7, 16, (6, 2)) + np.asarray(shift)
    away = np.asarray(GRID.points())[None] - centres[:, None, None]
    return np.exp(-(away**2).sum(-1) / np.array([6, 9, 12, 6, 9, 12])[:, None, None]).sum(0).astype(np.float32)


FIXED: Any
MOVING: Any
FIXED, MOVING = spots([0, 0]), spots(SHIFT)
SPOILED, USED = MOVING.copy(), np.ones(GRID.shape)
SPOILED[:, 14:] += 3 * np.random.RandomState(1).rand(26, 9)  # for example a resection in the moving scan alone
USED[:, 14:] = 0
RIGID: dict[str, Any] = {"transform": transforms.Rigid(), "levels": (2.0, 1.0), "order": 3}


def offset(found: Any) -> np.ndarray:
    return np.asarray(found.map.apply_points(jnp.array([11.0, 9.0]))) - [11, 9]


def test_points_outside_the_moving_mask_do_not_count():
    found = register(FIXED, SPOILED, moving_mask=USED, **RIGID)
    np.testing.assert_allclose(offset(found), SHIFT, atol=0.06)
    other = np.where(USED, SPOILED, -50.0)  # also not on coarse levels
    np.testing.assert_array_equal(offset(register(FIXED, other, moving_mask=USED, **RIGID)), offset(found))
    assert 0.4 < float(found.status.overlap) < 0.65


@pytest.mark.slow
def test_a_batch_has_a_moving_mask_for_each_pair():
    masks = np.stack([USED, np.ones_like(USED)])
    found = register_pairs(np.stack([FIXED] * 2), np.stack([SPOILED, MOVING]), moving_mask=masks, **RIGID)
    moved = jax.vmap(lambda mapping: mapping.apply_points(jnp.array([11.0, 9.0])))(found.map)
    np.testing.assert_allclose(moved - jnp.array([11.0, 9.0]), [SHIFT, SHIFT], atol=0.06)


TWO = similarities.WeightedSum((similarities.NCC(), similarities.MSE()), (1.0, 0.3))
POINTS = np.array([[8.0, 9.0], [15.0, 12.0], [11.0, 17.0]])


def test_the_quadratic_model_of_channels_and_landmarks_is_that_of_all_residuals(float64):
    """For the mean squared error and a free-form map, the Gauss-Newton matrix is ``J^T J`` of all residuals."""
    similarity = similarities.WeightedSum((similarities.MSE(), similarities.MSE()), (1.0, 0.3))
    landmarks = Landmarks(jnp.asarray(POINTS), jnp.asarray(POINTS + 1.5), 0.02)
    images = [FIXED, spots([0, 0], 5)], [MOVING, spots(SHIFT, 5)]
    objective, start = last_objective(*images, transforms.FreeForm(12.0), similarity, Bending(0.1), landmarks=landmarks)
    random = np.random.RandomState(0)
    start, direction = start + 0.1 * random.randn(*start.shape), random.randn(*start.shape)

    def residuals(parameters):
        warped, mask = objective.warped(objective.displacement(parameters))
        scale = jnp.sqrt(2 * mask[..., None] / mask.sum() * jnp.array([1.0, 0.3]))
        points = objective.map(parameters).apply_points(landmarks.fixed)
        distance = jnp.sqrt(2 * 0.02 / 3) * (points - landmarks.moving)
        return jnp.concatenate([(scale * (warped - objective.fixed)).ravel(), distance.ravel()])

    def expected(start):
        values, along = jax.jvp(residuals, (start,), (direction,))
        (product,) = jax.vjp(residuals, start)[1](along)
        gradient, curved = jax.jvp(jax.grad(objective.penalty), (start,), (direction,))
        (slope,) = jax.vjp(residuals, start)[1](values)
        return jnp.sum(values**2) / 2 + objective.penalty(start), slope + gradient, product + curved

    def found(start):
        model = objective.quadratic(start)
        return model.value, model.gradient, model.product(direction)

    for a, b in zip(jax.jit(found)(start), jax.jit(expected)(start), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-10)


def test_the_force_is_that_of_the_channels_with_a_weight_where_the_moving_mask_is():
    noise = np.random.RandomState(2).rand(2, *GRID.shape)
    similarity = similarities.WeightedSum((similarities.MSE(), similarities.MSE()), (1.0, 0.0))
    flow, still = transforms.Velocity(), jnp.zeros((*GRID.shape, 2))
    one, _ = last_objective(FIXED, SPOILED, flow, similarities.MSE(), moving_mask=USED)
    two, _ = last_objective([FIXED, noise[0]], [SPOILED, noise[1]], flow, similarity, moving_mask=USED)
    expected, found = (force(objective, still, jnp.asarray(0.1)) for objective in (one, two))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert not np.any(found[:, 14:])
    assert np.abs(found[:, :13]).max() > 0.1


@pytest.mark.parametrize(
    "transform",
    [
        transforms.Affine(),
        *(
            pytest.param(transform, marks=pytest.mark.slow)
            for transform in (transforms.FreeForm(8.0), transforms.Dense(4.0), transforms.Velocity(4.0))
        ),
    ],
    ids=lambda transform: type(transform).__name__,
)
def test_landmarks_pull_the_map_where_the_images_say_nothing(transform):
    stripes = np.sin(0.5 * np.arange(26.0))[:, None] * np.ones(GRID.shape)  # They do not show a motion along y.
    fixed, moving = stripes + 1e-3 * FIXED, np.roll(stripes, 1, 0) + 1e-3 * FIXED
    target = POINTS + np.array([1.0, 2.0])
    landmarks = Landmarks(jnp.asarray(POINTS), jnp.asarray(target), 1.0)
    given: dict[str, Any] = {"levels": (1.0,), "regularizer": Bending(1e-3)}
    found = register(fixed, moving, transform, similarities.NCC(), landmarks=landmarks, **given)
    assert float(found.measures["landmark_error_before"]) > 2
    assert float(found.measures["landmark_error_after"]) < 0.25
    np.testing.assert_allclose(found.map.apply_points(jnp.asarray(POINTS)), target, atol=0.4)
    assert float(found.measures["similarity_after"]) < 0.25 * float(found.measures["similarity_before"])


def test_a_second_channel_shows_what_the_first_one_does_not():
    stripes = np.sin(0.5 * np.arange(26.0))[:, None] * np.ones(GRID.shape)
    across = np.ones(GRID.shape) * np.sin(0.5 * np.arange(23.0))
    moved = np.roll(stripes, 1, 0), np.roll(across, 2, 1)
    given: dict[str, Any] = {"transform": transforms.Translation(), "levels": (1.0,)}
    inner = np.zeros(GRID.shape)
    inner[4:-4, 4:-4] = 1
    both = register([stripes, across], [*moved], similarity=TWO, mask=inner, **given)
    np.testing.assert_allclose(both.map.apply_points(jnp.zeros(2)), jnp.array([1.0, 2.0]), atol=0.05)


def test_two_measures_of_the_same_image():
    mixed = similarities.WeightedSum((similarities.NCC(), similarities.NGF()), (1.0, 0.5))
    values = [float(s(FIXED, MOVING, jnp.ones(GRID.shape), GRID)) for s in (mixed, *mixed.similarities)]
    np.testing.assert_allclose(values[0], values[1] + 0.5 * values[2], rtol=1e-5)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"moving_mask": np.ones((3, 3))}, r"moving mask has shape \(3, 3\)"),
        ({"moving_mask": np.zeros(GRID.shape)}, "some above 0"),
        ({"moving_mask": USED, "moving": np.where(USED, np.nan, 1.0)}, "not finite|constant"),
        ({"landmarks": Landmarks(jnp.zeros((2, 3)), jnp.zeros((2, 3)))}, r"need the shape \(n, 2\)"),
        ({"landmarks": Landmarks(jnp.zeros((2, 2)), jnp.full((2, 2), jnp.nan))}, "finite"),
        ({"landmarks": Landmarks(jnp.zeros((2, 2)), jnp.zeros((2, 2)), -1.0)}, "not below 0"),
        (
            {
                "landmarks": Landmarks(jnp.zeros((2, 2)), jnp.zeros((2, 2))),
                "transform": transforms.Velocity(0.0),
                "optimizer": optimizers.SyN(),
            },
            "SyN has no landmark term",
        ),
        ({"fixed": [FIXED, FIXED]}, "same number of channels"),
        ({"fixed": [FIXED, FIXED], "moving": [MOVING, MOVING], "similarity": similarities.NCC()}, "WeightedSum of 2"),
        ({"fixed": [FIXED, FIXED[1:]], "moving": [MOVING, MOVING], "similarity": TWO}, "one grid"),
    ],
)
def test_what_does_not_fit_raises(given, message):
    with pytest.raises(ValueError, match=message):
        register(**{"fixed": FIXED, "moving": MOVING, "transform": transforms.Rigid()} | given)


def test_a_sum_needs_one_weight_for_each_similarity():
    for weights in ((1.0,), (1.0, -1.0), (1.0, np.nan)):
        with pytest.raises(ValueError, match="one weight for each"):
            similarities.WeightedSum((similarities.NCC(), similarities.MSE()), weights)
