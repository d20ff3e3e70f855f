"""Tests of recognising, describing and listing files with k-space of any format."""

import gzip
import shutil
import struct
import warnings
import zipfile

import h5py
import numpy as np
import pytest

from deqjax.data import (
    Scan,
    describe,
    list_files,
    open_scan,
    scan_shape,
    write_bart,
    write_cfl,
    write_dicom,
    write_ismrmrd,
    write_nifti,
    write_npz,
    write_volume,
)

KSPACE = (np.arange(3 * 2 * 8 * 6).reshape(3, 2, 8, 6) * (1 - 2j) + 1).astype(np.complex64)
MASK = np.array([[1, 0, 1, 1, 0, 1]], np.float32)
WRITERS = {
    "fastMRI HDF5": lambda folder, kspace: write_volume(folder / "scan.h5", kspace, mask=MASK[0]),
    "ISMRMRD HDF5": lambda folder, kspace: write_ismrmrd(folder / "scan.h5", kspace, MASK),
    "BART cfl": lambda folder, kspace: write_bart(folder / "scan", kspace * MASK),
    "NumPy npz": lambda folder, kspace: write_npz(folder / "scan.npz", kspace, mask=MASK),
}


@pytest.mark.parametrize("coils", [0, 2])
@pytest.mark.parametrize("name", WRITERS)
def test_all_formats_give_the_same_scan(tmp_path, name, coils):
    kspace = KSPACE if coils else KSPACE[:, 0]
    path = WRITERS[name](tmp_path, kspace)
    scan, part = open_scan(path), open_scan(path, slices=(1, 2))
    assert (scan.format, scan.name) == (name, path.name)
    assert scan_shape(path) == scan.kspace.shape == kspace.shape
    np.testing.assert_array_equal(scan.mask * scan.kspace, MASK * kspace)
    np.testing.assert_array_equal(scan.mask, MASK)
    np.testing.assert_array_equal(part.kspace, scan.kspace[1:])
    assert (scan.slices, part.slices) == ((0, 1, 2), (1, 2))
    expected = f"{path.name}, {name}: 3 slices, {'2 coils' if coils else '1 coil'}, 8 x 6, 67 % sampled"
    assert describe(scan).startswith(expected)
    with pytest.raises(ValueError, match=rf"{path.name}: no slices 2 to 3"):
        open_scan(path, slices=(2, 3))


@pytest.mark.parametrize("name", [name for name in WRITERS if name != "BART cfl"])
def test_the_content_decides_and_not_the_suffix(tmp_path, name):
    path = WRITERS[name](tmp_path, KSPACE)
    for other in ("scan", "scan.dat", "scan.cfl", "scan.nii.gz"):
        shutil.copy(path, tmp_path / other)
        assert open_scan(tmp_path / other).format == name
        assert scan_shape(tmp_path / other) == KSPACE.shape


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_nifti_images_are_simulated(tmp_path, suffix):
    pytest.importorskip("nibabel")
    (path,) = write_nifti(tmp_path / f"scan{suffix}", np.abs(KSPACE[:, 0]), (5.0, 1.0, 1.0))
    assert scan_shape(path) == (3, 8, 6)
    text = f"scan{suffix}, NIfTI image, simulated: 3 slices, 1 coil, 8 x 6, all sampled, 5 x 1 x 1 mm, with target"
    assert describe(open_scan(path)) == text
    nibabel = pytest.importorskip("nibabel")
    nibabel.save(nibabel.Nifti1Pair(np.ones((6, 8, 3)), np.eye(4)), tmp_path / "pair.hdr")  # .hdr, but not BART's
    assert scan_shape(tmp_path / "pair.hdr") == (3, 8, 6)


@pytest.mark.parametrize("name", ["scan", "scan.cfl", "scan.hdr"])
def test_a_bart_pair_opens_under_each_of_its_names(tmp_path, name):
    write_bart(tmp_path / "scan", KSPACE)
    assert open_scan(tmp_path / name).kspace.shape == KSPACE.shape
    assert open_scan(str(tmp_path / name)).name == "scan.cfl"


def test_a_bart_pair_may_have_a_dot_in_its_name(tmp_path):
    write_bart(tmp_path / "scan.1", KSPACE)
    assert open_scan(tmp_path / "scan.1").kspace.shape == KSPACE.shape


def test_a_file_of_two_formats_raises(tmp_path):
    path = write_ismrmrd(tmp_path / "scan.h5", KSPACE)
    with h5py.File(path, "r+") as file:
        file["kspace"] = KSPACE
    with pytest.raises(ValueError, match=r"scan\.h5: is of two formats, fastMRI and ISMRMRD; name the reader"):
        open_scan(path)


def test_a_name_that_stands_for_two_files_raises(tmp_path):
    write_bart(tmp_path / "scan", KSPACE)
    shutil.copy(write_npz(tmp_path / "other.npz", KSPACE), tmp_path / "scan")
    with pytest.raises(ValueError, match=r"scan: is of two formats, BART and npz; name the reader"):
        open_scan(tmp_path / "scan")
    assert open_scan(tmp_path / "scan.cfl").format == "BART cfl"


def write_unknown(folder):
    """Write files of no known format; yield each path with a pattern of the description in the message."""
    with h5py.File(folder / "other.h5", "w") as file:
        file["image"] = np.ones(3)
    yield folder / "other.h5", r"it is HDF5 with \['image'\]"
    np.savez(folder / "other.npz", image=np.ones(3))
    yield folder / "other.npz", r"it is a zip archive with \['image\.npy'\]"
    with zipfile.ZipFile(folder / "scan.zip", "w") as archive:
        archive.writestr("readme", "text")
    yield folder / "scan.zip", r"a zip archive with \['readme'\]"
    (folder / "scan.cfl").write_bytes(bytes(16))
    yield folder / "scan.cfl", r"it is bytes b'\\x00"
    (folder / "scan.nii").write_text("some text")
    yield folder / "scan.nii", "it is bytes b'some tex' at its start"
    (folder / "scan.gz").write_bytes(gzip.compress(b"other"))
    yield folder / "scan.gz", "it is bytes b'other' at its start"
    (folder / "cut.gz").write_bytes(gzip.compress(b"other")[:8])
    yield folder / "cut.gz", r"it is bytes b'\\x1f"
    (folder / "empty.h5").write_bytes(b"")
    yield folder / "empty.h5", "it is bytes b'' at its start"


def test_files_of_no_known_format_raise(tmp_path):
    for path, message in write_unknown(tmp_path):
        for read in (open_scan, scan_shape):
            with pytest.raises(
                ValueError, match=rf"{path.name}: is of no known format; looked for fastMRI .*{message}"
            ):
                read(path)


def test_dicom_images_raise(tmp_path):
    pytest.importorskip("pydicom")
    (path,) = write_dicom(tmp_path / "series", np.ones((4, 4)), (1.0, 1.0, 1.0))
    with pytest.raises(ValueError, match=r"0001\.dcm: is of no known format; .*a DICOM image, which has no k-space"):
        open_scan(path)


def test_missing_files_and_folders_raise(tmp_path):
    with pytest.raises(ValueError, match=r"none: no such file"):
        open_scan(tmp_path / "none")
    with pytest.raises(ValueError, match="a folder; name a file in it"):
        open_scan(tmp_path)


def test_truncated_files_raise_an_error_that_names_them(tmp_path):
    """Wherever a file is truncated, the error is a ValueError with the name of the file."""
    paths = [WRITERS[name](tmp_path / str(i), KSPACE) for i, name in enumerate(WRITERS)]
    for path in paths:
        content = path.read_bytes()
        for kept in np.linspace(0, len(content) - 1, 23).astype(int):
            path.write_bytes(content[:kept])
            with pytest.raises(ValueError, match=rf"{path.name}"):
                open_scan(path)


@pytest.mark.parametrize("name", ["scan.nii.gz", "scan.npz"])
def test_damaged_archives_raise_an_error_that_names_them(tmp_path, name):
    pytest.importorskip("nibabel")
    path = tmp_path / name
    if name == "scan.npz":
        np.savez_compressed(path, kspace=KSPACE)
    else:
        write_nifti(path, np.abs(KSPACE[:, 0]), (5.0, 1.0, 1.0))
    content, messages = path.read_bytes(), []
    for at in range(12, len(content), 29):
        path.write_bytes(content[:at] + bytes([content[at] ^ 0x55]) + content[at + 1 :])
        try:
            open_scan(path)  # some bytes change nothing that matters
        except ValueError as error:
            messages.append(str(error))
    assert len(messages) > 5
    assert all(name in message for message in messages)


def test_errors_of_the_reader_are_passed_on(tmp_path):
    path = write_cfl(tmp_path / "scan", np.ones((4, 3)))
    path.write_bytes(bytes(8))
    for read in (open_scan, scan_shape):
        with pytest.raises(ValueError, match=r"scan\.cfl: has 8 bytes, but scan\.hdr says"):
            read(path)


def test_list_files_takes_a_file_a_folder_or_a_pattern(tmp_path):
    for name in ("b.h5", "a.h5", "note.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in list_files(tmp_path)] == ["a.h5", "b.h5"]
    assert [path.name for path in list_files(str(tmp_path / "[b-z]*.h5"))] == ["b.h5"]
    assert list_files(tmp_path / "note.txt") == [tmp_path / "note.txt"]
    for name in ("c.npz", "d.nii.gz", "e.cfl", "e.hdr"):
        (tmp_path / name).touch()
    assert [path.name for path in list_files(tmp_path)] == ["a.h5", "b.h5", "c.npz", "d.nii.gz", "e.cfl"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"empty: the folder holds no file that ends with"):
        list_files(tmp_path / "empty")
    with pytest.raises(ValueError, match="no such file or folder"):
        list_files(tmp_path / "c*.h5")


def mistaken_files(folder):
    """Write files that people open by mistake; yield each path with a pattern of the advice."""
    (folder / "lfs.h5").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n")
    yield folder / "lfs.h5", "a Git LFS pointer .* git lfs pull"
    np.save(folder / "a.npy", KSPACE)
    yield folder / "a.npy", r"numpy\.savez\(path, kspace=array\), or write_npz"
    (folder / "a.mat").write_bytes(b"MATLAB 5.0 MAT-file, Platform: GLNXA64".ljust(200))
    yield folder / "a.mat", r"scipy\.io\.loadmat"
    (folder / "a.dcm").write_bytes(bytes(128) + b"DICM" + bytes(300))
    yield folder / "a.dcm", "a DICOM image.*dcm2niix"
    (folder / "page.nii.gz").write_text("<!DOCTYPE html><html>404</html>")
    yield folder / "page.nii.gz", "the page of a failed download"
    (folder / "alone.img").write_bytes(bytes(240))
    yield folder / "alone.img", r"an image without its header alone\.hdr"
    (folder / "analyze.hdr").write_bytes(struct.pack("<i", 348) + bytes(344))
    yield folder / "analyze.hdr", r"Analyze 7\.5 image; save the image as NIfTI"
    compound = np.zeros(KSPACE.shape, [("real", "<f8"), ("imag", "<f8")])
    pairs = np.stack([KSPACE.real, KSPACE.imag], axis=-1)
    for name, kspace, advice in (
        ("matlab.mat", compound, r"MATLAB 7\.3 .*\(k\['real'\] \+ 1j \* k\['imag'\]\)\.T"),
        ("pairs.h5", pairs, r"kspace\[\.\.\., 0\] \+ 1j \* kspace\[\.\.\., 1\]"),
        ("first.h5", np.moveaxis(pairs, -1, 0), r"kspace\[0\] \+ 1j \* kspace\[1\]"),
        ("real.h5", KSPACE.real, "it must be complex .*; write it with write_volume"),
        ("text.h5", np.array([b"text"] * 3), "it must be complex"),
        ("huge.h5", KSPACE.astype(complex) * 1e60, "values up to .*float32 and complex64: scale it"),
        ("tiny.h5", KSPACE.astype(complex) * 1e-60, "values up to .*float32 and complex64: scale it"),
    ):
        with h5py.File(folder / name, "w") as file:
            file["kspace"] = kspace
        yield folder / name, advice
    np.savez(folder / "pairs.npz", kspace=pairs[0, 0])
    yield folder / "pairs.npz", r"kspace\[\.\.\., 0\] \+ 1j"
    np.savez(folder / "huge.npz", kspace=KSPACE.astype(complex) * 1e60)
    yield folder / "huge.npz", "values up to .*scale it"


def test_files_that_people_open_by_mistake_raise_an_error_with_advice(tmp_path):
    for path, advice in mistaken_files(tmp_path):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(ValueError, match=rf"{path.name}: .*{advice}"):
                open_scan(path)


def test_pairs_of_nifti_files(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    nibabel.save(nibabel.Nifti1Pair(np.ones((6, 8, 3), np.float32), np.eye(4)), tmp_path / "pair.img")
    with pytest.raises(ValueError, match=r"pair\.img: .* the voxels of the pair .*; give pair\.hdr"):
        open_scan(tmp_path / "pair.img")
    assert open_scan(tmp_path / "pair.hdr").kspace.shape == (3, 8, 6)
    (tmp_path / "pair.img").unlink()
    with pytest.raises(ValueError, match=r"pair\.hdr: its voxels in pair\.img are missing"):
        open_scan(tmp_path / "pair.hdr")


@pytest.mark.parametrize("kind", ["npz", "fastMRI"])
@pytest.mark.parametrize(
    ("mask", "advice"),
    [
        (255 * MASK[0].astype(np.uint8), "from 0 to 255: divide it by 255"),
        (0.5 * MASK[0], "divide it by 0.5"),
        (2 * MASK[0] - 1, "from -1 to 1"),
        (np.where(MASK[0] == 1, np.nan, 0), "NaN or infinity"),
    ],
)
def test_masks_of_other_values_than_0_and_1_raise(tmp_path, kind, mask, advice):
    path = tmp_path / ("a.npz" if kind == "npz" else "a.h5")
    if kind == "npz":
        np.savez(path, kspace=KSPACE, mask=mask)
    else:
        with h5py.File(path, "w") as file:
            file["kspace"], file["mask"] = KSPACE, mask
    with pytest.raises(ValueError, match=rf"{path.name}: .*{advice}|{path.name}: NaN or infinity"):
        open_scan(path)
    path.unlink()
    write = WRITERS_OF_MASKS[kind]
    with pytest.raises(ValueError, match="mask"):
        write(path, KSPACE, mask)
    with pytest.raises(ValueError, match="mask"):
        write_ismrmrd(path, KSPACE, mask[None])
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match=r"a\.h5: the mask must hold only 0"):
        Scan(KSPACE, mask=mask[None], name="a.h5")


WRITERS_OF_MASKS = {
    "npz": lambda path, kspace, mask: write_npz(path, kspace, mask=mask),
    "fastMRI": lambda path, kspace, mask: write_volume(path, kspace, mask=mask),
}


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float64])
def test_masks_of_bools_and_integers_become_float32(tmp_path, dtype):
    np.savez(tmp_path / "a.npz", kspace=KSPACE, mask=MASK.astype(dtype))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["kspace"], file["mask"] = KSPACE, MASK[0].astype(dtype)
    for scan in (open_scan(tmp_path / "a.npz"), open_scan(tmp_path / "a.h5"), Scan(KSPACE, mask=MASK.astype(bool))):
        assert scan.mask is not None
        assert scan.mask.dtype == np.float32
        np.testing.assert_array_equal(scan.mask, MASK)
