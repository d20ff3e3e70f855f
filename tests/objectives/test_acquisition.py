"""What a scanner would have given: noise of its level and on sampled lines only, and the image it belongs to."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import deqjax as dj
from deqjax.data import Batch, phantom_volume
from deqjax.objectives import Acquisition
from deqjax.physics import Sense, combine_coils, ifft2c, rss
from deqjax.run.volumes import undersample

SIZE = 64


def batch_of(coils: int) -> Batch:
    kspace = phantom_volume(0, (3, SIZE, SIZE), coils).kspace
    return Batch(kspace, np.stack([dj.masks.CartesianRandom(2, 0.125)((SIZE, SIZE), i) for i in range(3)]))


def keys_of(seed: int = 0) -> jax.Array:
    return jax.random.split(jax.random.key(seed), 3)


def scale_of(magnitude: np.ndarray) -> np.ndarray:
    """The energy scale, written out again: sqrt(sum |x|^4 / sum |x|^2)."""
    return np.sqrt((magnitude**4).sum((-2, -1)) / (magnitude**2).sum((-2, -1)))


@pytest.mark.parametrize("coils", [1, 3])
@pytest.mark.parametrize("level", [0.03, 0.3])
def test_noise_has_its_level_and_its_lines(coils, level):
    batch = batch_of(coils)
    _, clean, _ = Acquisition((0.0, 0.0), 0.125)(batch, keys_of())
    _, noisy, _ = Acquisition((level, level), 0.125)(batch, keys_of())
    mask = batch.mask if coils == 1 else batch.mask[:, None]
    np.testing.assert_array_equal(clean, mask * batch.kspace)
    noise = np.asarray(noisy - clean)
    sampled = np.broadcast_to(mask > 0, noise.shape)
    assert (noise[~sampled] == 0).all()
    assert (noise[sampled] != 0).all()
    images = np.asarray(ifft2c(jnp.asarray(batch.kspace)))
    scale = scale_of(np.abs(images) if coils == 1 else np.asarray(rss(jnp.asarray(images))))
    for image, there, unit in zip(noise, sampled, scale):
        drawn = image[there]
        assert np.sqrt(np.mean(np.abs(drawn) ** 2)) == pytest.approx(level * unit, rel=0.05)
        assert np.std(drawn.real) == pytest.approx(np.std(drawn.imag), rel=0.1)
        assert abs(np.mean(drawn)) < 0.1 * level * unit


def test_the_level_is_drawn_image_by_image_from_its_range():
    batch = batch_of(1)
    lines = batch.mask.sum((1, 2)) * SIZE
    scale = scale_of(np.abs(ifft2c(jnp.asarray(batch.kspace))))
    rows = []
    for seed in range(4):
        noise = Acquisition((0.1, 0.3), 0.125)(batch, keys_of(seed)).kspace - batch.mask * batch.kspace
        rows.append(np.sqrt((np.abs(noise) ** 2).sum((1, 2)) / lines) / scale)
    drawn = np.stack(rows)
    assert (drawn > 0.1 * 0.95).all()
    assert (drawn < 0.3 * 1.05).all()
    assert drawn.max() - drawn.min() > 0.08
    assert len(np.unique(drawn.round(3))) > 9
    again = Acquisition((0.1, 0.3), 0.125)(batch, keys_of(3)).kspace - batch.mask * batch.kspace
    np.testing.assert_array_equal(noise, again)


def test_noise_of_an_image_does_not_depend_on_its_neighbours():
    batch, keys, turned = batch_of(1), keys_of(), np.array([2, 0, 1])
    kspace = Acquisition((0.0, 0.3), 0.125)(batch, keys).kspace
    other = Acquisition((0.0, 0.3), 0.125)(jax.tree.map(lambda leaf: leaf[turned], batch), keys[turned]).kspace
    np.testing.assert_allclose(other, kspace[turned], rtol=1e-5, atol=1e-6)


def test_the_target_of_one_coil_gives_the_kspace():
    batch = batch_of(1)
    A, kspace, target = Acquisition((0.0, 0.0), 0.125)(batch, keys_of())
    np.testing.assert_allclose(A.forward(target), kspace, atol=1e-5)
    np.testing.assert_allclose(A.forward(target), batch.mask * batch.kspace, atol=1e-5)
    assert target.shape == (3, SIZE, SIZE)


def test_the_target_of_several_coils_is_the_root_sum_of_squares_in_the_phase_of_the_maps():
    batch = batch_of(3)
    A, kspace, target = Acquisition((0.0, 0.0), 0.125)(batch, keys_of())
    assert target.shape == (3, SIZE, SIZE)
    assert isinstance(A, Sense)
    assert A.smaps.shape == batch.kspace.shape
    full = np.asarray(rss(ifft2c(jnp.asarray(batch.kspace))))
    np.testing.assert_allclose(np.abs(target), full, rtol=1e-4, atol=1e-6)
    combined = combine_coils(ifft2c(jnp.asarray(batch.kspace)), A.smaps)
    np.testing.assert_allclose(target * np.abs(combined), combined * full, atol=1e-5)
    gap = np.linalg.norm(A.forward(target) - kspace) / np.linalg.norm(kspace)
    assert gap < 0.1  # as far as maps of low resolution can say


@pytest.mark.parametrize("coils", [1, 3])
def test_scaling_the_data_scales_the_measurement_and_its_noise(coils):
    batch = batch_of(coils)
    larger = Batch(1000 * batch.kspace, batch.mask)
    _, kspace, target = Acquisition((0.1, 0.2), 0.125)(batch, keys_of())
    _, kspace_larger, target_larger = Acquisition((0.1, 0.2), 0.125)(larger, keys_of())
    np.testing.assert_allclose(kspace_larger, 1000 * kspace, rtol=1e-3, atol=1e-2)
    assert np.linalg.norm(target_larger - 1000 * target) < 1e-4 * np.linalg.norm(target_larger)


@pytest.mark.parametrize("coils", [1, 3])
def test_evaluation_measures_likewise(coils):
    kspace, mask = batch_of(coils).kspace, batch_of(coils).mask[0]
    A, clean, target = undersample(jnp.asarray(kspace), jnp.asarray(mask), 0.0, 0.125, jax.random.key(0))
    np.testing.assert_array_equal(clean, mask * kspace)
    _, noisy, _ = undersample(jnp.asarray(kspace), jnp.asarray(mask), 0.2, 0.125, jax.random.key(0))
    noise = np.asarray(noisy - clean)
    sampled = np.broadcast_to(mask > 0, noise.shape)
    assert (noise[~sampled] == 0).all()
    images = np.asarray(ifft2c(jnp.asarray(kspace)))
    scale = scale_of(np.abs(images) if coils == 1 else np.asarray(rss(jnp.asarray(images))))
    for image, there, unit in zip(noise, sampled, scale):
        assert np.sqrt(np.mean(np.abs(image[there]) ** 2)) == pytest.approx(0.2 * unit, rel=0.05)
    trained = Acquisition((0.0, 0.0), 0.125)(batch_of(coils), keys_of()).target
    if coils == 1:
        np.testing.assert_allclose(target, trained, atol=1e-5)
        np.testing.assert_allclose(A.forward(target), clean, atol=1e-5)
    else:
        assert np.linalg.norm(np.abs(target) - np.abs(trained)) < 0.03 * np.linalg.norm(trained)
