"""Any file with k-space, recognised by what is in it."""

import gzip
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from deqjax.data.bart import bart_shape, read_bart
from deqjax.data.cfl import cfl_pair, read_dimensions
from deqjax.data.fastmri import open_kspace, read_volume
from deqjax.data.fastmri import read_kspace as read_fastmri_kspace
from deqjax.data.hdf5 import open_hdf5
from deqjax.data.ismrmrd import ismrmrd_shape, read_ismrmrd
from deqjax.data.nifti import nifti_shape, read_nifti
from deqjax.data.npz import npz_shape, read_npz
from deqjax.data.npz_archive import open_archive
from deqjax.data.scan import Scan

LOOKED_FOR = (
    "fastMRI HDF5 (dataset 'kspace'), ISMRMRD HDF5 (group with 'data' and 'xml'), BART (name.hdr and name.cfl), NIfTI, "
    ".npz with 'kspace'"
)


def open_scan(path: str | Path, slices: tuple[int, int] | None = None) -> Scan:
    """Read k-space from a file of any format that we know: kspace (slice, [coil,] y, x) complex64.

    fastMRI's HDF5, ISMRMRD's, BART's cfl, NIfTI images (simulated with one coil) and ``.npz``, told apart by what is in
    the file, not by its name; `describe` says what was found. ``slices=(first, last)`` reads no other slice, both
    included. The reader of a format, such as `read_ismrmrd`, has more options. Raises ValueError, which names the file,
    where it is of none of these formats, or of two, and as its reader does.

    Source: that of each reader.

    >>> import tempfile
    >>> from deqjax.data import describe, write_npz
    >>> path = write_npz(tempfile.mkdtemp() + "/scan.npz", np.ones((3, 5, 8, 6), np.complex64))
    >>> describe(open_scan(path))
    'scan.npz, NumPy npz: 3 slices, 5 coils, 8 x 6, all sampled'
    """
    return _recognise(path).read(path, slices)


def scan_shape(path: str | Path) -> tuple[int, ...]:
    """Shape (slice, [coil,] y, x) of what `open_scan` reads, without reading it; errors as of `open_scan`.

    >>> import tempfile
    >>> from deqjax.data import write_bart
    >>> scan_shape(write_bart(tempfile.mkdtemp() + "/scan", np.ones((3, 5, 8, 6), np.complex64)))
    (3, 5, 8, 6)
    """
    return _recognise(path).shape(path)


def read_kspace(path: str | Path, index: int) -> np.ndarray:
    """Fully sampled k-space ([coil,] y, x) of one slice, and as little else of the file as its format allows.

    Raises ValueError as `open_scan` does, and for a file that is undersampled, from which nothing can be learned here.

    >>> import tempfile
    >>> from deqjax.data import write_bart
    >>> read_kspace(write_bart(tempfile.mkdtemp() + "/scan", np.ones((3, 5, 8, 6), np.complex64)), 2).shape
    (5, 8, 6)
    """
    read = _recognise(path).read
    if read is read_volume:
        return read_fastmri_kspace(path, index)
    scan = read(path, (index, index))
    if scan.mask is not None:
        raise ValueError(f"{path}: slice {index} is undersampled; give fully sampled files, or evaluate it as it is")
    return scan.kspace[0]


class _Format(NamedTuple):
    read: Callable[[str | Path, tuple[int, int] | None], Scan]
    shape: Callable[[str | Path], tuple[int, ...]]


def _recognise(path: str | Path) -> _Format:
    """How to read a file, from what is in it."""
    path = Path(path)
    header, data = cfl_pair(path)
    found, holds = {}, ""
    if header.is_file() and path in (header, data, header.with_suffix("")) and read_dimensions(header) is not None:
        found["BART"] = _Format(read_bart, bart_shape)
    elif not path.is_file():
        what = "a folder; name a file in it" if path.is_dir() else "no such file; check the path"
        raise ValueError(f"{path}: {what}")
    if (path.is_file() and path not in (header, data)) or not found:
        look = _look_in_hdf5 if h5py.is_hdf5(path) else _look_in_zip if zipfile.is_zipfile(path) else _look_at_bytes
        inside, holds = look(path)
        found |= inside
    if len(found) == 1:
        return next(iter(found.values()))
    if found:
        raise ValueError(f"{path}: is of two formats, {' and '.join(found)}; name the reader, such as read_ismrmrd")
    raise ValueError(f"{path}: is of no known format; looked for {LOOKED_FOR}; it is {holds}")


def _look_in_hdf5(path: Path) -> tuple[dict[str, _Format], str]:
    found = {}
    with open_hdf5(path) as file:
        if isinstance(file.get("kspace"), h5py.Dataset):
            found["fastMRI"] = _Format(read_volume, _fastmri_shape)
        if any(isinstance(group, h5py.Group) and {"data", "xml"} <= set(group) for group in file.values()):
            found["ISMRMRD"] = _Format(read_ismrmrd, ismrmrd_shape)
        return found, f"HDF5 with {sorted(map(str, file))}, no dataset 'kspace'"


def _look_in_zip(path: Path) -> tuple[dict[str, _Format], str]:
    with open_archive(path) as archive:
        names = archive.namelist()
    found = {"npz": _Format(read_npz, npz_shape)} if "kspace.npy" in names else {}
    return found, f"a zip archive with {sorted(names)[:8]}"


def _look_at_bytes(path: Path) -> tuple[dict[str, _Format], str]:
    start = _start(path)
    if start[344:348] in (b"n+1\0", b"ni1\0") or start[4:8] in (b"n+2\0", b"ni2\0"):
        return {"NIfTI": _Format(read_nifti, nifti_shape)}, "a NIfTI image"
    if start[128:132] == b"DICM":
        return {}, "a DICOM image, which has no k-space"
    hint = ", truncated, or not an HDF5 file" if path.suffix in (".h5", ".hdf5") else ""
    return {}, f"bytes {start[:8]!r} at its start{hint}"


def _start(path: Path) -> bytes:
    """The first bytes of a file, unpacked where it is gzip."""
    with open(path, "rb") as file:
        start = file.read(352)
    if start[:2] != b"\x1f\x8b":
        return start
    try:
        with gzip.open(path) as file:
            return file.read(352)
    except (OSError, EOFError, zlib.error):
        return start


def _fastmri_shape(path: str | Path) -> tuple[int, ...]:
    with open_kspace(path) as (_, kspace):
        return tuple(kspace.shape)
