"""Reading and writing the files of BART: arrays as pairs ``name.hdr`` and ``name.cfl``, and k-space in them."""

from collections.abc import Mapping
from math import prod
from pathlib import Path

import numpy as np

from deqjax.atomic_write import atomic_file
from deqjax.data.finite_checks import check_finite_write, to_complex64
from deqjax.data.fourier_numpy import ifft1c
from deqjax.data.scan import Scan, find_mask, shared_mask, slice_range

DIMENSIONS = (
    *("read", "phase1", "phase2", "coil", "maps", "te", "coeff", "coeff2"),
    *("iter", "cshift", "time", "time2", "level", "slice", "average", "batch"),
)
"""The names of the 16 dimensions, in the order of ``src/misc/mri.h`` of BART."""

SCAN_DIMENSIONS = {"read", "phase1", "phase2", "coil", "slice"}
"""The dimensions that a scan keeps; one entry is chosen along every other one."""


def read_bart(path: str | Path, slices: tuple[int, int] | None = None, select: Mapping[str, int] | None = None) -> Scan:
    """Read Cartesian k-space of BART.

    Dimension 0 (read) of BART becomes y, 1 (phase1) becomes x, which is the phase encode to undersample, 3 (coil)
    becomes the coil, and 13 (slice) the slice. If 2 (phase2) is longer than 1, the scan is 3-D: it is transformed along
    read, which is always sampled fully, so that ``slice`` is the position along read, y is phase2 and x is phase1.
    The mask is derived from the zeros, because these files hold zeros where nothing was sampled: rows and lines (in
    3-D: points) that are zero in every coil.

    Args:
      path: the name with ``.cfl``, ``.hdr`` or neither.
      slices: first and last slice to read, both included; None reads all.
      select: the entry to take along each further dimension that is longer than 1, for example ``{"time": 3}``; the
        names are those of ``DIMENSIONS``.

    Returns:
      The scan: kspace (slice, [coil,] y, x) complex64, without the coil axis for one coil.

    Raises:
      ValueError: in the cases of `read_cfl`, and for a further dimension that is longer than 1 and not in ``select``.

    Source: ``src/misc/mri.h`` of BART for the order of the dimensions; the transform is that of ``bart fft -u``.

    >>> import tempfile
    >>> path = write_bart(tempfile.mkdtemp() + "/scan", np.ones((2, 5, 8, 6), np.complex64))
    >>> read_bart(path, slices=(1, 1)).kspace.shape
    (1, 5, 8, 6)
    """
    data = cfl_paths(path)[1]
    array = _scan_axes(path, select or {})
    first, last = slice_range(data, slices, bart_shape(path, select)[0])
    if array.shape[2] == 1:
        kspace = np.ascontiguousarray(array[:, :, 0, :, first : last + 1].transpose(3, 2, 0, 1), np.complex64)
        kspace = to_complex64(data, "the k-space", kspace, first, last)
        mask = find_mask(kspace)
    else:
        read, _, _, coils, _ = array.shape
        kspace = np.empty((last + 1 - first, coils, *array.shape[2:0:-1]), np.complex64)
        for coil in range(coils):
            encoded = to_complex64(data, "the k-space", array[:, :, :, coil, 0], first, last)
            kspace[:, coil] = ifft1c(encoded.transpose(0, 2, 1), axis=0)[first : last + 1]
        sampled = np.any([(array[i, ..., 0] != 0).any(axis=-1).T for i in range(read)], axis=0)
        mask = shared_mask(sampled[None])
    kspace = kspace[:, 0] if kspace.shape[1] == 1 else kspace
    return Scan(kspace, mask=mask, name=data.name, slices=tuple(range(first, last + 1)), format="BART cfl")


def write_bart(path: str | Path, kspace: np.ndarray, overwrite: bool = False) -> Path:
    """Write k-space with the dimensions from which `read_bart` reads it.

    Args:
      path: the name with ``.cfl``, ``.hdr`` or neither.
      kspace: (slice, y, x) or (slice, coil, y, x).
      overwrite: whether existing files may be replaced.

    Returns:
      The path of the ``.cfl`` file.

    Raises:
      ValueError: k-space of another rank, and the cases of `write_cfl`.

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
    """Return the shape (slice, [coil,] y, x) of what `read_bart` reads, from the header."""
    read, phase1, phase2, coils, slices = _scan_axes(path, select or {}).shape
    shape = (slices, read, phase1) if phase2 == 1 else (read, phase2, phase1)
    return (shape[0], *((coils,) if coils > 1 else ()), *shape[1:])


def read_cfl(path: str | Path) -> np.ndarray:
    """Read an array as BART stores it.

    Args:
      path: the name with ``.cfl``, ``.hdr`` or neither.

    Returns:
      The array, complex64, with the axes of the header in its order; trailing axes of length 1 are left out.

    Raises:
      ValueError: one of the two files is missing, the header has no dimensions, or its dimensions do not agree with the
        size of the ``.cfl`` file. The message names the file.

    Source: Uecker et al., "Berkeley Advanced Reconstruction Toolbox", Proc. ISMRM 23:2486, 2015; BART's manual, "Data
    Format": little-endian complex floats, with the first axis fastest.

    >>> import tempfile
    >>> path = write_cfl(tempfile.mkdtemp() + "/array", np.ones((4, 3, 1, 2), np.complex64))
    >>> read_cfl(path).shape
    (4, 3, 1, 2)
    """
    array = np.array(open_cfl(path))
    kept = max((axis + 1 for axis, size in enumerate(array.shape) if size > 1), default=1)
    return array.reshape(array.shape[:kept], order="F")


def write_cfl(path: str | Path, array: np.ndarray, overwrite: bool = False) -> Path:
    """Write an array as ``name.cfl`` and ``name.hdr``, complex64 with 16 dimensions.

    Each file appears under its name when it is complete, the header last.

    Args:
      path: the name with ``.cfl``, ``.hdr`` or neither.
      array: an array with at most 16 axes.
      overwrite: whether existing files may be replaced.

    Returns:
      The path of the ``.cfl`` file.

    Raises:
      ValueError: more than 16 axes, an empty array, values that are not finite, or files that exist.

    >>> import tempfile
    >>> write_cfl(tempfile.mkdtemp() + "/array", np.ones((4, 3))).name
    'array.cfl'
    """
    header, data = cfl_paths(path)
    array = np.asarray(array)
    if array.ndim > 16 or array.size == 0:
        raise ValueError(f"{data}: not written, shape {array.shape}; BART has 1 to 16 axes, none of them empty")
    check_finite_write(data, "the array", array)
    dims = (*array.shape, *[1] * (16 - array.ndim))
    with atomic_file(header, overwrite) as temporary_header, atomic_file(data, overwrite) as temporary_data:
        array.astype("<c8").ravel(order="F").tofile(temporary_data)
        temporary_header.write_text("# Dimensions\n" + " ".join(map(str, dims)) + "\n")
    return data


def cfl_paths(path: str | Path) -> tuple[Path, Path]:
    """Return the paths of the header and of the data for a name with ``.cfl``, ``.hdr`` or neither.

    A dot inside the name is part of the name.
    """
    path = Path(path)
    stem = path.name.removesuffix(".cfl").removesuffix(".hdr")
    return path.with_name(stem + ".hdr"), path.with_name(stem + ".cfl")


def open_cfl(path: str | Path) -> np.ndarray:
    """Map the array of a ``.cfl`` file into memory, with the axes of its header, so that only what is used is read."""
    header, data = cfl_paths(path)
    for file in (header, data):
        if not file.is_file():
            raise ValueError(
                f"{file}: no such file; a BART array is {header.name} and {data.name} in one folder, give both"
            )
    dims = read_dimensions(header)
    if dims is None:
        raise ValueError(
            f"{header}: no dimensions; expected a line '# Dimensions', followed by a line of 1 to 16 sizes"
        )
    found, expected = data.stat().st_size, 8 * prod(dims)
    if found != expected:
        raise ValueError(
            f"{data}: has {found} bytes, but {header.name} says {' x '.join(map(str, dims))}, which are {expected} "
            "bytes of complex64; copy both files again, or correct the sizes in the header"
        )
    return np.memmap(data, "<c8", mode="r", shape=dims, order="F")


def read_dimensions(header: Path) -> tuple[int, ...] | None:
    """Return the sizes in a BART header, or None if the file is not a BART header."""
    with open(header, "rb") as file:
        lines = file.read(65536).decode("ascii", "replace").splitlines()
    lines = [line.strip() for line in lines]
    after = lines.index("# Dimensions") + 1 if "# Dimensions" in lines else 0
    words = next((line.split() for line in lines[after:] if line.strip() and not line.startswith("#")), [])
    if not 1 <= len(words) <= 16 or not all(len(word) < 19 and word.isdecimal() and int(word) > 0 for word in words):
        return None
    return tuple(map(int, words))


def _scan_axes(path: str | Path, select: Mapping[str, int]) -> np.ndarray:
    """Return the array with axes (read, phase1, phase2, coil, slice), mapped from the disk."""
    data = cfl_paths(path)[1]
    array = open_cfl(path)
    array = array.reshape(*array.shape, *[1] * (16 - array.ndim), order="F")
    unknown = set(select) - set(DIMENSIONS) | (set(select) & SCAN_DIMENSIONS)
    if unknown:
        raise ValueError(
            f"{data}: cannot select: {sorted(unknown)}; it takes "
            f"{[name for name in DIMENSIONS if name not in SCAN_DIMENSIONS]}"
        )
    index: list[int | slice] = []
    for name, size in zip(DIMENSIONS, array.shape):
        if name not in SCAN_DIMENSIONS and size > 1 and name not in select:
            raise ValueError(
                f"{data}: {size} entries along '{name}'; choose one, read_bart(path, select={{'{name}': 0}})"
            )
        if not 0 <= select.get(name, 0) < size:
            raise ValueError(f"{data}: no entry {select[name]} along '{name}'; it has {size}, counted from 0")
        index.append(slice(None) if name in SCAN_DIMENSIONS else select.get(name, 0))
    array = array[tuple(index)]
    if array.shape[2] > 1 and array.shape[4] > 1:
        raise ValueError(
            f"{data}: {array.shape[2]} along phase2 and {array.shape[4]} slices; write each slab to a file of its own"
        )
    return array
