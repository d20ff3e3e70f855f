"""Reading and writing the HDF5 files of fastMRI: volumes of k-space with their targets, and submissions."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from deqjax.atomic_write import atomic_file
from deqjax.data.finite_checks import check_finite_read, check_finite_write, to_complex64
from deqjax.data.formats.fastmri_header import make_header, parse_header
from deqjax.data.formats.hdf5 import check_dataset, open_hdf5, read_dataset
from deqjax.data.scan import Scan, advice_on_real_pairs, mask_of_empty_lines, slice_range
from deqjax.physics.array_checks import zero_one_mask


def read_slice(path: str | Path, index: int) -> Scan:
    """Read one slice of a fastMRI file, and nothing else of its k-space.

    Args:
      path: the file.
      index: number of the slice, counted from 0.

    Returns:
      The scan: kspace (coil, y, x) or (y, x) complex64, target (y, x) float32 or None, mask (1, x) float32 or None. The
      mask is the stored one, or that of the empty lines of an undersampled scan.

    Raises:
      ValueError: the file is missing, truncated or not HDF5; its k-space is absent, of the wrong rank, real or not
        finite; its header cannot be read; or it has no slice ``index``. The message names the file.

    Source: Zbontar et al., "fastMRI: An Open Dataset and Benchmarks for Accelerated MRI", arXiv:1811.08839, 2018; read
    as in ``fastmri/data/mri_data.py`` and cropped as in ``fastmri/data/transforms.py``.

    >>> import tempfile
    >>> path = write_volume(tempfile.mkdtemp() + "/scan.h5", np.ones((3, 8, 6), np.complex64))
    >>> read_slice(path, index=2).kspace.shape
    (8, 6)
    """
    with open_kspace(path) as (file, kspace):
        return _read(Path(path), file, kspace, index, index, index)


def read_volume(path: str | Path, slices: tuple[int, int] | None = None) -> Scan:
    """Read several slices of a fastMRI file, or all of them.

    Args:
      path: the file.
      slices: first and last slice, **both included**; ``slices=(11, 27)`` reads 17 slices and nothing else of the
        k-space. None reads all slices.

    Returns:
      The scan as of `read_slice`, with a leading slice axis in kspace and target.

    Raises:
      ValueError: in the cases of `read_slice`.

    >>> import tempfile
    >>> path = write_volume(tempfile.mkdtemp() + "/scan.h5", np.ones((3, 8, 6), np.complex64))
    >>> read_volume(path, slices=(1, 2)).kspace.shape
    (2, 8, 6)
    """
    with open_kspace(path) as (file, kspace):
        first, last = (0, kspace.shape[0] - 1) if slices is None else slices
        return _read(Path(path), file, kspace, slice(first, last + 1), first, last)


def read_fastmri_kspace(path: str | Path, index: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Read the k-space of one slice and its mask, and nothing else of the file; the errors are those of `read_slice`.

    Returns:
      k-space ([coil,] y, x) complex64, and the mask (1, x) or (y, x) float32. It is None for a file without a mask and
      without empty lines, which is fully sampled.
    """
    with open_kspace(path) as (file, kspace):
        mask = _stored_mask(Path(path), file, columns=kspace.shape[-1])
        padding = _geometry(Path(path), file, columns=kspace.shape[-1])[1]
        loaded = _load(Path(path), kspace, index, index, index)
    return loaded, mask_of_empty_lines(loaded[None], padding) if mask is None else mask


def fastmri_shape(path: str | Path) -> tuple[int, ...]:
    """Return the shape (slice, [coil,] y, x) of the k-space of a file without reading it."""
    with open_kspace(path) as (_, kspace):
        return tuple(kspace.shape)


@contextmanager
def open_kspace(path: str | Path) -> Iterator[tuple[h5py.File, h5py.Dataset]]:
    """Open a fastMRI file for reading, and yield the file and its dataset 'kspace'.

    Raises:
      ValueError: the file cannot be read, or its k-space is absent, real or of the wrong rank.
    """
    with open_hdf5(path) as file:
        kspace = file.get("kspace")
        if not isinstance(kspace, h5py.Dataset):
            raise ValueError(
                f"{path}: no dataset 'kspace', it holds {sorted(map(str, file))[:8]}; give a fastMRI file, or "
                "write one with write_volume"
            )
        check_dataset(path, kspace)
        if kspace.ndim not in (3, 4) or kspace.dtype.kind != "c" or 0 in kspace.shape:
            raise ValueError(
                f"{path}: 'kspace' has shape {kspace.shape} and type {kspace.dtype}; it must be complex with axes "
                f"(slice, y, x) or (slice, coil, y, x); {_how_to_convert(kspace)}"
            )
        yield file, kspace


def _how_to_convert(kspace: h5py.Dataset) -> str:
    """Return what to do with k-space that is not complex."""
    if kspace.dtype.names is not None and len(kspace.dtype.names) == 2:
        real, imag = kspace.dtype.names
        return (
            f"MATLAB 7.3 stores complex arrays as pairs, with the axes in reverse order: write_volume takes "
            f"(k[{real!r}] + 1j * k[{imag!r}]).T, with axes (slice, coil, y, x)"
        )
    return advice_on_real_pairs(kspace.shape, kspace.dtype) or "write it with write_volume"


def write_volume(
    path: str | Path,
    kspace: np.ndarray,
    target: np.ndarray | None = None,
    *,
    mask: np.ndarray | None = None,
    attrs: Mapping[str, Any] | None = None,
    header: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a volume in the layout of fastMRI; the file appears under its name when it is complete.

    Args:
      path: the file.
      kspace: (slice, y, x) or (slice, coil, y, x), stored as complex64.
      target: (slice, y, x) real, stored as float32 under ``reconstruction_esc`` or, with coils, ``reconstruction_rss``,
        with the attributes ``max`` and ``norm = ||target||``.
      mask: one entry for each column x, as test files have.
      attrs: further attributes of the file.
      header: the ISMRMRD XML; by default a minimal header whose crop is the size of the target.
      overwrite: whether an existing file may be replaced.

    Returns:
      The path.

    Raises:
      ValueError: a wrong shape, values that are not finite, or a file that exists.

    Source: Zbontar et al., "fastMRI: An Open Dataset and Benchmarks for Accelerated MRI", arXiv:1811.08839, 2018.

    >>> import tempfile
    >>> write_volume(tempfile.mkdtemp() + "/scan.h5", np.ones((3, 8, 6), np.complex64)).name
    'scan.h5'
    """
    if kspace.ndim not in (3, 4) or not np.iscomplexobj(kspace):
        raise ValueError(
            f"kspace must be complex with axes (slice, y, x) or (slice, coil, y, x); got shape {kspace.shape}, type "
            f"{kspace.dtype}"
        )
    if target is not None and (target.ndim != 3 or target.shape[0] != kspace.shape[0] or np.iscomplexobj(target)):
        raise ValueError(
            f"target must be real with axes (slice, y, x) and {kspace.shape[0]} slices, as kspace {kspace.shape} has; "
            f"got shape {target.shape}, type {target.dtype}"
        )
    if mask is not None and np.size(mask) != kspace.shape[-1]:
        raise ValueError(
            f"mask has shape {np.shape(mask)}, but kspace {kspace.shape} has {kspace.shape[-1]} columns (x); give one "
            "entry for each column"
        )
    crop = kspace.shape[-2:] if target is None else target.shape[-2:]
    datasets = {"kspace": kspace.astype(np.complex64)}
    attributes = dict(attrs or {})
    if target is not None:
        target = target.astype(np.float32)
        datasets["reconstruction_rss" if kspace.ndim == 4 else "reconstruction_esc"] = target
        attributes = {"max": float(target.max()), "norm": float(np.linalg.norm(target)), **attributes}
    if mask is not None:
        datasets["mask"] = zero_one_mask(np.ravel(mask), f"{path}: not written, mask").astype(np.float32)
    return _write(path, datasets, attributes, header or make_header(kspace.shape, crop), overwrite)


def write_submission(
    path: str | Path,
    reconstruction: np.ndarray,
    overwrite: bool = False,
    further: Mapping[str, np.ndarray] | None = None,
) -> Path:
    """Write the images of a volume as the evaluation of fastMRI expects them: one dataset ``reconstruction``, float32.

    Args:
      path: the file; its name must be that of the file that was reconstructed.
      reconstruction: (slice, y, x), real, in the scale of the target.
      overwrite: whether an existing file may be replaced.
      further: more datasets by name, which fastMRI ignores.

    Returns:
      The path.

    Raises:
      ValueError: a wrong shape, complex images, values that are not finite, or a file that exists.

    Source: Zbontar et al., arXiv:1811.08839, 2018; ``save_reconstructions`` in ``fastmri/utils.py``.

    >>> import tempfile
    >>> write_submission(tempfile.mkdtemp() + "/file1000031.h5", np.ones((3, 8, 6), np.float32)).name
    'file1000031.h5'
    """
    if reconstruction.ndim != 3 or np.iscomplexobj(reconstruction):
        raise ValueError(
            f"reconstruction must be real with axes (slice, y, x); got shape {reconstruction.shape}, type "
            f"{reconstruction.dtype}; take the magnitude of a complex image"
        )
    return _write(path, {"reconstruction": reconstruction.astype(np.float32), **(further or {})}, {}, None, overwrite)


def _read(path: Path, file: h5py.File, dataset: h5py.Dataset, which: int | slice, first: int, last: int) -> Scan:
    kspace = _load(path, dataset, which, first, last)
    key = "reconstruction_rss" if dataset.ndim == 4 else "reconstruction_esc"
    target = None
    if key in file:
        check_dataset(path, file[key])
        if file[key].ndim != 3 or file[key].shape[0] != dataset.shape[0] or file[key].dtype.kind not in "biuf":
            raise ValueError(
                f"{path}: {key!r} has shape {file[key].shape} and type {file[key].dtype}, but 'kspace' has shape "
                f"{dataset.shape}; the target must be real with axes (slice, y, x) and {dataset.shape[0]} slices"
            )
        target = read_dataset(path, file[key], which)
        check_finite_read(path, key, target, first, last)
    crop, padding = _geometry(path, file, columns=dataset.shape[-1])
    mask = _stored_mask(path, file, columns=dataset.shape[-1])
    if mask is None:
        mask = mask_of_empty_lines(kspace[None] if isinstance(which, int) else kspace, padding)
    return Scan(
        kspace=kspace,
        target=None if target is None else target.astype(np.float32),
        mask=mask,
        padding=padding,
        crop=crop,
        attrs={name: value.item() if isinstance(value, np.generic) else value for name, value in file.attrs.items()},
        name=path.name,
        slices=tuple(range(first, last + 1)),
        format="fastMRI HDF5",
    )


def _load(path: Path, dataset: h5py.Dataset, which: int | slice, first: int, last: int) -> np.ndarray:
    slice_range(path, (first, last), dataset.shape[0])
    return to_complex64(path, "the k-space", read_dataset(path, dataset, which), first, last)


def _geometry(path: Path, file: h5py.File, columns: int) -> tuple[tuple[int, int], tuple[int, int]] | tuple[None, None]:
    """Return the crop and the padding of the header, or None and None for a file without a header."""
    if "ismrmrd_header" not in file:
        return None, None
    try:
        check_dataset(path, file["ismrmrd_header"])
        header = file["ismrmrd_header"][()]
        if not isinstance(header, str | bytes):
            raise ValueError(f"ismrmrd_header is {type(header).__name__} and not a text")
        crop, padding = parse_header(header)
        if not padding[0] < min(padding[1], columns):
            raise ValueError(f"ismrmrd_header: columns {padding[0]} to {padding[1] - 1} of {columns} columns")
    except ValueError as error:
        raise ValueError(f"{path}: {error}; repair the header, or delete the dataset 'ismrmrd_header'") from error
    return (crop if columns >= crop[1] else (columns, columns)), padding


def _stored_mask(path: Path, file: h5py.File, columns: int) -> np.ndarray | None:
    if "mask" not in file:
        return None
    check_dataset(path, file["mask"])
    if file["mask"].shape != (columns,):
        raise ValueError(
            f"{path}: 'mask' has shape {file['mask'].shape}, but 'kspace' has {columns} columns (x); store one entry "
            "for each column"
        )
    return zero_one_mask(read_dataset(path, file["mask"]).astype(np.float32), f"{path}: 'mask'")[None]


def _write(
    path: str | Path, datasets: dict[str, np.ndarray], attrs: dict[str, Any], header: str | None, overwrite: bool
) -> Path:
    """Check that the datasets are finite, and write them with the attributes and the header."""
    path = Path(path)
    for name, values in datasets.items():
        check_finite_write(path, name, values)
    with atomic_file(path, overwrite) as temporary, h5py.File(temporary, "w") as file:
        for name, values in datasets.items():
            file.create_dataset(name, data=values)
        if header is not None:
            file.create_dataset("ismrmrd_header", data=header.encode())
        file.attrs.update(attrs)
    return path
