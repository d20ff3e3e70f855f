"""Measured training data: fixed for the run, exact under the changes that are allowed, and nothing of the truth."""

import dataclasses

import numpy as np
import pytest

from deqjax import masks
from deqjax.data import Acquisitions, Augment, Slices, estimate_noise, phantom_volume, write_npz, write_volume
from deqjax.data.fourier_numpy import fft2c, ifft2c

MASK = masks.CartesianRandom(2, 0.25)
SHAPE = (2, 20, 16)


@pytest.fixture
def files(tmp_path):
    return [write_volume(tmp_path / f"{i}.h5", phantom_volume(i, SHAPE).kspace) for i in range(2)]


def test_an_acquisition_depends_on_the_file_and_the_slice_alone(files):
    make = lambda seed=0: Acquisitions(Slices(files), MASK, (0.1, 0.3), seed)
    first, again, other = make(), make(), make(1)
    for i in (3, 0):
        for a, b in zip(first.acquire(i, 1), again.acquire(i, 1)):
            np.testing.assert_array_equal(a, b)
        assert not np.array_equal(first.acquire(i)[0], other.acquire(i)[0])
    drawn = [first.acquire(i, which)[0].tobytes() for i in range(4) for which in range(2)]
    assert len(set(drawn)) == 8
    assert first.acquire(0)[2] == first.acquire(0, 1)[2], "one noise level for both acquisitions of an object"
    seen = [first.batch(1, Augment(), seed=0, step=step) for step in range(12)]
    for i in range(4):  # every epoch sees the same acquisition
        assert len({batch.kspace.tobytes() for batch in seen if batch.number[0] == i}) == 1


def test_noise_has_its_level_on_sampled_lines_only(files):
    _, noisy = (Acquisitions(Slices(files), MASK, noise) for noise in ((0.0, 0.0), (0.2, 0.2)))
    full = Slices(files).example(1)
    kspace, mask, sigma = noisy.acquire(1)
    image = np.abs(ifft2c(full))
    assert sigma == pytest.approx(0.2 * np.sqrt((image**4).sum() / (image**2).sum()), rel=1e-4)
    assert not (kspace * (1 - mask)).any()
    noise = (kspace - full)[:, mask[0] > 0]
    assert np.sqrt(np.mean(np.abs(noise) ** 2)) == pytest.approx(sigma, rel=0.15)
    assert np.std(noise.real) == pytest.approx(np.std(noise.imag), rel=0.3)


def test_undersampled_files_are_taken_as_they_are(tmp_path):
    kspace, mask = phantom_volume(0, SHAPE).kspace, MASK(SHAPE, 0)
    files = [write_volume(tmp_path / "a.h5", kspace * mask), write_npz(tmp_path / "b.npz", kspace * mask, mask=mask)]
    acquisitions = Acquisitions(Slices(files), masks.CartesianRandom(8, 0.1), (0.5, 0.5))
    for i in range(4):
        found, lines, sigma = acquisitions.acquire(i)
        np.testing.assert_array_equal(found, kspace[i % 2] * mask)
        np.testing.assert_array_equal(lines, mask)
        assert sigma == estimate_noise(found, mask)
    with pytest.raises(ValueError, match=r"a.h5: slice 0 is undersampled.*data.second"):
        acquisitions.acquire(0, 1)
    pairs = Acquisitions(Slices(files[:1]), MASK, second=Slices(files[1:]))
    np.testing.assert_array_equal(pairs.acquire(1, 1)[0], kspace[1] * mask)
    with pytest.raises(ValueError, match=r"2 slices of first acquisitions and 4 of second"):
        Acquisitions(Slices(files[:1]), MASK, second=Slices(files))
    with pytest.raises(ValueError, match="undersampled"):
        acquisitions.batch(1, Augment(), 0, 0, full=True)


def test_the_centre_of_several_coils_must_be_sampled(tmp_path):
    kspace = phantom_volume(0, SHAPE, coils=2).kspace
    slices = Slices([write_volume(tmp_path / "a.h5", kspace * MASK(SHAPE, 0))])
    assert Acquisitions(slices, MASK).acquire(0)[0].shape == (2, 20, 16)
    with pytest.raises(ValueError, match=r"a.h5: slice 0 does not sample the 14 central lines.*center_fraction"):
        Acquisitions(slices, masks.CartesianRandom(1, 0.9)).acquire(0)


def test_crops_of_undersampled_files(tmp_path):
    kspace, mask = phantom_volume(0, SHAPE).kspace, MASK(SHAPE, 0)
    path = write_volume(tmp_path / "a.h5", kspace * mask)
    found, lines = Slices([path], crop=(12, 16)).measured(0)
    np.testing.assert_allclose(found * lines, fft2c(ifft2c(kspace[0])[4:16]) * mask, atol=1e-5)
    found, lines = Slices([path], crop=(12, 10), crop_mode="resolution").measured(0)
    np.testing.assert_array_equal(lines, mask[:, 3:13])
    np.testing.assert_array_equal(found, found * lines)
    with pytest.raises(ValueError, match=r"a.h5: .*only be cropped along y"):
        Slices([path], crop=(12, 12)).measured(0)


@pytest.mark.parametrize("coils", [(), (3,)])
def test_readout_changes_are_those_of_the_object_and_keep_lines_apart(coils):
    rng = np.random.default_rng(0)
    image = (rng.normal(size=(*coils, 20, 16)) + 1j * rng.normal(size=(*coils, 20, 16))).astype(np.complex64)
    mask = MASK(SHAPE, 0)
    augment = Augment(flips="y", crop=(8, 16), constant_phase=True)
    augment.check_measured(image.shape, mask.shape)
    for seed in range(4):
        broken = np.where(mask > 0, fft2c(image), np.nan)
        full, measured = augment.measured([fft2c(image), broken], np.random.default_rng(seed))
        np.testing.assert_allclose(measured[..., mask[0] > 0], full[..., mask[0] > 0], atol=1e-4)
        assert np.isnan(measured[..., mask[0] == 0]).all()
        changed = ifft2c(full)
        windows = [image[..., top : top + 8, :][..., ::step, :] for top in range(13) for step in (1, -1)]
        rotated = [window * (np.vdot(window, changed) / np.vdot(window, window)) for window in windows]
        assert min(np.abs(one - changed).max() for one in rotated) < 1e-4


@pytest.mark.parametrize(
    ("augment", "message"),
    [
        (Augment(flips=True), "flip of x"),
        (Augment(transpose=True), "transpose"),
        (Augment(phase=1.0), "smooth phase"),
        (Augment(gamma=0.1), "gamma"),
        (Augment(gain=0.1), "gain"),
        (Augment(crop=(8, 8)), "only rows can be cropped"),
    ],
)
def test_changes_that_are_not_exact_are_refused(files, augment, message):
    with pytest.raises(ValueError, match=rf"undersampled k-space .*{message}"):
        Acquisitions(Slices(files), MASK).batch(1, augment, 0, 0)
    with pytest.raises(ValueError, match="points and not lines"):
        Augment(flips="y").check_measured((20, 16), (20, 16))


def test_a_batch_holds_the_truth_only_if_it_is_asked_for(files):
    acquisitions = Acquisitions(Slices(files), MASK, (0.1, 0.1))
    batch = acquisitions.batch(2, Augment(crop=(10, 16)), 0, 1, second=True)
    assert batch.full is None
    shapes = {field.name: np.shape(getattr(batch, field.name)) for field in dataclasses.fields(batch)[:4]}
    assert shapes == {"kspace": (2, 10, 16), "mask": (2, 1, 16), "sigma": (2,), "number": (2,)}
    assert batch.second is not None
    for kspace, mask in ((batch.kspace, batch.mask), batch.second):
        assert np.abs(kspace * (1 - mask)).max() < 1e-5
    assert not np.array_equal(batch.mask, batch.second[1])
    full = acquisitions.batch(2, Augment(), 0, 1, full=True)
    assert full.full is not None
    np.testing.assert_array_equal(full.full[1], acquisitions.slices.example(int(full.number[1])))
