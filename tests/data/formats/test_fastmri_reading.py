"""Tests of reading fastMRI files."""

import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from deqjax.data import crop_image, read_slice, read_volume, write_volume
from deqjax.data.formats.fastmri_header import make_header, parse_header
from deqjax.data.fourier_numpy import ifft2c

REAL = Path(os.environ.get("DEQJAX_DATA", Path(__file__).parents[4] / "shared" / "data"))


def numbered(*shape):
    """Return complex values that are all different."""
    values = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    return (values - 1j * values[..., ::-1]).astype(np.complex64)


@pytest.fixture
def single(tmp_path):
    return write_volume(tmp_path / "single.h5", numbered(4, 9, 6), np.abs(numbered(4, 7, 5)))


@pytest.mark.parametrize("coils", [(), (1,), (3,)])
def test_slices_of_single_and_multi_coil_files(tmp_path, coils):
    kspace, target = numbered(4, *coils, 9, 6), np.abs(numbered(4, 5, 5))
    path = write_volume(tmp_path / "file.h5", kspace, target, attrs={"acquisition": "AXT2", "patient_id": "7"})
    scan = read_slice(path, 2)
    np.testing.assert_array_equal(scan.kspace, kspace[2])
    np.testing.assert_array_equal(scan.target, target[2])
    assert scan.target is not None
    assert scan.attrs is not None
    assert (scan.kspace.dtype, scan.target.dtype) == (np.complex64, np.float32)
    assert (scan.name, scan.slices, scan.crop, scan.padding, scan.mask) == ("file.h5", (2,), (5, 5), (0, 6), None)
    assert scan.attrs["acquisition"] == "AXT2"
    assert scan.attrs["max"] == pytest.approx(target.max())
    assert scan.attrs["norm"] == pytest.approx(np.linalg.norm(target))


def test_a_volume_and_a_part_of_it(single):
    volume, part = read_volume(single), read_volume(single, slices=(1, 2))
    assert volume.target is not None
    np.testing.assert_array_equal(volume.kspace, numbered(4, 9, 6))
    np.testing.assert_array_equal(part.kspace, volume.kspace[1:3])
    np.testing.assert_array_equal(part.target, volume.target[1:3])
    assert (volume.slices, part.slices) == ((0, 1, 2, 3), (1, 2))
    assert read_volume(single, slices=(3, 3)).kspace.shape == (1, 9, 6)


def test_a_single_coil_file_ignores_the_multi_coil_target(single):
    with h5py.File(single, "r+") as file:
        file["reconstruction_rss"] = np.zeros((4, 7, 5))
    assert np.asarray(read_slice(single, 1).target).max() > 0


def test_a_test_file_has_a_mask_and_no_target(tmp_path):
    path = write_volume(tmp_path / "test.h5", numbered(2, 9, 6), mask=np.array([1, 0, 1, 1, 0, 1]))
    scan = read_slice(path, 0)
    assert scan.target is None
    assert "max" not in (scan.attrs or {})
    np.testing.assert_array_equal(scan.mask, np.array([[1, 0, 1, 1, 0, 1]], np.float32))
    with h5py.File(path, "r+") as file:
        del file["mask"]
        file["mask"] = np.ones(5)
    with pytest.raises(ValueError, match=r"test.h5.*'mask' has shape \(5,\).*6 columns"):
        read_slice(path, 0)


def test_values_outside_the_requested_slices_do_not_matter(single):
    with h5py.File(single, "r+") as file:
        file["kspace"][0] = np.nan
    np.testing.assert_array_equal(read_slice(single, 1).kspace, numbered(4, 9, 6)[1])
    assert read_volume(single, (1, 3)).kspace.shape == (3, 9, 6)
    for read in (lambda: read_slice(single, 0), lambda: read_volume(single)):
        with pytest.raises(ValueError, match=r"single.h5: NaN or infinity in the k-space of slices 0"):
            read()


def test_only_the_requested_slices_are_read_from_disk(single, monkeypatch):
    requests, getitem = [], h5py.Dataset.__getitem__

    def record_and_get(data, key):
        requests.append((data.name, key))
        return getitem(data, key)

    monkeypatch.setattr(h5py.Dataset, "__getitem__", record_and_get)
    read_slice(single, 1)
    read_volume(single, (1, 2))
    for name in ("/kspace", "/reconstruction_esc"):
        assert [key for data, key in requests if data == name] == [1, slice(1, 3)]


@pytest.mark.parametrize("which", [4, -1])
def test_slices_outside_the_file_raise(single, which):
    with pytest.raises(ValueError, match=r"single.h5: no slices .* it has 4"):
        read_slice(single, which)
    with pytest.raises(ValueError, match=r"single.h5: no slices 2 to 4"):
        read_volume(single, (2, 4))
    with pytest.raises(ValueError, match=r"single.h5: no slices 2 to 1"):
        read_volume(single, (2, 1))


def test_a_number_type_that_numpy_lacks_raises(tmp_path):
    """A flipped bit in the header of a dataset can cause this; h5py raises a TypeError."""
    with h5py.File(tmp_path / "bits.h5", "w") as file:
        h5py.h5d.create(file.id, b"kspace", h5py.h5t.UNIX_D32LE, h5py.h5s.create_simple((1, 4, 4)))
    with pytest.raises(ValueError, match=r"bits\.h5: truncated, or not an HDF5 file"):
        read_slice(tmp_path / "bits.h5", 0)


def test_missing_truncated_and_other_files_raise(tmp_path, single):
    with pytest.raises(ValueError, match=r"none.h5: no such file"):
        read_slice(tmp_path / "none.h5", 0)
    half = tmp_path / "half.h5"
    half.write_bytes(single.read_bytes()[:1500])
    text = tmp_path / "text.h5"
    text.write_text("version https://example.org/pointer")
    for path in (half, text):
        with pytest.raises(ValueError, match=rf"{path.name}: truncated, or not an HDF5 file"):
            read_slice(path, 0)


@pytest.mark.parametrize("values", [np.zeros((4, 6), complex), np.zeros((1, 2, 3, 4, 5), complex), np.zeros((4, 9, 6))])
def test_kspace_of_wrong_rank_or_type_raises(tmp_path, values):
    with h5py.File(tmp_path / "odd.h5", "w") as file:
        file["kspace"] = values
    with pytest.raises(ValueError, match=r"odd.h5: 'kspace' has shape .*must be complex with axes"):
        read_slice(tmp_path / "odd.h5", 0)


def test_the_error_for_absent_kspace_lists_the_datasets(tmp_path):
    with h5py.File(tmp_path / "odd.h5", "w") as file:
        file["image"] = np.zeros((1, 4, 4))
    with pytest.raises(ValueError, match=r"odd.h5: no dataset 'kspace', it holds \['image'\]"):
        read_slice(tmp_path / "odd.h5", 0)


def test_header_of_a_partly_acquired_kspace():
    header = make_header((640, 372), (320, 320)).replace("<maximum>371", "<maximum>331")
    assert parse_header(header.replace("<center>186", "<center>166")) == ((320, 320), (20, 352))


def test_crop_of_the_header_is_readout_then_phase_encode(tmp_path):
    path = write_volume(tmp_path / "a.h5", numbered(1, 12, 8), header=make_header((12, 8), (10, 7)))
    assert read_slice(path, 0).crop == (10, 7)


def test_the_crop_is_square_if_there_are_fewer_columns(tmp_path):
    path = write_volume(tmp_path / "flair.h5", numbered(1, 12, 6), header=make_header((12, 6), (8, 8)))
    scan = read_slice(path, 0)
    assert scan.crop == (6, 6)
    assert crop_image(ifft2c(scan.kspace), scan.crop).shape == (6, 6)


def test_a_file_without_a_header_has_no_crop(single):
    with h5py.File(single, "r+") as file:
        del file["ismrmrd_header"]
    scan = read_slice(single, 0)
    assert (scan.crop, scan.padding) == (None, None)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda header: header[:80], "is not XML"),
        (lambda header: header.replace("ismrm.org/ISMRMRD", "example.org"), "is absent"),
        (lambda header: header.replace("<center>3</center>", ""), "kspace_encoding_step_1/center is absent"),
        (lambda header: header.replace("<x>7</x>", "<x>seven</x>"), "matrixSize/x is 'seven'"),
    ],
)
def test_a_malformed_header_raises(tmp_path, damage, message):
    path = write_volume(tmp_path / "bad.h5", numbered(1, 9, 6), header=damage(make_header((9, 6), (7, 5))))
    with pytest.raises(ValueError, match=rf"bad.h5: ismrmrd_header.*{message}.*delete the dataset"):
        read_slice(path, 0)


@pytest.mark.skipif(not REAL.is_dir(), reason="no real data here")
@pytest.mark.parametrize("name", ["train/siat_s1_ax.h5", "train/mc_brain8_bart.h5", "val/sc_knee_bart_l1.h5"])
def test_real_targets_are_the_cropped_magnitude_of_the_kspace(name):
    scan = read_slice(REAL / name, 0)
    assert scan.crop is not None
    assert scan.target is not None
    magnitude = np.abs(crop_image(ifft2c(scan.kspace), scan.crop))
    image = np.sqrt((magnitude**2).sum(axis=0)) if magnitude.ndim == 3 else magnitude
    assert image.shape == scan.target.shape == scan.crop
    np.testing.assert_allclose(image, scan.target, atol=1e-3 * scan.target.max())
    assert scan.padding == (0, scan.kspace.shape[-1])
