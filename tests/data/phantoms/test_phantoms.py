"""Tests of the invented heads: anatomy, phase, coil sensitivities, noise and files."""

import time
from typing import Any

import numpy as np
import pytest

from deqjax.data import birdcage_maps, phantom_image, phantom_volume, read_volume, write_phantoms
from deqjax.data.fourier_numpy import ifft2c


@pytest.mark.parametrize("shape", [(1, 64, 64), (3, 65, 47), (2, 48, 80)])
def test_shape_type_and_range(shape):
    image = phantom_image(5, shape)
    magnitude = np.abs(image)
    assert (image.shape, image.dtype) == (shape, np.complex64)
    assert 0.5 < magnitude.max() < 2
    assert 0.2 < (magnitude > 0.02).mean() < 0.75, "a head surrounded by air"
    assert magnitude[:, (0, -1)].max() < 0.02
    assert magnitude[:, :, (0, -1)].max() < 0.02


def test_the_seed_determines_the_head():
    first = phantom_image(3, (2, 48, 48))
    np.testing.assert_array_equal(first, phantom_image(3, (2, 48, 48)))
    assert np.abs(np.abs(first) - np.abs(phantom_image(4, (2, 48, 48)))).mean() > 0.02


def test_neighbouring_slices_are_more_similar_than_distant_slices():
    volume = np.abs(phantom_image(1, (8, 64, 64)))
    gap = lambda i, j: np.linalg.norm(volume[i] - volume[j])
    assert 0 < np.mean([gap(i, i + 1) for i in range(7)]) < 0.8 * gap(0, 7)


def test_phase_is_smooth_and_not_constant():
    image = phantom_image(2, (1, 96, 96))[0]
    inside = (np.abs(image[1:]) > 0.1) & (np.abs(image[:-1]) > 0.1)
    steps = np.abs(np.angle(image[1:] * image[:-1].conj()))[inside]
    assert steps.max() < 0.3
    assert np.angle(image[np.abs(image) > 0.1]).std() > 0.1


def test_lines_outside_the_middle_of_kspace_hold_energy():
    """Most of the energy is in the middle eighth of k-space, but not all of it."""
    scan = phantom_volume(0, (1, 128, 128))
    energy = (np.abs(scan.kspace[0]) ** 2).sum(axis=0)
    outside = 1 - energy[56:72].sum() / energy.sum()
    assert 0.03 < outside < 0.3


def test_an_image_is_made_in_reasonable_time():
    start = time.perf_counter()
    phantom_image(0, (4, 128, 128))
    assert (time.perf_counter() - start) / 4 < 0.25, "seconds per slice; 0.015 were measured"


@pytest.mark.parametrize(("coils", "axis"), [(1, ()), (4, (4,))])
def test_volume_is_the_transform_of_the_coil_images(coils, axis):
    shape = (2, 33, 40)
    scan = phantom_volume(7, shape, coils=coils)
    assert scan.kspace.shape == (2, *axis, 33, 40)
    images, truth = ifft2c(scan.kspace), phantom_image(7, shape)
    expected = truth if coils == 1 else birdcage_maps(coils, (33, 40)) * truth[:, None]
    np.testing.assert_allclose(images, expected, atol=3e-6)
    np.testing.assert_allclose(np.asarray(scan.target), np.abs(truth), atol=3e-6)
    assert scan.crop == (33, 40)


def test_noise_has_the_requested_standard_deviation():
    clean, noisy = (phantom_volume(0, (2, 48, 48), coils=3, noise=noise).kspace for noise in (0.0, 0.05))
    assert (noisy - clean).std() == pytest.approx(0.05, rel=0.02)
    assert np.abs((noisy - clean).mean()) < 0.002


@pytest.mark.parametrize("coils", [1, 2, 8])
@pytest.mark.parametrize("shape", [(16, 16), (15, 9)])
def test_maps_have_unit_sum_of_squares_and_are_smooth(coils, shape):
    maps = birdcage_maps(coils, shape)
    assert maps.dtype == np.complex64
    np.testing.assert_allclose((np.abs(maps) ** 2).sum(axis=0), 1, atol=1e-6)
    assert np.abs(np.diff(birdcage_maps(coils, (64, 64)), axis=-1)).max() < 0.25


def test_files_read_back_and_are_written_once(tmp_path):
    paths = write_phantoms(tmp_path, count=2, shape=(2, 24, 20), coils=2, noise=0.02, seed=4)
    times = [path.stat().st_mtime_ns for path in paths]
    scan, made = read_volume(paths[1]), phantom_volume((4, 1), (2, 24, 20), coils=2, noise=0.02)
    np.testing.assert_array_equal(scan.kspace, made.kspace)
    np.testing.assert_array_equal(scan.target, made.target)
    assert (scan.name, scan.crop, scan.padding, scan.attrs) == (made.name, made.crop, made.padding, made.attrs)
    again = write_phantoms(tmp_path, count=3, shape=(2, 24, 20), coils=2, noise=0.02, seed=4)
    assert again[:2] == paths
    assert len(again) == 3
    assert [path.stat().st_mtime_ns for path in paths] == times


@pytest.mark.parametrize("other", [{"shape": (3, 24, 20)}, {"coils": 1}, {"noise": 0.0}])
def test_files_of_other_settings_raise(tmp_path, other):
    settings: dict[str, Any] = {"shape": (2, 24, 20), "coils": 2, "noise": 0.02}
    write_phantoms(tmp_path, count=1, **settings)
    with pytest.raises(ValueError, match=r"phantom-0-0.h5: was written with"):
        write_phantoms(tmp_path, count=1, **{**settings, **other})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: phantom_image(0, (64, 64)), "shape must be"),  # type: ignore[arg-type]
        (lambda: phantom_image(0, (0, 64, 64)), "shape must be"),
        (lambda: phantom_image(0, (1, 4, 64)), "shape must be"),
        (lambda: phantom_volume(0, (1, 16, 16), coils=0), "coils must be"),
        (lambda: phantom_volume(0, (1, 16, 16), noise=-1), "noise"),
        (lambda: write_phantoms(".", count=0), "count"),
    ],
)
def test_invalid_settings_raise(make, message):
    with pytest.raises(ValueError, match=message):
        make()
