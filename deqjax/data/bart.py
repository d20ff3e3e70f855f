"""K-space of BART, as a scan."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from deqjax.data.cfl import cfl_pair, open_cfl, write_cfl
from deqjax.data.finite import check_read
from deqjax.data.fourier import ifft1c
from deqjax.data.scan import Scan, find_mask, shared_mask, slice_range

DIMENSIONS = (
    *("read", "phase1", "phase2", "coil", "maps", "te", "coeff", "coeff2"),
    *("iter", "cshift", "time", "time2", "level", "slice", "average", "batch"),
)
IN_A_SCAN = {"read", "phase1", "phase2", "coil", "slice"}


def read_bart(path: str | Path, slices: tuple[int, int] | None = None, select: Mapping[str, int] | None = None) -> Scan:
    """Read Cartesian k-space of BART: kspace (slice, [coil,] y, x) complex64, without the coil axis for one coil.

    BART's dimension 0 (read) becomes y, 1 (phase1) becomes x, the phase encode to undersample, 3 (coil) the coil and
    13 (slice) the slice. Where 2 (phase2) is longer than 1 the scan is 3-D: it is transformed along read, which is
    always sampled fully, so that ``slice`` is the position along read, y is phase2 and x is phase1. Every other
    dimension must be 1, or be chosen: ``select={"time": 3}``; its names are in ``DIMENSIONS``. What was not sampled is
    zero in these files: rows and lines (3-D: points) that are zero in every coil give the mask.
    ``slices=(first, last)`` reads no other slice, both included. Raises ValueError as `read_cfl` does, and for a
    dimension that is left over.

    Source: as of `read_cfl`; the order is that of ``src/misc/mri.h``, the transform is ``bart fft -u``.

    >>> import tempfile
    >>> path = write_bart(tempfile.mkdtemp() + "/scan", np.ones((2, 5, 8, 6), np.complex64))
    >>> read_bart(path, slices=(1, 1)).kspace.shape
    (1, 5, 8, 6)
    """
    data = cfl_pair(path)[1]
    array = _scan_axes(path, select or {})
    first, last = slice_range(data, slices, bart_shape(path, select)[0])
    if array.shape[2] == 1:
        kspace = np.ascontiguousarray(array[:, :, 0, :, first : last + 1].transpose(3, 2, 0, 1), np.complex64)
        mask = find_mask(kspace)
    else:
        read, _, _, coils, _ = array.shape
        kspace = np.empty((last + 1 - first, coils, *array.shape[2:0:-1]), np.complex64)
        for coil in range(coils):
            kspace[:, coil] = ifft1c(array[:, :, :, coil, 0].transpose(0, 2, 1), axis=0)[first : last + 1]
        sampled = np.any([(array[i, ..., 0] != 0).any(axis=-1).T for i in range(read)], axis=0)
        mask = shared_mask(sampled[None])
    check_read(data, "the k-space", kspace, first, last)
    kspace = kspace[:, 0] if kspace.shape[1] == 1 else kspace
    return Scan(kspace, mask=mask, name=data.name, slices=tuple(range(first, last + 1)), format="BART cfl")


def write_bart(path: str | Path, kspace: np.ndarray, overwrite: bool = False) -> Path:
    """Write k-space (slice, y, x) or (slice, coil, y, x) where `read_bart` finds it, and return the path of the cfl.

    Raises ValueError for another rank, and as `write_cfl` does. Source: as of `read_bart`.

    >>> import tempfile
    >>> open_cfl(write_bart(tempfile.mkdtemp() + "/scan", np.ones((3, 5, 8, 6), np.complex64))).shape
    (8, 6, 1, 5, 1, 1, 1, 1, 1, 1, 1, 1, 1, 3, 1, 1)
    """
    if kspace.ndim not in (3, 4):
        raise ValueError(f"kspace must have axes (slice, y, x) or (slice, coil, y, x); got shape {kspace.shape}")
    kspace = kspace[:, None] if kspace.ndim == 3 else kspace
    read_phase_coil_slice = kspace.transpose(2, 3, 1, 0)
    shape = read_phase_coil_slice.shape
    return write_cfl(path, read_phase_coil_slice.reshape(*shape[:2], 1, shape[2], *[1] * 9, shape[3]), overwrite)


def bart_shape(path: str | Path, select: Mapping[str, int] | None = None) -> tuple[int, ...]:
    """Shape (slice, [coil,] y, x) of what `read_bart` reads, from the header."""
    read, phase1, phase2, coils, slices = _scan_axes(path, select or {}).shape
    shape = (slices, read, phase1) if phase2 == 1 else (read, phase2, phase1)
    return (shape[0], *((coils,) if coils > 1 else ()), *shape[1:])


def _scan_axes(path: str | Path, select: Mapping[str, int]) -> np.ndarray:
    """The array as (read, phase1, phase2, coil, slice), still on disk."""
    data = cfl_pair(path)[1]
    array = open_cfl(path)
    array = array.reshape(*array.shape, *[1] * (16 - array.ndim), order="F")
    unknown = set(select) - set(DIMENSIONS) | (set(select) & IN_A_SCAN)
    if unknown:
        raise ValueError(
            f"select: {sorted(unknown)}; it takes {[name for name in DIMENSIONS if name not in IN_A_SCAN]}"
        )
    index: list[int | slice] = []
    for name, size in zip(DIMENSIONS, array.shape):
        if name not in IN_A_SCAN and size > 1 and name not in select:
            raise ValueError(
                f"{data}: {size} entries along '{name}'; choose one, read_bart(path, select={{'{name}': 0}})"
            )
        if not 0 <= select.get(name, 0) < size:
            raise ValueError(f"{data}: no entry {select[name]} along '{name}'; it has {size}, counted from 0")
        index.append(slice(None) if name in IN_A_SCAN else select.get(name, 0))
    array = array[tuple(index)]
    if array.shape[2] > 1 and array.shape[4] > 1:
        raise ValueError(
            f"{data}: {array.shape[2]} along phase2 and {array.shape[4]} slices; write each slab to a file"
        )
    return array
