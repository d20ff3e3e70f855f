"""NumPy's ``.npz``: k-space, and what else there is, under plain names."""

from pathlib import Path

import numpy as np

from deqjax.atomic_write import atomic_file
from deqjax.data.finite import check_finite, check_read
from deqjax.data.npz_archive import Stored, read_array, stored_arrays
from deqjax.data.scan import Scan, slice_range

KEYS = ("kspace", "mask", "smaps", "target")


def read_npz(path: str | Path, slices: tuple[int, int] | None = None) -> Scan:
    """Read k-space from an ``.npz``: kspace (slice, [coil,] y, x) complex64, and mask, smaps and target where stored.

    ``kspace`` is (y, x), (slice, y, x) or (slice, coil, y, x); it may be (coil, y, x) where ``smaps`` has that shape.
    ``mask`` is (x,), (1, x) or (y, x), or one of these with a leading slice axis, (slice, 1, x); ``smaps`` is ([slice,]
    coil, y, x); ``target`` is (slice, y, x), or (y, x) for one slice, real. ``slices=(first, last)`` keeps no other
    slice in memory, both included. Raises ValueError, which names the file, where it is missing or no such archive,
    where ``kspace`` is absent, and where an array has another shape or type, or NaN.

    Source: ours; the container is NumPy's (Harris et al., "Array programming with NumPy", Nature 585, 2020).

    >>> import tempfile
    >>> path = write_npz(tempfile.mkdtemp() + "/scan.npz", np.ones((3, 5, 8, 6), np.complex64), mask=np.ones((1, 6)))
    >>> scan = read_npz(path, slices=(1, 1))
    >>> scan.kspace.shape, scan.mask.shape
    ((1, 5, 8, 6), (1, 6))
    """
    path = Path(path)
    shape = npz_shape(path)
    first, last = slice_range(path, slices, shape[0])
    stored = stored_arrays(path)
    arrays = {
        key: read_array(path, key, (first, last) if _sliced(key, stored[key], shape) else None)
        for key in KEYS
        if key in stored
    }
    for key, values in arrays.items():
        check_read(path, f"'{key}'", values, first, last)
    count = last + 1 - first
    smaps, mask, target = arrays.get("smaps"), arrays.get("mask"), arrays.get("target")
    return Scan(
        kspace=arrays["kspace"].reshape(count, *shape[1:]).astype(np.complex64),
        target=None if target is None else target.reshape(count, *target.shape[-2:]).astype(np.float32),
        mask=None if mask is None else np.atleast_2d(mask).astype(np.float32),
        smaps=None if smaps is None else smaps.astype(np.complex64),
        name=path.name,
        slices=tuple(range(first, last + 1)),
        format="NumPy npz",
    )


def write_npz(
    path: str | Path,
    kspace: np.ndarray,
    *,
    mask: np.ndarray | None = None,
    smaps: np.ndarray | None = None,
    target: np.ndarray | None = None,
    overwrite: bool = False,
) -> Path:
    """Write what `read_npz` reads, in the shapes that it names, uncompressed, and return the path.

    Complex arrays are kept as complex64, the others as float32. The file appears when it is whole. Raises ValueError
    for a name that does not end with ``.npz``, a shape that `read_npz` refuses, values that are not finite, and for a
    file that exists, unless ``overwrite``. Source: as of `read_npz`.

    >>> import tempfile
    >>> write_npz(tempfile.mkdtemp() + "/scan.npz", np.ones((8, 6), np.complex64)).name
    'scan.npz'
    """
    path = Path(path)
    if path.suffix != ".npz":
        raise ValueError(f"{path}: the name must end with .npz")
    arrays = {key: values for key, values in zip(KEYS, (kspace, mask, smaps, target)) if values is not None}
    _check(path, {key: (values.shape, values.dtype) for key, values in arrays.items()})
    for key, values in arrays.items():
        check_finite(path, key, values)
        arrays[key] = values.astype(np.complex64 if key in ("kspace", "smaps") else np.float32)
    with atomic_file(path, overwrite) as temporary:
        np.savez(temporary, **arrays)  # type: ignore[arg-type]
    return path


def npz_shape(path: str | Path) -> tuple[int, ...]:
    """Shape (slice, [coil,] y, x) of what `read_npz` reads, from the headers; errors as of `read_npz`."""
    return _check(path, stored_arrays(path))


def _check(path: str | Path, stored: Stored) -> tuple[int, ...]:
    """Shape of the scan, or a ValueError where the arrays do not go together."""
    if "kspace" not in stored:
        raise ValueError(f"{path}: no array 'kspace', it holds {sorted(stored)}; write one with write_npz")
    shape, dtype = stored["kspace"]
    if len(shape) not in (2, 3, 4) or dtype.kind != "c" or 0 in shape:
        raise ValueError(
            f"{path}: 'kspace' has shape {shape} and type {dtype}; it must be complex with axes (y, x), (slice, y, x) "
            "or (slice, coil, y, x)"
        )
    if len(shape) == 3 and "smaps" in stored and stored["smaps"][0] == shape:
        shape = (1, *shape)
    shape = (1, *shape) if len(shape) == 2 else shape
    slices, y, x = shape[0], *shape[-2:]
    lines = [(1, x), (y, x)]
    allowed = {
        "mask": [(x,), *lines, *((slices, *line) for line in lines)],
        "smaps": [shape[1:], shape] if len(shape) == 4 else [],
    }
    for key, (found, kind) in stored.items():
        if key in allowed and found not in allowed[key]:
            raise ValueError(
                f"{path}: '{key}' has shape {found}, but 'kspace' is {shape} with axes (slice, [coil,] y, x); it must "
                f"be {' or '.join(map(str, allowed[key])) or 'left out, there is one coil'}"
            )
        if key == "target" and (
            len(found) not in (2, 3) or (slices, *found[-2:]) != (1, *found)[-3:] or kind.kind == "c"
        ):
            raise ValueError(
                f"{path}: 'target' has shape {found}, type {kind}; it must be real, (slice, y, x), {slices} slices"
            )
    return shape


def _sliced(key: str, stored: tuple[tuple[int, ...], np.dtype], shape: tuple[int, ...]) -> bool:
    """Whether the first axis of an array counts slices."""
    found = stored[0]
    return len(found) == {"kspace": len(shape), "mask": 3, "smaps": 4, "target": 3}[key]
