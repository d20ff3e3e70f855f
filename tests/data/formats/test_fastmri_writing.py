"""Tests of writing fastMRI files: layout, complete files, no overwriting, and errors."""

import h5py
import numpy as np
import pytest

from deqjax.data import read_volume, write_submission, write_volume

KSPACE = np.ones((2, 3, 7, 6), np.complex128)
TARGET = np.ones((2, 7, 5))


def test_layout_of_the_file(tmp_path):
    path = write_volume(tmp_path / "new" / "a.h5", KSPACE, TARGET, attrs={"max": 5.0})
    with h5py.File(path) as file:
        assert sorted(file) == ["ismrmrd_header", "kspace", "reconstruction_rss"]
        assert file["kspace"].dtype == np.complex64
        assert file["reconstruction_rss"].dtype == np.float32
        assert file.attrs["max"] == 5.0
    assert [p.name for p in path.parent.iterdir()] == ["a.h5"]


def test_existing_files_are_kept_unless_overwrite_is_set(tmp_path):
    path = write_volume(tmp_path / "a.h5", KSPACE)
    with pytest.raises(ValueError, match=r"a.h5: exists"):
        write_volume(path, 2 * KSPACE)
    assert read_volume(path).kspace.max() == 1
    write_volume(path, 2 * KSPACE, overwrite=True)
    assert read_volume(path).kspace.max() == 2


def test_a_failure_leaves_no_partial_file(tmp_path):
    path = write_volume(tmp_path / "a.h5", KSPACE)
    with pytest.raises(TypeError):
        write_volume(path, KSPACE, attrs={"bad": object()}, overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["a.h5"]
    assert read_volume(path).kspace.shape == KSPACE.shape


@pytest.mark.parametrize(
    ("kspace", "target", "mask", "message"),
    [
        (KSPACE[0, 0], None, None, r"kspace must be complex .*shape \(7, 6\)"),
        (KSPACE.real, None, None, "kspace must be complex"),
        (KSPACE, TARGET[:1], None, "target must be real .* 2 slices"),
        (KSPACE, TARGET.astype(complex), None, "target must be real"),
        (KSPACE, None, np.ones(5), r"mask has shape \(5,\)"),
        (KSPACE * np.nan, None, None, "NaN or infinity in kspace"),
        (KSPACE, TARGET * np.inf, None, "NaN or infinity in reconstruction_rss"),
    ],
)
def test_invalid_input_raises(tmp_path, kspace, target, mask, message):
    with pytest.raises(ValueError, match=message):
        write_volume(tmp_path / "a.h5", kspace, target, mask=mask)
    assert not list(tmp_path.iterdir())


def test_submission_holds_one_dataset(tmp_path):
    path = write_submission(tmp_path / "file1.h5", TARGET)
    with h5py.File(path) as file:
        assert sorted(file) == ["reconstruction"]
        assert file["reconstruction"].shape == TARGET.shape
        assert file["reconstruction"].dtype == np.float32
    with pytest.raises(ValueError, match="exists"):
        write_submission(path, TARGET)
    for bad in (TARGET[0], TARGET.astype(complex)):
        with pytest.raises(ValueError, match="reconstruction must be real"):
            write_submission(tmp_path / "b.h5", bad)
