"""Opening files with k-space of any known format, which is recognised by the content, and listing such files."""

import glob
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from deqjax.data.formats.bart import bart_shape, cfl_paths, read_bart, read_dimensions
from deqjax.data.formats.fastmri import fastmri_shape, read_fastmri_kspace, read_volume
from deqjax.data.formats.hdf5 import open_hdf5
from deqjax.data.formats.ismrmrd import ismrmrd_shape, read_ismrmrd
from deqjax.data.formats.nifti import nifti_shape, read_nifti
from deqjax.data.formats.npz import npz_shape, open_archive, read_npz
from deqjax.data.scan import Scan
from deqjax.file_checks import explain_content, first_bytes

KNOWN_FORMATS = (
    "fastMRI HDF5 (dataset 'kspace'), ISMRMRD HDF5 (group with 'data' and 'xml'), BART (name.hdr and name.cfl), NIfTI, "
    ".npz with 'kspace'"
)
SUFFIXES = (".h5", ".hdf5", ".mrd", ".cfl", ".npz", ".nii", ".nii.gz")
"""The suffixes of the files in a folder that `open_scan` can read."""


def open_scan(path: str | Path, slices: tuple[int, int] | None = None) -> Scan:
    """Read k-space from a file of any known format.

    The formats are fastMRI HDF5, ISMRMRD HDF5, BART, NIfTI (k-space simulated with one coil) and ``.npz``. The content
    of the file decides, not its name. `describe` tells what was found. The reader of a format, such as `read_ismrmrd`,
    has more options.

    Args:
      path: the file.
      slices: first and last slice to read, both included; None reads all.

    Returns:
      The scan: kspace (slice, [coil,] y, x) complex64.

    Raises:
      ValueError: the file is of none of these formats, or of two, and the errors of its reader. The message names the
        file.

    >>> import tempfile
    >>> from deqjax.data import describe, write_npz
    >>> path = write_npz(tempfile.mkdtemp() + "/scan.npz", np.ones((3, 5, 8, 6), np.complex64))
    >>> describe(open_scan(path))
    'scan.npz, NumPy npz: 3 slices, 5 coils, 8 x 6, all sampled'
    """
    return _recognise(path).read(path, slices)


def scan_shape(path: str | Path) -> tuple[int, ...]:
    """Return the shape (slice, [coil,] y, x) of what `open_scan` reads, without reading it; the errors are the same.

    >>> import tempfile
    >>> from deqjax.data import write_bart
    >>> scan_shape(write_bart(tempfile.mkdtemp() + "/scan", np.ones((3, 5, 8, 6), np.complex64)))
    (3, 5, 8, 6)
    """
    return _recognise(path).shape(path)


def read_kspace(path: str | Path, index: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Read the k-space of one slice and its mask, and as little else of the file as its format allows.

    Args:
      path: the file.
      index: number of the slice, counted from 0.

    Returns:
      k-space ([coil,] y, x) complex64, and the mask, zeros and ones that broadcast against (y, x). The mask is None if
      the slice is fully sampled.

    Raises:
      ValueError: in the cases of `open_scan`.

    >>> import tempfile
    >>> from deqjax.data import write_bart
    >>> kspace, mask = read_kspace(write_bart(tempfile.mkdtemp() + "/scan", np.ones((3, 5, 8, 6), np.complex64)), 2)
    >>> kspace.shape, mask
    ((5, 8, 6), None)
    """
    read = _recognise(path).read
    if read is read_volume:
        return read_fastmri_kspace(path, index)
    scan = read(path, (index, index))
    mask = scan.mask[0] if scan.mask is not None and scan.mask.ndim == 3 else scan.mask
    return scan.kspace[0], mask


def list_files(path: str | Path) -> list[Path]:
    """List the data files that a path, a folder or a glob pattern stands for.

    Args:
      path: a file, a folder, or a glob pattern.

    Returns:
      The file; or the files of the folder with a suffix of ``SUFFIXES``; or the files that match the pattern. They are
      sorted by name.

    Raises:
      ValueError: there is no such file.

    >>> list_files(__file__)[0].name
    'scan_files.py'
    """
    path = Path(path).expanduser()
    if path.is_file():
        return [path]
    if path.is_dir():
        found = sorted(file for file in path.iterdir() if file.name.endswith(SUFFIXES) and file.is_file())
        if not found:
            raise ValueError(
                f"{path}: the folder holds no file that ends with {', '.join(SUFFIXES)}; name the folder that directly "
                "holds them"
            )
        return found
    found = sorted(Path(match) for match in glob.glob(str(path), recursive=True) if Path(match).is_file())
    if not found:
        raise ValueError(f"{path}: no such file or folder, and no file matches it as a glob pattern; check the path")
    return found


class _Format(NamedTuple):
    """The functions that read a file of one format, and the shape of its k-space."""

    read: Callable[[str | Path, tuple[int, int] | None], Scan]
    shape: Callable[[str | Path], tuple[int, ...]]


def _recognise(path: str | Path) -> _Format:
    """Recognise the format of a file by its content."""
    path = Path(path)
    header, data = cfl_paths(path)
    found, content = {}, ""
    if header.is_file() and path in (header, data, header.with_suffix("")) and read_dimensions(header) is not None:
        found["BART"] = _Format(read_bart, bart_shape)
    elif not path.is_file():
        problem = "a folder; name a file in it" if path.is_dir() else "no such file; check the path"
        raise ValueError(f"{path}: {problem}")
    if (path.is_file() and path not in (header, data)) or not found:
        if h5py.is_hdf5(path):
            other, content = _formats_in_hdf5(path)
        elif zipfile.is_zipfile(path):
            other, content = _formats_in_zip(path)
        else:
            other, content = _formats_by_first_bytes(path)
        found |= other
    if len(found) == 1:
        return next(iter(found.values()))
    if found:
        raise ValueError(f"{path}: is of two formats, {' and '.join(found)}; name the reader, such as read_ismrmrd")
    raise ValueError(f"{path}: is of no known format; looked for {KNOWN_FORMATS}; it is {content}")


def _formats_in_hdf5(path: Path) -> tuple[dict[str, _Format], str]:
    """Return the formats of an HDF5 file by name, and a description of its content."""
    found = {}
    with open_hdf5(path) as file:
        if isinstance(file.get("kspace"), h5py.Dataset):
            found["fastMRI"] = _Format(read_volume, fastmri_shape)
        if any(isinstance(group, h5py.Group) and {"data", "xml"} <= set(group) for group in file.values()):
            found["ISMRMRD"] = _Format(read_ismrmrd, ismrmrd_shape)
        return found, f"HDF5 with {sorted(map(str, file))[:8]}, no dataset 'kspace'"


def _formats_in_zip(path: Path) -> tuple[dict[str, _Format], str]:
    """Return the formats of a zip archive by name, and a description of its content."""
    with open_archive(path) as archive:
        names = archive.namelist()
    found = {"npz": _Format(read_npz, npz_shape)} if "kspace.npy" in names else {}
    return found, f"a zip archive with {sorted(names)[:8]}"


def _formats_by_first_bytes(path: Path) -> tuple[dict[str, _Format], str]:
    """Return the formats of any other file by name, and a description of its content."""
    start = first_bytes(path)
    if start[344:348] in (b"n+1\0", b"ni1\0") or start[4:8] in (b"n+2\0", b"ni2\0"):
        return {"NIfTI": _Format(read_nifti, nifti_shape)}, "a NIfTI image"
    known = explain_content(path)
    if known:
        return {}, known
    hint = ", truncated, or not an HDF5 file" if path.suffix in (".h5", ".hdf5") else ""
    return {}, f"bytes {start[:8]!r} at its start{hint}"
