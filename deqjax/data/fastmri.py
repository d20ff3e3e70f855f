"""Reading the HDF5 files of fastMRI."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np

from deqjax.data.finite import check_read
from deqjax.data.hdf5 import open_hdf5
from deqjax.data.header import parse_header
from deqjax.data.scan import Scan, slice_range


def read_slice(path: str | Path, index: int) -> Scan:
    """Read one slice of a fastMRI file: kspace (coil, y, x) or (y, x) complex64, target (y, x) float32 or None.

    Raises ValueError, which names the file, where it is missing, truncated or not HDF5, where its k-space is absent, of
    the wrong rank, real, or not finite, where its header cannot be read, and where it has no slice ``index``, which
    counts from 0.

    Source: Zbontar et al., arXiv:1811.08839, 2018; read as in ``SliceDataset`` of fastMRI
    (``fastmri/data/mri_data.py``), and cropped as in ``fastmri/data/transforms.py``.

    >>> import tempfile
    >>> from deqjax.data import write_volume
    >>> path = write_volume(tempfile.mkdtemp() + "/scan.h5", np.ones((3, 8, 6), np.complex64))
    >>> read_slice(path, index=2).kspace.shape
    (8, 6)
    """
    with open_kspace(path) as (file, kspace):
        return _read(Path(path), file, kspace, index, index, index)


def read_volume(path: str | Path, slices: tuple[int, int] | None = None) -> Scan:
    """Read the slices ``first`` to ``last``, **both included**, or all: as `read_slice`, with a leading slice axis.

    ``slices=(11, 27)`` reads 17 slices, and nothing else of the file. Raises ValueError as `read_slice` does.

    Source: Zbontar et al., arXiv:1811.08839, 2018.

    >>> import tempfile
    >>> from deqjax.data import write_volume
    >>> path = write_volume(tempfile.mkdtemp() + "/scan.h5", np.ones((3, 8, 6), np.complex64))
    >>> read_volume(path, slices=(1, 2)).kspace.shape
    (2, 8, 6)
    """
    with open_kspace(path) as (file, kspace):
        first, last = (0, kspace.shape[0] - 1) if slices is None else slices
        return _read(Path(path), file, kspace, slice(first, last + 1), first, last)


def read_kspace(path: str | Path, index: int) -> np.ndarray:
    """Read the fully sampled k-space of one slice, and nothing else of the file; errors as of `read_slice`."""
    with open_kspace(path) as (file, kspace):
        if "mask" in file:
            raise ValueError(
                f"{path}: undersampled, it stores a mask; give fully sampled files, or evaluate it as it is"
            )
        return _load(Path(path), kspace, index, index, index)


@contextmanager
def open_kspace(path: str | Path) -> Iterator[tuple[h5py.File, h5py.Dataset]]:
    """Open a file to read, and hand out its k-space; every failure is a ValueError that names the file."""
    with open_hdf5(path) as file:
        yield file, _kspace_of(file, path)


def _kspace_of(file: h5py.File, path: str | Path) -> h5py.Dataset:
    kspace = file.get("kspace")
    if not isinstance(kspace, h5py.Dataset):
        raise ValueError(
            f"{path}: no dataset 'kspace', it holds {sorted(map(str, file))}; give a fastMRI file, or "
            "write one with write_volume"
        )
    if kspace.ndim not in (3, 4) or kspace.dtype.kind != "c":
        raise ValueError(
            f"{path}: 'kspace' has shape {kspace.shape} and type {kspace.dtype}; it must be complex with axes "
            "(slice, y, x) or (slice, coil, y, x)"
        )
    return kspace


def _read(path: Path, file: h5py.File, dataset: h5py.Dataset, which: int | slice, first: int, last: int) -> Scan:
    kspace = _load(path, dataset, which, first, last)
    key = "reconstruction_rss" if dataset.ndim == 4 else "reconstruction_esc"
    crop, padding = _geometry(path, file, columns=dataset.shape[-1])
    return Scan(
        kspace=kspace,
        target=np.asarray(file[key][which], dtype=np.float32) if key in file else None,
        mask=_stored_mask(path, file, columns=dataset.shape[-1]),
        padding=padding,
        crop=crop,
        attrs={name: value.item() if isinstance(value, np.generic) else value for name, value in file.attrs.items()},
        name=path.name,
        slices=tuple(range(first, last + 1)),
        format="fastMRI HDF5",
    )


def _load(path: Path, dataset: h5py.Dataset, which: int | slice, first: int, last: int) -> np.ndarray:
    slice_range(path, (first, last), dataset.shape[0])
    kspace = np.asarray(dataset[which], dtype=np.complex64)
    check_read(path, "the k-space", kspace, first, last)
    return kspace


def _geometry(path: Path, file: h5py.File, columns: int) -> tuple[tuple[int, int], tuple[int, int]] | tuple[None, None]:
    """Crop and padding of the header, none of which a file without a header has."""
    if "ismrmrd_header" not in file:
        return None, None
    try:
        crop, padding = parse_header(file["ismrmrd_header"][()])
    except ValueError as error:
        raise ValueError(f"{path}: {error}; repair the header, or delete the dataset 'ismrmrd_header'") from error
    return (crop if columns >= crop[1] else (columns, columns)), padding


def _stored_mask(path: Path, file: h5py.File, columns: int) -> np.ndarray | None:
    if "mask" not in file:
        return None
    mask = np.asarray(file["mask"], dtype=np.float32)
    if mask.shape != (columns,):
        raise ValueError(f"{path}: 'mask' has shape {mask.shape}, but 'kspace' has {columns} columns (x)")
    return mask[None]
