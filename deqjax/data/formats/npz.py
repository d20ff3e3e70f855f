"""Reading and writing ``.npz`` archives of NumPy that hold k-space and related arrays under fixed names."""

import lzma
import math
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from deqjax.atomic_write import atomic_file
from deqjax.data.finite_checks import check_finite_read, check_finite_write, to_complex64
from deqjax.data.scan import Scan, advice_on_real_pairs, mask_of_empty_lines, slice_range
from deqjax.file_checks import check_claimed_size, explain_content
from deqjax.physics.array_checks import zero_one_mask

KEYS = ("kspace", "mask", "smaps", "target")

ARCHIVE_ERRORS = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, OSError, RuntimeError),
    *(ValueError, LookupError, TypeError, SyntaxError, ArithmeticError, AttributeError, tokenize.TokenError),
)
"""The exceptions that reading a damaged archive can raise."""

ArrayHeaders = dict[str, tuple[tuple[int, ...], np.dtype]]
"""The shape and the type of each array of an archive."""


def read_npz(path: str | Path, slices: tuple[int, int] | None = None) -> Scan:
    """Read k-space from an ``.npz`` archive, and the mask, coil sensitivities and target that it holds.

    The archive holds these arrays, of which only ``kspace`` is required:

    * ``kspace``: (y, x), (slice, y, x) or (slice, coil, y, x), complex; also (coil, y, x) if ``smaps`` has that shape;
    * ``mask``: (x,), (1, x) or (y, x), or with a leading slice axis (slice, 1, x) or (slice, y, x). Without it, the
      empty lines of an undersampled scan are its mask;
    * ``smaps``: ([slice,] coil, y, x);
    * ``target``: (slice, y, x), or (y, x) for one slice, real.

    Args:
      path: the file.
      slices: first and last slice to keep in memory, both included; None keeps all.

    Returns:
      The scan: kspace (slice, [coil,] y, x) complex64.

    Raises:
      ValueError: the file is missing or not an archive, ``kspace`` is absent, or an array has another shape or type or
        values that are not finite. The message names the file.

    >>> import tempfile
    >>> path = write_npz(tempfile.mkdtemp() + "/scan.npz", np.ones((3, 5, 8, 6), np.complex64), mask=np.ones((1, 6)))
    >>> scan = read_npz(path, slices=(1, 1))
    >>> scan.kspace.shape, scan.mask.shape
    ((1, 5, 8, 6), (1, 6))
    """
    path = Path(path)
    headers = _read_headers(path)
    shape = _check_shapes(path, headers)
    first, last = slice_range(path, slices, shape[0])
    arrays = {
        key: _read_array(path, key, (first, last) if _has_slice_axis(key, headers[key], shape) else None)
        for key in KEYS
        if key in headers
    }
    for key, values in arrays.items():
        if key in ("kspace", "smaps"):
            arrays[key] = to_complex64(path, f"'{key}'", values, first, last)
        else:
            check_finite_read(path, f"'{key}'", values, first, last)
    count = last + 1 - first
    kspace = arrays["kspace"].reshape(count, *shape[1:])
    smaps, target = arrays.get("smaps"), arrays.get("target")
    mask = arrays["mask"] if "mask" in arrays else mask_of_empty_lines(kspace)
    return Scan(
        kspace=kspace,
        target=None if target is None else target.reshape(count, *target.shape[-2:]).astype(np.float32),
        mask=None if mask is None else zero_one_mask(np.atleast_2d(mask), f"{path}: 'mask'").astype(np.float32),
        smaps=smaps,
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
    """Write an uncompressed ``.npz`` archive that `read_npz` reads; it appears under its name when it is complete.

    Complex arrays are stored as complex64, the others as float32.

    Args:
      path: a name that ends with ``.npz``.
      kspace: in one of the shapes that `read_npz` accepts; likewise ``mask``, ``smaps`` and ``target``.
      mask: the sampled points.
      smaps: the coil sensitivities.
      target: the reference images.
      overwrite: whether an existing file may be replaced.

    Returns:
      The path.

    Raises:
      ValueError: another suffix, a shape that `read_npz` does not accept, values that are not finite, or a file that
        exists.

    >>> import tempfile
    >>> write_npz(tempfile.mkdtemp() + "/scan.npz", np.ones((8, 6), np.complex64)).name
    'scan.npz'
    """
    path = Path(path)
    if path.suffix != ".npz":
        raise ValueError(f"{path}: the name must end with .npz")
    arrays = {key: values for key, values in zip(KEYS, (kspace, mask, smaps, target)) if values is not None}
    _check_shapes(path, {key: (values.shape, values.dtype) for key, values in arrays.items()})
    for key, values in arrays.items():
        check_finite_write(path, key, values)
        if key == "mask":
            zero_one_mask(values, f"{path}: not written, mask")
        arrays[key] = values.astype(np.complex64 if key in ("kspace", "smaps") else np.float32)
    with atomic_file(path, overwrite) as temporary:
        np.savez(temporary, **arrays)  # type: ignore[arg-type]
    return path


def npz_shape(path: str | Path) -> tuple[int, ...]:
    """Return the shape (slice, [coil,] y, x) of what `read_npz` reads, from the headers; the errors are the same."""
    return _check_shapes(path, _read_headers(path))


@contextmanager
def open_archive(path: str | Path) -> Iterator[zipfile.ZipFile]:
    """Open a zip archive for reading.

    Raises:
      ValueError: the file is missing, or reading fails while it is open; the message names the file.
    """
    if not Path(path).is_file():
        raise ValueError(f"{path}: no such file; check the path")
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except ARCHIVE_ERRORS as error:
        if isinstance(error, ValueError) and str(error).startswith(str(path)):
            raise
        reason = " ".join(ascii(str(error))[1:-1].split())[:200]
        raise ValueError(
            f"{path}: {explain_content(path) or f'no readable .npz archive ({reason}); write it again'}"
        ) from error


def _check_shapes(path: str | Path, headers: ArrayHeaders) -> tuple[int, ...]:
    """Return the shape (slice, [coil,] y, x) of the scan; raise a ValueError if the arrays do not fit together."""
    if "kspace" not in headers:
        raise ValueError(f"{path}: no array 'kspace', it holds {sorted(headers)[:8]}; write one with write_npz")
    shape, dtype = headers["kspace"]
    if len(shape) not in (2, 3, 4) or dtype.kind != "c" or 0 in shape:
        raise ValueError(
            f"{path}: 'kspace' has shape {shape} and type {dtype}; it must be complex with axes (y, x), (slice, y, x) "
            f"or (slice, coil, y, x); {advice_on_real_pairs(shape, dtype) or 'write it with write_npz'}"
        )
    for key, (found, found_dtype) in headers.items():
        if key in ("mask", "smaps", "target") and found_dtype.kind not in ("biufc" if key == "smaps" else "biuf"):
            kind = "complex or real" if key == "smaps" else "real"
            raise ValueError(f"{path}: '{key}' of shape {found} has type {found_dtype}; it must be {kind}")
    if len(shape) == 3 and "smaps" in headers and headers["smaps"][0] == shape:
        shape = (1, *shape)
    shape = (1, *shape) if len(shape) == 2 else shape
    slices, y, x = shape[0], *shape[-2:]
    planes = [(1, x), (y, x)]
    allowed = {
        "mask": [(x,), *planes, *((slices, *plane) for plane in planes)],
        "smaps": [shape[1:], shape] if len(shape) == 4 else [],
    }
    for key, (found, found_dtype) in headers.items():
        if key in allowed and found not in allowed[key]:
            raise ValueError(
                f"{path}: '{key}' has shape {found}, but 'kspace' is {shape} with axes (slice, [coil,] y, x); it must "
                f"be {' or '.join(map(str, allowed[key])) or 'left out, there is one coil'}"
            )
        if key == "target" and (
            len(found) not in (2, 3) or (slices, *found[-2:]) != (1, *found)[-3:] or found_dtype.kind == "c"
        ):
            raise ValueError(
                f"{path}: 'target' has shape {found}, type {found_dtype}, but 'kspace' is {shape} with axes (slice, "
                f"[coil,] y, x); it must be real with axes (slice, y, x) and {slices} slices"
            )
    return shape


def _has_slice_axis(key: str, header: tuple[tuple[int, ...], np.dtype], shape: tuple[int, ...]) -> bool:
    """Whether the first axis of an array counts slices."""
    found = header[0]
    return len(found) == {"kspace": len(shape), "mask": 3, "smaps": 4, "target": 3}[key]


def _read_headers(path: str | Path) -> ArrayHeaders:
    """Read the shape and the type of every array of the archive."""
    with open_archive(path) as archive:
        headers = {}
        for name in archive.namelist():
            if name.endswith(".npy"):
                key = name.removesuffix(".npy")
                if key in KEYS:
                    with archive.open(name) as member:
                        shape, _, dtype = _read_header(path, archive, name, member)
                    headers[key] = (shape, dtype)
                else:
                    headers[key] = ((), np.dtype("u1"))  # named in a message, and not read
        return headers


def _read_array(path: Path, key: str, slices: tuple[int, int] | None) -> np.ndarray:
    """Read an array, or the entries ``slices`` (both included) of its first axis; only these are kept in memory."""
    name = key + ".npy"
    with open_archive(path) as archive, archive.open(name) as member:
        shape, fortran, dtype = _read_header(path, archive, name, member)
        if slices is None or fortran:
            member.seek(0)
            array = np.lib.format.read_array(member, allow_pickle=False)
            return array if slices is None else array[slices[0] : slices[1] + 1]
        step = math.prod(shape[1:]) * dtype.itemsize
        member.seek(slices[0] * step, 1)
        count = slices[1] + 1 - slices[0]
        return np.frombuffer(member.read(count * step), dtype).reshape(count, *shape[1:])


def _read_header(
    path: str | Path, archive: zipfile.ZipFile, name: str, member: IO[bytes]
) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Read the shape, the Fortran order and the type of the array of one member, and check its size."""
    version = np.lib.format.read_magic(member)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(member)
    information, claimed = archive.getinfo(name), math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or claimed > information.file_size:
        raise ValueError(
            f"{path}: {name!r} claims the shape {ascii(shape)[:80]} of {dtype}, but the archive holds "
            f"{information.file_size} bytes of it; write it again"
        )
    check_claimed_size(path, repr(name), claimed, information.compress_size)
    return shape, fortran, dtype
