"""Tests of reading and writing k-space of BART: dimensions, 2-D and 3-D scans, masks and errors."""

import numpy as np
import pytest

from deqjax.data import Scan, phantom_volume, read_bart, read_cfl, write_bart, write_cfl
from deqjax.data.fourier_numpy import ifft2c


def noise(*shape, seed=0):
    parts = np.random.default_rng(seed).standard_normal((2, *shape), np.float32)
    return parts[0] + 1j * parts[1]


@pytest.mark.parametrize("shape", [(1, 9, 6), (3, 9, 7), (1, 4, 8, 5), (3, 4, 7, 6)])
def test_round_trip_is_bit_equal(tmp_path, shape):
    kspace = noise(*shape)
    scan = read_bart(write_bart(tmp_path / "a", kspace))
    np.testing.assert_array_equal(scan.kspace, kspace)
    assert (scan.mask, scan.name, scan.slices) == (None, "a.cfl", tuple(range(shape[0])))
    assert scan.format == "BART cfl"
    assert scan.kspace.flags.c_contiguous


def test_dimensions_of_bart_become_the_axes_of_a_scan(tmp_path):
    """The dimension read becomes y, phase1 becomes x, coil becomes coil, and slice becomes slice."""
    array = noise(6, 5, 1, 3, *[1] * 9, 2)
    scan = read_bart(write_cfl(tmp_path / "a", array))
    assert scan.kspace.shape == (2, 3, 6, 5)
    assert scan.kspace[1, 2, 4, 3] == array[4, 3, 0, 2, *[0] * 9, 1]


def test_one_coil_has_no_coil_axis(tmp_path):
    array = noise(6, 5)
    np.testing.assert_array_equal(read_bart(write_cfl(tmp_path / "a", array)).kspace, array[None])


def test_reads_only_the_requested_slices(tmp_path):
    kspace = noise(4, 2, 6, 5)
    path = write_bart(tmp_path / "a", kspace)
    scan = read_bart(path, slices=(1, 2))
    np.testing.assert_array_equal(scan.kspace, kspace[1:3])
    assert scan.slices == (1, 2)
    with pytest.raises(ValueError, match=r"a\.cfl: no slices 2 to 4; it has 4"):
        read_bart(path, slices=(2, 4))


def test_zero_lines_become_the_mask(tmp_path):
    kspace = noise(2, 3, 6, 5)
    kspace[..., [1, 3]] = 0
    kspace[0, 1, :, 0] = 0  # zeros in one coil alone do not count
    np.testing.assert_array_equal(read_bart(write_bart(tmp_path / "a", kspace)).mask, [[1, 0, 1, 0, 1]])
    kspace[..., :2, :] = 0  # a partial echo
    expected = np.outer([0, 0, 1, 1, 1, 1], [1, 0, 1, 0, 1])
    np.testing.assert_array_equal(read_bart(write_bart(tmp_path / "b", kspace)).mask, expected)
    kspace[1, ..., 4] = 0  # slices that differ
    mask = read_bart(write_bart(tmp_path / "c", kspace)).mask
    assert mask is not None
    assert mask.shape == (2, 6, 5)
    assert (mask[0].sum(), mask[1].sum()) == (12, 8)
    empty = np.zeros((2, 6, 5), np.complex64)
    assert read_bart(write_bart(tmp_path / "d", empty)).mask is None


def test_an_empty_slice_does_not_affect_the_mask(tmp_path):
    kspace = noise(3, 6, 5)
    kspace[0] = 0
    assert read_bart(write_bart(tmp_path / "a", kspace)).mask is None
    kspace[..., 1] = 0
    assert np.asarray(read_bart(write_bart(tmp_path / "b", kspace)).mask).shape == (1, 5)


@pytest.mark.parametrize("coils", [1, 3])
def test_three_dimensional_scans_become_slices_along_read(tmp_path, coils):
    """The image of every slice is the plane of the 3-D image at that position along read."""
    shape = (6, 5, 7)  # read, phase1, phase2
    image = noise(*shape, coils)
    axes = (0, 1, 2)
    shifted = np.fft.fftn(np.fft.ifftshift(image, axes), axes=axes, norm="ortho")
    array = np.fft.fftshift(shifted, axes).astype(np.complex64)
    scan = read_bart(write_cfl(tmp_path / "a", array))
    expected = image.transpose(0, 3, 2, 1)  # read, coil, phase2, phase1
    assert scan.kspace.shape == (6, *((coils,) if coils > 1 else ()), 7, 5)
    np.testing.assert_allclose(ifft2c(scan.kspace).reshape(expected.shape), expected, atol=1e-5)
    np.testing.assert_array_equal(read_bart(tmp_path / "a", slices=(2, 4)).kspace, scan.kspace[2:5])
    assert scan.mask is None


def test_masks_of_three_dimensional_scans_are_points(tmp_path):
    array = noise(6, 5, 7, 2)
    sampled = np.random.default_rng(1).uniform(size=(5, 7)) < 0.5
    array *= sampled[None, :, :, None]
    scan = read_bart(write_cfl(tmp_path / "a", array))
    np.testing.assert_array_equal(scan.mask, sampled.T)
    np.testing.assert_array_equal(scan.kspace * (1 - sampled.T), 0)


def test_the_image_of_a_written_phantom_is_the_phantom(tmp_path):
    phantom = phantom_volume(0, (2, 32, 24), coils=4)
    scan = read_bart(write_bart(tmp_path / "a", phantom.kspace))
    image = np.sqrt((np.abs(ifft2c(scan.kspace)) ** 2).sum(axis=1))
    np.testing.assert_allclose(image, np.asarray(phantom.target), atol=1e-6)


def test_select_takes_entries_by_the_name_of_the_dimension(tmp_path):
    array = noise(6, 5, 1, 2, 1, 3, 1, 1, 1, 1, 4)
    path = write_cfl(tmp_path / "a", array)
    with pytest.raises(ValueError, match=r"a\.cfl: 3 entries along 'te'; choose one, .*select=\{'te': 0\}"):
        read_bart(path)
    with pytest.raises(ValueError, match="4 entries along 'time'"):
        read_bart(path, select={"te": 1})
    scan = read_bart(path, select={"te": 1, "time": 3})
    assert isinstance(scan, Scan)
    np.testing.assert_array_equal(scan.kspace[0], array[:, :, 0, :, 0, 1, 0, 0, 0, 0, 3].transpose(2, 0, 1))


@pytest.mark.parametrize(
    ("select", "message"),
    [
        ({"te": 5}, "no entry 5 along 'te'; it has 3, counted from 0"),
        ({"te": -1}, "no entry -1 along 'te'"),
        ({"echo": 0}, r"select: \['echo'\]; it takes"),
        ({"coil": 0}, r"select: \['coil'\]; it takes"),
    ],
)
def test_invalid_selections_raise(tmp_path, select, message):
    path = write_cfl(tmp_path / "a", noise(6, 5, 1, 2, 1, 3))
    with pytest.raises(ValueError, match=message):
        read_bart(path, select=select)


def test_invalid_files_raise(tmp_path):
    path = write_cfl(tmp_path / "slabs", noise(6, 5, 2, 1, *[1] * 9, 3))
    with pytest.raises(ValueError, match=r"slabs\.cfl: 2 along phase2 and 3 slices; write each slab"):
        read_bart(path)
    kspace = noise(3, 6, 5)
    path = write_bart(tmp_path / "nan", kspace)
    stored = np.fromfile(path, np.complex64)
    stored[0] = np.nan
    stored.tofile(path)
    with pytest.raises(ValueError, match=r"nan\.cfl: NaN or infinity in the k-space of slices 0 to 2"):
        read_bart(path)
    np.testing.assert_array_equal(read_bart(path, slices=(1, 2)).kspace, kspace[1:])
    with pytest.raises(ValueError, match="kspace must have axes"):
        write_bart(tmp_path / "rank", kspace[0])
    assert read_cfl(path).shape[:2] == (6, 5)
