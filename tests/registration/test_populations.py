"""Templates, label fusion and change, on images whose answers are known."""

import jax.numpy as jnp
import numpy as np
import pytest

from deqjax.registration import Grid, optimizers, similarities, transforms
from deqjax.registration.measures import smallest_jacobian
from deqjax.registration.populations import build_template, fuse_labels, label_changes, local_weights
from deqjax.registration.stages import Stage, named_stage, register_stages

GRID = Grid.of((32, 30), spacing=2.0)


def ellipse(centre, size=1.0):
    """Make an image of a smooth ellipse with a dark spot, in mm."""
    away = (np.asarray(GRID.points()) - np.asarray(centre)) / size
    radius = np.sqrt((away**2 / [20**2, 14**2]).sum(-1))
    spot = np.exp(-((away - [5, 3]) ** 2).sum(-1) / 30)
    return (1 / (1 + np.exp((radius - 1) * 5)) - 0.5 * spot).astype(np.float32)


CENTRE = np.array([31.0, 29.0])


@pytest.mark.slow
def test_the_template_of_a_grown_and_a_shrunken_image_lies_between_them():
    sizes = (1.1, 1.0, 0.9)
    images = [gain * ellipse(CENTRE + shift, size) for gain, shift, size in zip((1, 3, 0.2), (-2, 0, 2), sizes)]
    stage = Stage(transforms.Affine(), similarities.NCC(), levels=(2.0,))
    template = build_template(images, [stage], rounds=9, grids=[GRID] * 3, tolerance=1.0)
    assert len(template.changes) == 2
    assert float(template.shifts[-1]) < 0.1
    assert float(template.mean_displacement().mean()) < 0.01
    scales = [float(transforms.jacobians.jacobian(one, jnp.asarray(CENTRE, float))[0, 0]) for one in template.maps]
    np.testing.assert_allclose(scales, sizes, atol=0.02)
    expected = ellipse(CENTRE) * np.mean([image.mean() for image in images]) / ellipse(CENTRE).mean()
    assert float(np.abs(template.image - expected).max()) < 0.15 * expected.max()


@pytest.mark.slow
def test_the_rounds_of_a_template_settle():
    """Rounds that start afresh remove the same mean displacement again and again."""
    images = [ellipse(CENTRE + shift, size) for shift, size in zip(((-3, 1), (0, 2), (2, -3)), (1.15, 1.0, 0.85))]
    stages = [named_stage("affine", levels=(8.0, 4.0)), named_stage("syn", levels=(4.0, 2.0), window=6.0)]
    template = build_template(images, stages, rounds=5, grids=[GRID] * 3, tolerance=0.0)
    assert float(template.shifts[-1]) < 0.15 < float(template.shifts[1])
    assert float(template.changes[2:].max()) < 6e-3
    assert min(float(smallest_jacobian(one.vectors, GRID)) for one in template.maps) > 0


@pytest.mark.parametrize(("count", "grids", "rounds"), [(1, None, 1), (2, [GRID], 1), (2, None, 0)])
def test_a_template_of_too_little_is_refused(count, grids, rounds):
    with pytest.raises(ValueError, match="at least two images"):
        build_template([ellipse(CENTRE)] * count, [named_stage("affine")], rounds, grids=grids)


def test_a_majority_vote_is_that_of_counting():
    labels = np.random.RandomState(0).choice([0, 17, 2035], (7, 5, 4))
    counts = np.stack([(labels == value).sum(0) for value in (0, 17, 2035)])
    np.testing.assert_array_equal(fuse_labels(labels), np.array([0, 17, 2035])[counts.argmax(0)])
    weights = np.random.RandomState(1).rand(*labels.shape)
    sums = np.stack([np.where(labels == value, weights, 0).sum(0) for value in (0, 17, 2035)])
    np.testing.assert_array_equal(fuse_labels(labels, weights), np.array([0, 17, 2035])[sums.argmax(0)])
    with pytest.raises(ValueError, match="must be integers"):
        fuse_labels(labels + 0.5)


def test_local_weights_choose_the_atlas_that_agrees_at_each_place():
    target = ellipse(CENTRE)
    other = np.random.RandomState(0).rand(*target.shape).astype(np.float32)
    left = np.arange(32)[:, None] < 16
    atlases = np.stack([np.where(left, target, other), np.where(left, other, target)])
    weights = np.asarray(local_weights(target, atlases, GRID, width=4.0))
    assert (weights[0, 5:12, 8:22] > weights[1, 5:12, 8:22]).mean() > 0.95
    assert (weights[1, 20:27, 8:22] > weights[0, 20:27, 8:22]).mean() > 0.95


@pytest.mark.slow
@pytest.mark.parametrize("growth", [1.05, 0.95])
def test_a_known_growth_is_recovered_to_half_a_percent(growth):
    first, second = ellipse(CENTRE), ellipse(CENTRE + np.array([1.5, -0.7]), np.sqrt(growth))
    labels = (np.asarray(first) > 0.4).astype(np.int32) * 17
    flow = Stage(transforms.Velocity(0.0, 5), similarities.LocalNCC(6.0), None, (2.0,), optimizers.SyN())
    affine = Stage(transforms.Affine(), similarities.NCC(), None, (2.0,))
    for found in register_stages(first, second, [affine, flow], fixed_grid=GRID, moving_grid=GRID):
        (change,) = label_changes(found.map, labels, GRID)
        assert change.label == 17
        assert change.before == 4.0 * (labels > 0).sum()
        assert abs(change.percent - 100 * (growth - 1)) < 0.5
        assert abs(change.mean_log_jacobian - np.log(growth)) < 0.005
        assert change.folded == 0


def test_folded_voxels_are_counted_and_do_not_enter_the_mean():
    vectors = jnp.zeros((*GRID.shape, 2)).at[10, 10, 0].set(9.0)
    (change,) = label_changes(transforms.DisplacementMap(vectors, GRID), np.ones(GRID.shape, int), GRID)
    assert np.isfinite(change.mean_log_jacobian)
    assert change.folded == pytest.approx(1 / 960)
