"""Tests of reading and writing .npz archives: accepted shapes, requested slices and errors."""

import zipfile

import numpy as np
import pytest

from deqjax.data import read_npz, write_npz
from deqjax.data.formats.npz import npz_shape

KSPACE = (np.arange(3 * 2 * 7 * 6).reshape(3, 2, 7, 6) * (1 + 2j)).astype(np.complex64)
ONE = KSPACE[:, 0]


@pytest.mark.parametrize("kspace", [KSPACE, ONE, KSPACE[:, :1], KSPACE[:1], ONE[:1]])
def test_round_trip_is_bit_equal(tmp_path, kspace):
    target = np.abs(kspace[:, 0, :5, :5] if kspace.ndim == 4 else kspace[:, :5, :5])
    mask = np.array([[1, 0, 1, 0, 1, 1]])
    scan = read_npz(write_npz(tmp_path / "a.npz", kspace, mask=mask, target=target))
    np.testing.assert_array_equal(scan.kspace, kspace)
    np.testing.assert_array_equal(scan.target, target)
    np.testing.assert_array_equal(scan.mask, mask)
    assert scan.target is not None
    assert scan.mask is not None
    assert (scan.kspace.dtype, scan.target.dtype, scan.mask.dtype) == (np.complex64, np.float32, np.float32)
    assert (scan.name, scan.slices, scan.format) == ("a.npz", tuple(range(len(kspace))), "NumPy npz")
    assert npz_shape(tmp_path / "a.npz") == kspace.shape


def test_one_slice_without_a_slice_axis(tmp_path):
    scan = read_npz(write_npz(tmp_path / "a.npz", ONE[0], target=np.abs(ONE[0])))
    assert (scan.kspace.shape, np.asarray(scan.target).shape) == ((1, 7, 6), (1, 7, 6))
    scan = read_npz(write_npz(tmp_path / "b.npz", KSPACE[0], smaps=KSPACE[1]))
    assert (scan.kspace.shape, np.asarray(scan.smaps).shape) == ((1, 2, 7, 6), (2, 7, 6))
    np.testing.assert_array_equal(scan.kspace[0], KSPACE[0])


@pytest.mark.parametrize("shape", [(6,), (1, 6), (7, 6), (3, 1, 6), (3, 7, 6)])
def test_masks_of_every_accepted_shape(tmp_path, shape):
    mask = np.random.default_rng(0).uniform(size=shape) < 0.5
    path = write_npz(tmp_path / "a.npz", KSPACE, mask=mask, smaps=KSPACE)
    scan = read_npz(path, slices=(1, 2))
    np.testing.assert_array_equal(scan.mask, mask[1:] if len(shape) == 3 else np.atleast_2d(mask))
    np.testing.assert_array_equal(scan.smaps, KSPACE[1:])
    np.broadcast_to(np.asarray(scan.mask), (2, 7, 6))


def test_one_coil_with_a_mask_for_every_slice(tmp_path):
    path = write_npz(tmp_path / "a.npz", ONE, mask=np.eye(3, 6)[:, None])
    np.testing.assert_array_equal(read_npz(path, slices=(2, 2)).mask, [[[0, 0, 1, 0, 0, 0]]])


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_reads_only_the_requested_slices_of_files_of_numpy(tmp_path, save):
    kspace = KSPACE.astype(np.complex128)
    kspace[0] = np.nan  # slices that are not requested are not checked
    save(tmp_path / "a.npz", kspace=kspace, note=np.array("something else"))
    np.testing.assert_array_equal(read_npz(tmp_path / "a.npz", slices=(1, 1)).kspace, KSPACE[1:2])
    save(tmp_path / "b.npz", kspace=np.asfortranarray(KSPACE))
    np.testing.assert_array_equal(read_npz(tmp_path / "b.npz", slices=(1, 2)).kspace, KSPACE[1:])
    with pytest.raises(ValueError, match=r"a\.npz: NaN or infinity in 'kspace' of slices 0 to 2"):
        read_npz(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"ksp": KSPACE}, r"no array 'kspace', it holds \['ksp'\]"),
        ({"kspace": KSPACE.real}, "type float32; it must be complex"),
        ({"kspace": KSPACE[0, 0, 0]}, r"shape \(6,\) .*it must be complex with axes"),
        ({"kspace": KSPACE[:0]}, r"shape \(0, 2, 7, 6\)"),
        ({"kspace": KSPACE, "mask": np.ones(5)}, r"'mask' has shape \(5,\), but 'kspace' is \(3, 2, 7, 6\) .*\(6,\)"),
        ({"kspace": KSPACE, "mask": np.ones((2, 1, 6))}, r"'mask' has shape \(2, 1, 6\)"),
        ({"kspace": KSPACE, "smaps": KSPACE[0, :1]}, r"'smaps' has shape \(1, 7, 6\)"),
        ({"kspace": ONE, "smaps": KSPACE}, "'smaps' has shape .*left out, there is one coil"),
        ({"kspace": KSPACE, "target": np.ones((2, 7, 6))}, r"'target' has shape \(2, 7, 6\).* 3 slices"),
        ({"kspace": KSPACE, "target": np.ones((7, 6))}, "'target' has shape"),
        ({"kspace": KSPACE, "target": ONE}, "'target' .*it must be real"),
        ({"kspace": np.array([None])}, "type object; it must be complex"),
    ],
)
def test_invalid_arrays_raise(tmp_path, arrays, message):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(ValueError, match=r"a\.npz: .*" + message):
        read_npz(tmp_path / "a.npz")


def test_invalid_files_raise(tmp_path):
    with pytest.raises(ValueError, match=r"none\.npz: no such file"):
        read_npz(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("text")
    with pytest.raises(ValueError, match=r"text\.npz: no readable \.npz archive"):
        read_npz(tmp_path / "text.npz")
    with zipfile.ZipFile(tmp_path / "zip.npz", "w") as archive:
        archive.writestr("kspace.npy", b"nonsense")
    with pytest.raises(ValueError, match=r"zip\.npz: no readable \.npz archive"):
        read_npz(tmp_path / "zip.npz")
    path = write_npz(tmp_path / "a.npz", KSPACE)
    with pytest.raises(ValueError, match=r"a\.npz: no slices 2 to 3; it has 3"):
        read_npz(path, slices=(2, 3))
    content = path.read_bytes()
    path.write_bytes(content[:600] + bytes(8) + content[608:])  # the check sum no longer fits
    with pytest.raises(ValueError, match=r"a\.npz: no readable \.npz archive"):
        read_npz(path)
    path.write_bytes(content[:-100])
    with pytest.raises(ValueError, match=r"a\.npz: no readable \.npz archive"):
        read_npz(path)


def test_invalid_input_is_not_written(tmp_path):
    path = write_npz(tmp_path / "a.npz", KSPACE)
    with pytest.raises(ValueError, match=r"a\.npz: exists and is not overwritten"):
        write_npz(path, ONE)
    assert npz_shape(write_npz(path, ONE, overwrite=True)) == (3, 7, 6)
    for name, kspace, message in (
        ("b", KSPACE, "must end with .npz"),
        ("b.npz", KSPACE * np.nan, "NaN or infinity in kspace"),
        ("b.npz", KSPACE.real, "must be complex"),
    ):
        with pytest.raises(ValueError, match=message):
            write_npz(tmp_path / name, kspace)
    assert [p.name for p in tmp_path.iterdir()] == ["a.npz"]
