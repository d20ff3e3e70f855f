"""Pairs that moved: known motion makes them a pair at rest, and each kind of parameter has its own gradient."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import deqjax as dj
from deqjax.data import Acquisitions, Augment, MeasuredBatch, RandomMotion, Slices, write_volume
from deqjax.data.fourier_numpy import fft2c, ifft2c
from deqjax.data.motion import flow, move_object
from deqjax.objectives import DemonsMotion, KnownMotion, MovedPair, NetworkMotion, NoMotion, Pair
from deqjax.objectives.motion import FoundMotion, both_ways, move_image
from tests.objectives.test_without_targets import EVERY, MASK, PARAMS, batch_of, keys_of, problem_of

SHAPE: tuple[int, int] = (32, 32)
MOTION = RandomMotion(displacement=1.5, smoothness=6.0)


def spots(shape=SHAPE, coils=1):
    """Smooth coil images of some spots, with a phase that is smooth as well; (coil, y, x)."""
    y, x = np.indices(shape) / shape[0]
    rng = np.random.default_rng(0)
    image = sum(np.exp(-((y - a) ** 2 + (x - b) ** 2) / 0.012) for a, b in rng.uniform(0.3, 0.7, (5, 2)))
    maps = np.stack([np.exp(-((y - c) ** 2 + (x - 1 + c) ** 2) / 2 + 1j * c * x) for c in np.linspace(0, 1, coils)])
    return image * np.exp(1j * (y - x)) * maps / np.sqrt(np.sum(np.abs(maps) ** 2, axis=0))


def kspaces(batch: MeasuredBatch) -> Any:
    """The k-space of both acquisitions."""
    assert batch.second is not None
    return batch.kspace, batch.second[0]


def moved_batch(tmp_path, coils=1, mask=EVERY, motion=MOTION, noise=(0.0, 0.0)) -> MeasuredBatch:
    kspace = fft2c(spots(coils=coils)).astype(np.complex64)
    path = write_volume(tmp_path / f"{coils}.h5", (kspace if coils > 1 else kspace[0])[None], overwrite=True)
    return Acquisitions(Slices([path]), mask, noise, motion=motion).batch(1, Augment(), 0, 0, second=True)


def evaluated(objective, batches, mask=EVERY):
    """The value, the metrics and the gradient for every batch."""
    function = jax.jit(jax.value_and_grad(objective.bind(problem_of(mask)), has_aux=True))
    count = len(batches[0].mask)
    found = [function(PARAMS, {}, batch, keys_of(count), dj.implicit.backward_probe(count)) for batch in batches]
    return [(value, metrics, slope["map"]["c"]) for (value, metrics), slope in found]


def test_motion_has_the_stated_displacement_and_its_inverse():
    for displacement in (0.5, 4.0):
        velocity = RandomMotion(displacement).velocity((96, 80), np.random.default_rng(1))
        there, back = (np.asarray(u) for u in both_ways(jnp.asarray(velocity)))
        assert np.linalg.norm(there, axis=-1).mean() == pytest.approx(displacement, rel=0.03)
        np.testing.assert_allclose(there, flow(velocity), atol=2e-3)  # jax, and SciPy
        inner = (slice(16, -16), slice(16, -16))
        again = np.stack([move_image(jnp.asarray(back[..., k]), jnp.asarray(there)) for k in range(2)], -1)
        assert np.abs(there + again)[inner].max() < 0.05
        assert np.abs(there)[inner].max() > displacement / 2
    assert not RandomMotion(0.0).velocity((16, 16), np.random.default_rng(0)).any()
    with pytest.raises(ValueError, match="displacement >= 0"):
        RandomMotion(-1.0)


def test_no_displacement_changes_nothing_bit_for_bit(tmp_path):
    image = jnp.asarray(spots()[0], jnp.complex64)
    np.testing.assert_array_equal(jax.jit(move_image)(image, jnp.zeros((*SHAPE, 2))), image)
    for coils in (1, 3):
        still, none = (moved_batch(tmp_path, coils, motion=motion) for motion in (RandomMotion(0.0), None))
        np.testing.assert_array_equal(kspaces(still), kspaces(none))
        assert not still.velocity.any()
        assert none.velocity is None


@pytest.mark.parametrize("coils", [1, 3])
def test_the_second_acquisition_is_the_moved_object(coils, tmp_path):
    """The first image is the second one at the moved points; coil sensitivities stay."""
    batch = moved_batch(tmp_path, coils)
    first, second = (np.asarray(dj.physics.ifft2c(jnp.asarray(k)))[0] for k in kspaces(batch))
    objects = [np.sqrt(np.sum(np.abs(x) ** 2, 0)) if coils > 1 else np.abs(x) for x in (first, second)]
    back = move_image(jnp.asarray(objects[1]), both_ways(jnp.asarray(batch.velocity[0]))[0])
    error = np.linalg.norm(back - objects[0]) / np.linalg.norm(objects[0])
    assert error < 0.01
    assert np.linalg.norm(objects[1] - objects[0]) / np.linalg.norm(objects[0]) > 0.1


def test_the_smooth_phase_stays():
    y, x = np.indices((128, 128)) / 128
    image = np.abs(spots((128, 128))[0]) * np.exp(8j * (y - x))
    displacement = flow(RandomMotion().velocity((128, 128), np.random.default_rng(0)))
    moved = ifft2c(move_object(fft2c(image).astype(np.complex64), displacement))
    bright = np.abs(moved) > 0.3 * np.abs(moved).max()
    change = np.angle(moved * np.exp(-8j * (y - x)))[bright]
    taken_along = 8 * (displacement[..., 0] - displacement[..., 1])[bright] / 128
    assert np.abs(change).mean() < 0.7 * np.abs(taken_along).mean()


def test_at_rest_it_is_the_mean_of_the_pairs_in_both_orders():
    batch = batch_of(mask=MASK)
    still = dataclasses.replace(batch, velocity=np.zeros((2, 16, 16, 2), np.float32))
    turned = dataclasses.replace(batch, kspace=batch.second[0], mask=batch.second[1], second=(batch.kspace, batch.mask))
    (value, metrics, slope), *_ = evaluated(MovedPair(KnownMotion(), weight=0.0), [still], MASK)
    values, _, slopes = zip(*evaluated(Pair(both_orders=False), [batch, turned], MASK))
    np.testing.assert_allclose(value, np.mean(values), rtol=1e-4)
    np.testing.assert_allclose(slope, np.mean(slopes), rtol=1e-3)
    assert metrics.keys() >= {"data", "consistency", "registration", "forward_steps", "forward_converged"}


@pytest.mark.slow
@pytest.mark.parametrize("coils", [1, 3])
def test_known_motion_makes_it_a_pair_at_rest(coils, tmp_path):
    """Without noise and with all lines, R = c A^H: the loss is that of the pair at rest, if the motion is used."""
    batch, still = moved_batch(tmp_path, coils), moved_batch(tmp_path, coils, motion=None)

    def loss(objective, batch):
        return float(objective.bind(problem_of(EVERY))(PARAMS, {}, batch, keys_of(1), None)[1]["data"])

    registered, unregistered = (loss(MovedPair(motion, loss="l2"), batch) for motion in (KnownMotion(), NoMotion()))
    rest = loss(Pair(loss="l2"), still)
    assert registered == pytest.approx(rest, rel=0.02)
    assert unregistered - rest > 5 * abs(registered - rest)


@dataclass(frozen=True)
class Slide:
    """A shift along x by a learned number of pixels, and by one that the images give."""

    def init(self, key):
        return {"network": {"shift": jnp.full((), 0.4)}}

    def find(self, params, fixed, moving, known):
        shift, seen = params["network"]["shift"], jnp.mean(fixed, (1, 2))
        there = (shift + seen)[:, None, None, None] * jnp.array([0.0, 1.0]) * jnp.ones((*fixed.shape, 2))
        return FoundMotion(there, -there, (shift - jnp.mean(seen)) ** 2)


def sizes_of_gradients(motion, joint, batch):
    """The norm of the gradient of each loss with respect to each part of the parameters."""
    params, count = PARAMS | motion.init(jax.random.key(0)), len(batch.mask)
    objective = MovedPair(motion, joint=joint).bind(problem_of(MASK))

    def losses(params):
        metrics = objective(params, {}, batch, keys_of(count), None)[1]
        return {name: metrics[name] for name in ("data", "registration")}

    slopes = jax.jit(jax.jacrev(losses))(params)
    norm = lambda tree: sum(float(jnp.sum(leaf**2)) for leaf in jax.tree.leaves(tree)) ** 0.5
    return {(name, part): norm(slopes[name][part]) for name in slopes for part in params}


def without_unmeasured(batch):
    broken = lambda kspace, mask: np.where(mask > 0, kspace, np.nan)
    second = (broken(*batch.second), batch.second[1])
    return dataclasses.replace(batch, kspace=broken(batch.kspace, batch.mask), second=second)


@pytest.mark.parametrize("joint", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_alternating_each_part_has_the_gradient_of_its_own_loss(joint):
    """And nothing that was not measured matters: there is NaN."""
    found = sizes_of_gradients(Slide(), joint, without_unmeasured(batch_of(mask=MASK)))
    assert np.isfinite(list(found.values())).all()
    assert found["data", "map"] > 0
    assert found["registration", "network"] > 0
    assert (found["data", "network"] > 0) == joint
    assert (found["registration", "map"] > 0) == joint


def test_the_motion_alone_learns_from_zero_filled_images():
    batch = without_unmeasured(batch_of(mask=MASK))
    params = PARAMS | Slide().init(jax.random.key(0))
    objective = MovedPair(Slide(), learn="motion").bind(problem_of(MASK))
    slope = jax.grad(lambda params: objective(params, {}, batch, keys_of(len(batch.mask)), None)[0])(params)
    images = jnp.abs(dj.physics.ifft2c(jnp.asarray(batch.mask * np.nan_to_num(batch.kspace))))
    scale = jnp.sqrt(jnp.sum(images**4, (1, 2)) / jnp.sum(images**2, (1, 2)))
    seen = jnp.mean(images, (1, 2)) / scale
    np.testing.assert_allclose(slope["network"]["shift"], 2 * (0.4 - jnp.mean(seen)), rtol=1e-4)
    assert not any(jnp.any(leaf) for leaf in jax.tree.leaves(slope["map"]))


def test_a_trained_network_is_read_inside_jit():
    motion, images = NetworkMotion("voxelmorph-brain-2d"), jax.ShapeDtypeStruct((2, *SHAPE), jnp.float32)
    params = motion.init(jax.random.key(0))
    found = jax.eval_shape(lambda fixed, moving: motion.find(params, fixed, moving, None), images, images)
    assert found.there.shape == found.back.shape == (2, *SHAPE, 2)
    assert found.loss.shape == ()


@pytest.mark.slow
def test_a_network_learns_from_its_own_loss(tmp_path):
    found = sizes_of_gradients(NetworkMotion(), False, without_unmeasured(moved_batch(tmp_path, mask=MASK)))
    assert np.isfinite(list(found.values())).all()
    assert found["registration", "network"] > 0
    assert found["data", "map"] > 0
    assert found["data", "network"] == found["registration", "map"] == 0


@pytest.mark.slow
def test_demons_find_the_motion(tmp_path):
    batch = moved_batch(tmp_path)
    fixed, moving = (jnp.abs(dj.physics.ifft2c(jnp.asarray(k))) for k in kspaces(batch))
    motion = DemonsMotion(smoothing=(3.0, 3.0), levels=(2, 1))
    there, back, loss = jax.jit(lambda *images: motion.find({}, images[0], images[1], None))(fixed, moving)
    true, bright = both_ways(jnp.asarray(batch.velocity[0])), fixed[0] > 0.2 * fixed.max()
    for found, known in ((there[0], true[0]), (back[0], true[1])):
        error = np.linalg.norm(found - known, axis=-1)[bright].mean()
        assert error < 0.4 * np.linalg.norm(known, axis=-1)[bright].mean()
    assert loss == 0
    (value, _, slope), *_ = evaluated(MovedPair(motion, joint=True), [batch])
    assert np.isfinite([value, slope]).all()


def test_crops_and_flips_take_the_motion_along(tmp_path):
    kspace = fft2c(spots()[0]).astype(np.complex64)
    acquisitions = Acquisitions(Slices([write_volume(tmp_path / "a.h5", kspace[None])]), EVERY, motion=MOTION)
    for step in range(4):
        batch = acquisitions.batch(1, Augment(flips="y", crop=(24, 32)), 0, step, second=True)
        first, second = (jnp.abs(dj.physics.ifft2c(jnp.asarray(k)))[0] for k in kspaces(batch))
        back = move_image(second, both_ways(jnp.asarray(batch.velocity[0]))[0])[4:-4]
        assert np.linalg.norm(back - first[4:-4]) < 0.05 * np.linalg.norm(first)


def test_what_is_missing_is_named(tmp_path):
    batch = moved_batch(tmp_path, motion=None)
    run = lambda objective, batch: objective.bind(problem_of())(PARAMS, {}, batch, keys_of(1), None)
    with pytest.raises(ValueError, match=r"KnownMotion needs pairs with simulated motion"):
        run(MovedPair(KnownMotion()), batch)
    with pytest.raises(ValueError, match="needs a second acquisition"):
        run(MovedPair(), dataclasses.replace(batch, second=None))
    with pytest.raises(ValueError, match="weight must be at least 0"):
        MovedPair(weight=-1.0)
    with pytest.raises(ValueError, match="one smoothing for each level"):
        DemonsMotion(smoothing=(3.0,))
    slices = Slices([write_volume(tmp_path / "a.h5", fft2c(spots()).astype(np.complex64))])
    with pytest.raises(ValueError, match="leave one out"):
        Acquisitions(slices, MASK, second=slices, motion=MOTION)
    with pytest.raises(ValueError, match=r"set data\.motion"):
        Acquisitions(slices, MASK).velocity(0)
