"""Damaged files: every reader gives a scan or a ValueError that names the file, soon and in little memory."""

import contextlib
import gzip
import resource
import struct
import time
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from deqjax.data import (
    open_scan,
    read_calibration,
    read_ismrmrd,
    read_noise,
    scan_shape,
    write_bart,
    write_ismrmrd,
    write_nifti,
    write_npz,
    write_volume,
)

RNG = np.random.default_rng(0)
KSPACE = (RNG.normal(size=(3, 2, 8, 6)) + 1j * RNG.normal(size=(3, 2, 8, 6))).astype(np.complex64)
IMAGE = np.abs(KSPACE[:, 0])
MASK = np.array([[1, 0, 1, 1, 0, 1]], np.float32)
SECONDS, BYTES = 2.0, 2**30


def compressed_volume(folder: Path) -> Path:
    with h5py.File(folder / "scan.h5", "w") as file:
        file.create_dataset("kspace", data=KSPACE, compression="gzip", chunks=(1, 2, 8, 6))
        file["mask"], file.attrs["patient_id"] = MASK[0], "someone"
    return folder / "scan.h5"


def compressed_archive(folder: Path) -> Path:
    np.savez_compressed(folder / "scan.npz", kspace=KSPACE, mask=MASK)
    return folder / "scan.npz"


WRITERS: dict[str, Callable[[Path], Path]] = {
    "fastMRI": lambda folder: write_volume(folder / "scan.h5", KSPACE, IMAGE, mask=MASK[0]),
    "fastMRI compressed": compressed_volume,
    "ISMRMRD": lambda folder: write_ismrmrd(folder / "scan.h5", KSPACE, MASK, noise=KSPACE[0, :, 0]),
    "npz": lambda folder: write_npz(folder / "scan.npz", KSPACE, mask=MASK, smaps=KSPACE[0], target=IMAGE),
    "npz compressed": compressed_archive,
    "BART": lambda folder: write_bart(folder / "scan", KSPACE),
    "BART header": lambda folder: write_bart(folder / "scan", KSPACE),
    "NIfTI": lambda folder: write_nifti(folder / "scan.nii", IMAGE, (5.0, 1.0, 1.0))[0],
    "NIfTI compressed": lambda folder: write_nifti(folder / "scan.nii.gz", IMAGE, (5.0, 1.0, 1.0))[0],
}


def damage(content: bytes, rng: np.random.Generator) -> bytes:
    """Change some bytes, cut the end off, or remove, insert or copy a piece; half of it within the first 1500 bytes."""
    changed = bytearray(content)
    kind = rng.integers(0, 8)
    if kind < 5:
        for _ in range(rng.integers(1, 6)):
            at = int(rng.integers(0, len(changed) if rng.random() < 0.5 else min(len(changed), 1500)))
            values = (0, 1, 127, 128, 255, int(rng.integers(256)), changed[at] ^ (1 << int(rng.integers(8))))
            changed[at] = values[rng.integers(len(values))]
        return bytes(changed)
    at, size, source = (int(value) for value in rng.integers(0, len(changed), 3))
    size = min(size, 64)
    if kind == 5:
        del changed[at:]
    elif kind == 6:
        changed[at : at + size] = changed[source : source + size]
    elif rng.random() < 0.5:
        del changed[at : at + size]
    else:
        changed[at:at] = rng.bytes(size)
    return bytes(changed)


def readers(name: str) -> list[Callable[[Path], object]]:
    if name != "ISMRMRD":
        return [open_scan, scan_shape]
    return [
        open_scan,
        scan_shape,
        read_noise,
        read_calibration,
        lambda path: read_ismrmrd(path, (0, 0), remove_oversampling=True),
    ]


def check_damaged_files(name: str, count: int, seed: int, folder: Path) -> None:
    path = WRITERS[name](folder)
    damaged = path.with_suffix(".hdr") if name == "BART header" else path
    content, rng, refused = damaged.read_bytes(), np.random.default_rng(seed), 0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(count):
        damaged.write_bytes(damage(content, rng))
        for read in readers(name):
            start, message = time.process_time(), None
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)
                try:
                    read(path)
                except ValueError as error:
                    message = str(error)
            assert time.process_time() - start < SECONDS, number
            if message is not None:
                refused += 1
                assert "scan." in message, (number, message)
                assert message.isprintable(), (number, message)
                assert len(message) < 1000, (number, message)
    assert refused > count // 10
    assert 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) < BYTES


@pytest.mark.parametrize("name", WRITERS)
def test_damaged_files_give_a_scan_or_an_error_that_names_them(tmp_path, name):
    if name.startswith("NIfTI"):
        pytest.importorskip("nibabel")
    check_damaged_files(name, 150, 0, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITERS)
def test_ten_thousand_damaged_files(tmp_path, name):
    if name.startswith("NIfTI"):
        pytest.importorskip("nibabel")
    check_damaged_files(name, 10_000, 1, tmp_path)


@pytest.mark.parametrize("name", ["ISMRMRD", "fastMRI compressed"])
def test_a_damaged_global_heap_of_hdf5_is_refused(tmp_path, name):
    """The HDF5 library does not return from an object of size 0. Texts of variable length lie in such heaps."""
    path = WRITERS[name](tmp_path)
    content = bytearray(path.read_bytes())
    start = content.index(b"GCOL")
    content[start + 16 : start + 18] = b"\0\0"  # the first object becomes free space of size 0
    content[start + 24 : start + 32] = bytes(8)
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"scan\.h5: damaged, an object of 0 bytes in its global heap"):
        open_scan(path)


def test_a_damaged_number_type_of_a_record_is_refused(tmp_path):
    """With another exponent the three numbers of read_dir become float64, and overlap the next field."""
    path = WRITERS["ISMRMRD"](tmp_path)
    content = bytearray(path.read_bytes())
    end = content.index(b"read_dir")
    start = content.rindex(b"\x17\x08\0\x17\x7f\0\0\0", 0, end)
    content[start + 4] = 128
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"scan\.h5: the fields of '/dataset/data' overlap"):
        open_scan(path)


@pytest.mark.parametrize("flags", [b"\x0f\0\0", b"\x02\0\0", b"\xff\0\0"])
def test_a_value_of_variable_length_that_is_neither_list_nor_text_is_refused(tmp_path, flags):
    """The HDF5 library (2.0.0) ends the process at some of them."""
    path = WRITERS["ISMRMRD"](tmp_path)
    content = bytearray(path.read_bytes())
    start = content.index(b"\x19", content.index(b"traj\0"))
    content[start + 1 : start + 4] = flags
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"scan\.h5: damaged, the type of '/dataset/data' is not known"):
        open_scan(path)


def limited(function: Callable[[], object], message: str) -> None:
    """Call a function that must raise a ValueError without using more than 256 MiB more memory, within 2 s."""
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(ValueError, match=message):
        function()
    assert time.process_time() - start < SECONDS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**18


def test_values_of_variable_length_that_are_longer_than_the_file_are_refused(tmp_path):
    """The HDF5 library would allocate 4 GB before it looks at the heap."""
    path = WRITERS["ISMRMRD"](tmp_path)
    with h5py.File(path) as file:
        positions = [file["dataset/xml"].id.get_offset()]
        file["dataset/data"].id.chunk_iter(lambda chunk: positions.append(chunk.byte_offset + 356))  # behind head, traj
    content = path.read_bytes()
    for position, name in zip(positions, ("xml", "data"), strict=True):
        path.write_bytes(content[: position + 3] + b"\xff" + content[position + 4 :])
        limited(lambda: open_scan(path), rf"scan\.h5: damaged, '/dataset/{name}' claims \d+ bytes")


@pytest.mark.parametrize("shape", [(10**6, 10**6, 10**3), (3, 10**4, 10**5), (2, 2, 10**5, 10**5)])
def test_datasets_that_claim_a_huge_shape_are_refused(tmp_path, shape):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("kspace", shape, np.complex64, chunks=(1,) * len(shape))
    limited(lambda: open_scan(tmp_path / "a.h5"), r"a\.h5: 'kspace' of shape .* was never written")
    with h5py.File(tmp_path / "b.h5", "w") as file:
        data = file.create_dataset("kspace", shape, np.complex64, chunks=(1,) * len(shape), compression="gzip")
        data[(0,) * len(shape)] = 1
    for read in (open_scan, scan_shape):
        limited(lambda: read(tmp_path / "b.h5"), r"b\.h5: 'kspace' of shape .* claims \d+ bytes")  # noqa: B023


@pytest.mark.parametrize(
    "shape", ["(1000000, 1000000)", "(3, 99999999999999999999)", "(-1, 8)", "(4294967296, 4294967296)"]
)
def test_arrays_of_an_archive_that_claim_a_huge_shape_are_refused(tmp_path, shape):
    header = f"{{'descr': '<c8', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(118) + b"\n"
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("kspace.npy", b"\x93NUMPY\x01\0" + struct.pack("<H", len(header)) + header + bytes(64))
    for read in (open_scan, scan_shape):
        limited(lambda: read(tmp_path / "a.npz"), r"a\.npz: ")  # noqa: B023


def test_archives_of_compressed_zeros_and_of_pickles_are_refused(tmp_path):
    with (
        zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("kspace.npy", "w") as file,
    ):
        np.lib.format.write_array_header_1_0(file, {"descr": "<c8", "fortran_order": False, "shape": (600, 256, 256)})
        for _ in range(600):
            file.write(bytes(8 * 256 * 256))
    limited(lambda: open_scan(tmp_path / "a.npz"), r"a\.npz: 'kspace\.npy' claims 314572800 bytes")
    for key in ("kspace", "mask", "smaps", "target"):
        arrays = {"kspace": KSPACE} | {key: np.array([[print]], dtype=object)}
        np.savez(tmp_path / "b.npz", **arrays)
        with pytest.raises(ValueError, match=rf"b\.npz: '{key}' .*type object"):
            open_scan(tmp_path / "b.npz")


@pytest.mark.parametrize("sizes", [(30000, 30000, 30000), (32767, 1, 32767)])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_nifti_images_that_claim_a_huge_shape_are_refused(tmp_path, sizes, suffix):
    nibabel = pytest.importorskip("nibabel")
    header = nibabel.Nifti1Header()
    header.set_data_dtype(np.float64)
    header["dim"][:4] = (3, *sizes)
    header["magic"], header["vox_offset"] = b"n+1", 352
    content = header.binaryblock + bytes(1000)
    (tmp_path / f"a{suffix}").write_bytes(gzip.compress(content) if suffix == ".nii.gz" else content)
    limited(lambda: open_scan(tmp_path / f"a{suffix}"), r"a\.nii.*: ")


def test_headers_of_bart_with_huge_numbers_are_refused(tmp_path):
    write_bart(tmp_path / "a", KSPACE)
    for dims in ("8 6 1 2 " + "9" * 5000, "8 6 1 2 " + "9" * 17, "8 6 1 2\x1b[31m", "8 6 1 -2", "8 6 1 2 1e9"):
        (tmp_path / "a.hdr").write_text(f"# Dimensions\n{dims}\n")
        limited(lambda: open_scan(tmp_path / "a.cfl"), r"a\.cfl: ")
    with contextlib.suppress(ValueError):
        (tmp_path / "a.hdr").write_bytes(b"\xff" * 10**6)
        open_scan(tmp_path / "a.hdr")


def test_a_dataset_in_another_file_is_refused(tmp_path):
    (tmp_path / "secret").write_bytes(bytes(8 * 48))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("kspace", (1, 8, 6), "c8", external=[(str(tmp_path / "secret"), 0, 8 * 48)])
    with pytest.raises(ValueError, match=r"a\.h5: 'kspace' lies in other files"):
        open_scan(tmp_path / "a.h5")
