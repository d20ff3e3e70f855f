"""Writing the HDF5 files of fastMRI: a volume, and a submission."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from deqjax.atomic_write import atomic_file
from deqjax.data.finite import check_finite
from deqjax.data.header import make_header


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
    """Write a volume in fastMRI's layout, and return its path.

    kspace (slice, y, x) or (slice, coil, y, x), kept as complex64; target (slice, y, x), kept as float32 under
    ``reconstruction_esc`` or, with coils, ``reconstruction_rss``, with attributes ``max`` and ``norm = ||target||``;
    mask with x entries, as test files have; ``header`` is the ISMRMRD XML, by default a minimal one whose crop is the
    size of the target. The file appears under its name when it is whole. Raises ValueError for a wrong shape, for
    values that are not finite, and for a file that exists, unless ``overwrite``.

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
        raise ValueError(f"mask has shape {np.shape(mask)}, but kspace {kspace.shape} has {kspace.shape[-1]} columns")
    crop = kspace.shape[-2:] if target is None else target.shape[-2:]
    datasets = {"kspace": kspace.astype(np.complex64)}
    attributes = dict(attrs or {})
    if target is not None:
        target = target.astype(np.float32)
        datasets["reconstruction_rss" if kspace.ndim == 4 else "reconstruction_esc"] = target
        attributes = {"max": float(target.max()), "norm": float(np.linalg.norm(target)), **attributes}
    if mask is not None:
        datasets["mask"] = np.ravel(mask).astype(np.float32)
    return _write(path, datasets, attributes, header or make_header(kspace.shape, crop), overwrite)


def write_submission(path: str | Path, reconstruction: np.ndarray, overwrite: bool = False) -> Path:
    """Write the images of a volume as fastMRI's evaluation wants them: one dataset ``reconstruction``, float32.

    reconstruction (slice, y, x), real, in the scale of the target; the name must be that of the file that was
    reconstructed. Raises ValueError for another shape, complex images, values that are not finite, and for a file that
    exists, unless ``overwrite``.

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
    return _write(path, {"reconstruction": reconstruction.astype(np.float32)}, {}, None, overwrite)


def _write(
    path: str | Path, datasets: dict[str, np.ndarray], attrs: dict[str, Any], header: str | None, overwrite: bool
) -> Path:
    """Write finite datasets, attributes and a header, as a whole file or none."""
    path = Path(path)
    for name, values in datasets.items():
        check_finite(path, name, values)
    with atomic_file(path, overwrite) as temporary, h5py.File(temporary, "w") as file:
        for name, values in datasets.items():
            file.create_dataset(name, data=values)
        if header is not None:
            file.create_dataset("ismrmrd_header", data=header.encode())
        file.attrs.update(attrs)
    return path
