"""Any file with k-space, recognised by what is in it."""

import gzip
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import h5py

from deqjax.data.bart import bart_shape, read_bart
from deqjax.data.cfl import cfl_pair, read_dimensions
from deqjax.data.fastmri import open_kspace, read_volume
from deqjax.data.ismrmrd import ismrmrd_shape, read_ismrmrd
from deqjax.data.nifti import nifti_shape, read_nifti
from deqjax.data.npz import npz_shape, read_npz
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
    >>> import numpy as np
    >>> from deqjax.data import write_npz
    >>> path = write_npz(tempfile.mkdtemp() + "/scan.npz", np.ones((3, 5, 8, 6), np.complex64))
    >>> describe(open_scan(path))
    'scan.npz, NumPy npz: 3 slices, 5 coils, 8 x 6, all sampled'
    """
    return _recognise(path).read(path, slices)


def scan_shape(path: str | Path) -> tuple[int, ...]:
    """Shape (slice, [coil,] y, x) of what `open_scan` reads, without reading it; errors as of `open_scan`.

    >>> import tempfile
    >>> import numpy as np
    >>> from deqjax.data import write_bart
    >>> scan_shape(write_bart(tempfile.mkdtemp() + "/scan", np.ones((3, 5, 8, 6), np.complex64)))
    (3, 5, 8, 6)
    """
    return _recognise(path).shape(path)


def describe(scan: Scan) -> str:
    """Say in one line what a scan of several slices is: name, format, slices, coils, size, and how much was sampled.

    Source: ours.

    >>> import numpy as np
    >>> describe(Scan(np.zeros((3, 8, 6), np.complex64), mask=np.array([[1, 0, 1, 0, 0, 1]]), name="a.h5"))
    'a.h5: 3 slices, 1 coil, 8 x 6, 50 % sampled'
    """
    slices, coils = scan.kspace.shape[0], scan.kspace.shape[1] if scan.kspace.ndim == 4 else 1
    y, x = scan.kspace.shape[-2:]
    parts = [f"{slices} slice{'s' * (slices != 1)}", f"{coils} coil{'s' * (coils != 1)}", f"{y} x {x}"]
    parts.append("all sampled" if scan.mask is None else f"{scan.mask.mean():.0%} sampled".replace("%", " %"))
    if scan.voxel_size is not None:
        parts.append(" x ".join(f"{mm:.3g}" for mm in scan.voxel_size) + " mm")
    parts += [f"with {name}" for name in ("target", "smaps") if getattr(scan, name) is not None]
    return f"{scan.name}{', ' * bool(scan.format)}{scan.format}: {', '.join(parts)}"


class _Format(NamedTuple):
    read: Callable[[str | Path, tuple[int, int] | None], Scan]
    shape: Callable[[str | Path], tuple[int, ...]]


def _recognise(path: str | Path) -> _Format:
    """How to read a file, from what is in it."""
    path = Path(path)
    header, data = cfl_pair(path)
    if header.is_file() and path in (header, data, header.with_suffix("")) and read_dimensions(header) is not None:
        return _Format(read_bart, bart_shape)
    if not path.is_file():
        raise ValueError(
            f"{path}: {'a folder; name a file in it' if path.is_dir() else 'no such file; check the path'}"
        )
    found = {}
    if h5py.is_hdf5(path):
        try:
            with h5py.File(path, "r") as file:
                holds = f"HDF5 with {sorted(file)}"
                if isinstance(file.get("kspace"), h5py.Dataset):
                    found["fastMRI"] = _Format(read_volume, _fastmri_shape)
                if any(isinstance(group, h5py.Group) and {"data", "xml"} <= set(group) for group in file.values()):
                    found["ISMRMRD"] = _Format(read_ismrmrd, ismrmrd_shape)
        except (OSError, RuntimeError, KeyError) as error:
            raise ValueError(f"{path}: truncated or damaged HDF5 ({error}); copy or download it again") from error
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
        holds = f"a zip archive with {sorted(names)[:8]}"
        if "kspace.npy" in names:
            found["npz"] = _Format(read_npz, npz_shape)
    else:
        start = _start(path)
        holds = (
            "a DICOM image, which has no k-space" if start[128:132] == b"DICM" else f"bytes {start[:8]!r} at its start"
        )
        if start[344:348] in (b"n+1\0", b"ni1\0") or start[4:8] in (b"n+2\0", b"ni2\0"):
            found["NIfTI"] = _Format(read_nifti, nifti_shape)
    if len(found) == 1:
        return next(iter(found.values()))
    what = f"is of two formats, {' and '.join(found)}" if found else "is of no known format"
    raise ValueError(f"{path}: {what}; looked for {LOOKED_FOR}; it is {holds}")


def _start(path: Path) -> bytes:
    """The first bytes of a file, unpacked where it is gzip."""
    with open(path, "rb") as file:
        start = file.read(352)
    if start[:2] != b"\x1f\x8b":
        return start
    try:
        with gzip.open(path) as file:
            return file.read(352)
    except (OSError, EOFError):
        return start


def _fastmri_shape(path: str | Path) -> tuple[int, ...]:
    with open_kspace(path) as (_, kspace):
        return tuple(kspace.shape)
