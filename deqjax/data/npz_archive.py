"""The arrays inside an ``.npz``: their shapes without reading them, and parts of them."""

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

DAMAGE = (zipfile.BadZipFile, zlib.error, ValueError, EOFError, OSError, RuntimeError)
"""What reading a damaged archive can raise."""

Stored = dict[str, tuple[tuple[int, ...], np.dtype]]
"""Shape and type of each array."""


def stored_arrays(path: str | Path) -> Stored:
    """Shape and type of every array of the archive."""
    with open_archive(path) as archive:
        found = {}
        for name in archive.namelist():
            if name.endswith(".npy"):
                with archive.open(name) as member:
                    shape, _, dtype = _header(member)
                found[name.removesuffix(".npy")] = (shape, dtype)
        return found


def read_array(path: Path, key: str, slices: tuple[int, int] | None) -> np.ndarray:
    """An array, or these entries of its first axis, of which no other is kept."""
    with open_archive(path) as archive, archive.open(key + ".npy") as member:
        shape, fortran, dtype = _header(member)
        if slices is None or fortran:
            member.seek(0)
            whole = np.lib.format.read_array(member, allow_pickle=False)
            return whole if slices is None else whole[slices[0] : slices[1] + 1]
        step = int(np.prod(shape[1:])) * dtype.itemsize
        member.seek(slices[0] * step, 1)
        count = slices[1] + 1 - slices[0]
        return np.frombuffer(member.read(count * step), dtype).reshape(count, *shape[1:])


@contextmanager
def open_archive(path: str | Path) -> Iterator[zipfile.ZipFile]:
    """Open an archive; every failure while it is open is a ValueError that names the file."""
    if not Path(path).is_file():
        raise ValueError(f"{path}: no such file; check the path")
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except DAMAGE as error:
        raise ValueError(f"{path}: no readable .npz archive ({error}); write it again") from error


def _header(member: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(member)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return read(member)
