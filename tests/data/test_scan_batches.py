"""Batches of slices: one shape each, volumes together, nothing read before it is needed, and every refusal."""

import numpy as np
import pytest

from deqjax.data import open_scan, scan_batches, write_bart, write_ismrmrd, write_npz, write_volume
from deqjax.data import scan_batches as function

KSPACE = (np.arange(5 * 2 * 8 * 6).reshape(5, 2, 8, 6) * (1 - 2j) + 1).astype(np.complex64)


@pytest.fixture
def files(tmp_path):
    """Four formats; two shapes and one file of a single coil among them."""
    return [
        write_volume(tmp_path / "a.h5", KSPACE),
        write_bart(tmp_path / "b", KSPACE[:3, :, :7]),
        write_ismrmrd(tmp_path / "c.h5", 2 * KSPACE[:3], np.array([[1, 0, 1, 1, 1, 1]])),
        write_npz(tmp_path / "d.npz", KSPACE[:2, 0]),
        write_npz(tmp_path / "e.npz", 3 * KSPACE[:2, :, :7], mask=np.eye(2, 6)[:, None], smaps=KSPACE[:2, :, :7]),
    ]


def names(batches):
    return [[(scan.name[0], *scan.slices) for scan in batch] for batch in batches]


def test_one_shape_a_batch_and_the_slices_of_a_file_together(files):
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
def test_every_slice_comes_once_and_is_the_one_of_its_file(files, batch_size):
    scans = [scan for batch in scan_batches(files, batch_size) for scan in batch]
    assert len({(scan.name, scan.slices) for scan in scans}) == len(scans) == 15
    by_name = {open_scan(path).name: open_scan(path) for path in files}
    for scan in scans:
        (number,) = scan.slices
        np.testing.assert_array_equal(scan.kspace, by_name[scan.name].kspace[number])
        mask = by_name[scan.name].mask
        if mask is not None:
            np.testing.assert_array_equal(scan.mask, mask[number] if mask.ndim == 3 else mask)
            assert scan.mask.shape == (1, 6)
        if scan.smaps is not None:
            np.testing.assert_array_equal(scan.smaps, by_name[scan.name].smaps[number])


def test_chosen_slices_and_files_that_lack_them(files):
    assert names(scan_batches(files, 10, slices=(2, 3))) == [[("a", 2), ("a", 3), ("c", 2)], [("b", 2)]]
    assert names(scan_batches(files, 10, slices=(0, 0)))[0] == [("a", 0), ("c", 0)]


def test_targets_lose_their_slice_axis(tmp_path):
    target = np.abs(KSPACE[:, 0])
    (batch,) = scan_batches([write_volume(tmp_path / "a.h5", KSPACE, target)], 5)
    np.testing.assert_array_equal(np.stack([scan.target for scan in batch]), target)


def test_nothing_is_read_before_it_is_asked_for(files, monkeypatch):
    read = []
    module = function.__globals__
    real = module["open_scan"]
    monkeypatch.setitem(
        module, "open_scan", lambda path, slices: read.append((path.name[0], slices)) or real(path, slices)
    )
    batches = scan_batches(files, batch_size=3)
    assert read == []
    next(batches)
    assert read == [("a", (0, 2))]
    next(batches)
    assert read == [("a", (0, 2)), ("a", (3, 4)), ("c", (0, 0))]


def test_a_file_given_twice_comes_twice(files):
    assert names(scan_batches([files[3]] * 2, 3)) == [[("d", 0), ("d", 1), ("d", 0)], [("d", 1)]]


def test_it_is_a_pure_function_of_its_arguments(files):
    first, second = (names(scan_batches(iter(files), 4)) for _ in range(2))
    assert first == second


@pytest.mark.parametrize(("count", "batch_size"), [(0, 2), (2, 0)])
def test_refusals_come_before_the_first_batch(files, count, batch_size):
    with pytest.raises(ValueError, match=r"give at least one file|need batch_size >= 1, got 0"):
        scan_batches(files[:count], batch_size)
    with pytest.raises(ValueError, match="no slices"):
        scan_batches(files, 2, slices=(7, 9))
    with pytest.raises(ValueError, match=r"none\.h5: no such file"):
        scan_batches([*files, "none.h5"], 2)
