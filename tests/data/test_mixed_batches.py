"""Tests of batches of slices from files of several formats and shapes."""

import numpy as np
import pytest

from deqjax.data import mixed_batches as module
from deqjax.data import open_scan, scan_batches, write_bart, write_ismrmrd, write_npz, write_volume

KSPACE = (np.arange(5 * 2 * 8 * 6).reshape(5, 2, 8, 6) * (1 - 2j) + 1).astype(np.complex64)


@pytest.fixture
def files(tmp_path):
    """Write files of four formats with two shapes, one of them with a single coil."""
    return [
        write_volume(tmp_path / "a.h5", KSPACE),
        write_bart(tmp_path / "b", KSPACE[:3, :, :7]),
        write_ismrmrd(tmp_path / "c.h5", 2 * KSPACE[:3], np.array([[1, 0, 1, 1, 1, 1]])),
        write_npz(tmp_path / "d.npz", KSPACE[:2, 0]),
        write_npz(tmp_path / "e.npz", 3 * KSPACE[:2, :, :7], mask=np.eye(2, 6)[:, None], smaps=KSPACE[:2, :, :7]),
    ]


def names(batches):
    return [[(scan.name[0], *scan.slices) for scan in batch] for batch in batches]


def test_each_batch_has_one_shape_and_slices_of_a_file_stay_together(files):
    batches = list(scan_batches(files, batch_size=4))
    assert names(batches) == [
        [("a", 0), ("a", 1), ("a", 2), ("a", 3)],
        [("a", 4), ("c", 0), ("c", 1), ("c", 2)],
        [("b", 0), ("b", 1), ("b", 2), ("e", 0)],
        [("e", 1)],
        [("d", 0), ("d", 1)],
    ]
    for batch in batches:
        assert np.stack([scan.kspace for scan in batch]).ndim == batch[0].kspace.ndim + 1


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_every_slice_comes_once_with_the_data_of_its_file(files, batch_size):
    scans = [scan for batch in scan_batches(files, batch_size) for scan in batch]
    assert len({(scan.name, scan.slices) for scan in scans}) == len(scans) == 15
    by_name = {open_scan(path).name: open_scan(path) for path in files}
    for scan in scans:
        (number,) = scan.slices
        np.testing.assert_array_equal(scan.kspace, by_name[scan.name].kspace[number])
        mask, smaps = by_name[scan.name].mask, by_name[scan.name].smaps
        if mask is not None:
            np.testing.assert_array_equal(scan.mask, mask[number] if mask.ndim == 3 else mask)
            assert np.asarray(scan.mask).shape == (1, 6)
        if smaps is not None:
            np.testing.assert_array_equal(scan.smaps, smaps[number])


def test_slice_range_skips_slices_that_files_lack(files):
    assert names(scan_batches(files, 10, slices=(2, 3))) == [[("a", 2), ("a", 3), ("c", 2)], [("b", 2)]]
    assert names(scan_batches(files, 10, slices=(0, 0)))[0] == [("a", 0), ("c", 0)]


def test_targets_have_no_slice_axis(tmp_path):
    target = np.abs(KSPACE[:, 0])
    (batch,) = scan_batches([write_volume(tmp_path / "a.h5", KSPACE, target)], 5)
    np.testing.assert_array_equal(np.stack([np.asarray(scan.target) for scan in batch]), target)


def test_kspace_is_read_when_its_batch_is_asked_for(files, monkeypatch):
    read = []

    def record_and_open(path, slices):
        read.append((path.name[0], slices))
        return open_scan(path, slices)

    monkeypatch.setattr(module, "open_scan", record_and_open)
    batches = scan_batches(files, batch_size=3)
    assert read == []
    next(batches)
    assert read == [("a", (0, 2))]
    next(batches)
    assert read == [("a", (0, 2)), ("a", (3, 4)), ("c", (0, 0))]


def test_a_file_given_twice_comes_twice(files):
    assert names(scan_batches([files[3]] * 2, 3)) == [[("d", 0), ("d", 1), ("d", 0)], [("d", 1)]]


def test_batches_depend_on_the_arguments_alone(files):
    first, second = (names(scan_batches(iter(files), 4)) for _ in range(2))
    assert first == second


@pytest.mark.parametrize(("count", "batch_size"), [(0, 2), (2, 0)])
def test_errors_are_raised_before_the_first_batch(files, count, batch_size):
    with pytest.raises(ValueError, match=r"give at least one file|need batch_size >= 1, got 0"):
        scan_batches(files[:count], batch_size)
    with pytest.raises(ValueError, match="no slices"):
        scan_batches(files, 2, slices=(7, 9))
    with pytest.raises(ValueError, match=r"none\.h5: no such file"):
        scan_batches([*files, "none.h5"], 2)
