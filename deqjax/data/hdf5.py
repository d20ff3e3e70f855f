"""HDF5 files that are opened with a clear error."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py


@contextmanager
def open_hdf5(path: str | Path) -> Iterator[h5py.File]:
    """Open a file to read; every failure while it is open is a ValueError that names the file.

    >>> with open_hdf5("absent.h5"):
    ...     pass
    Traceback (most recent call last):
    ValueError: absent.h5: no such file; check the path
    """
    if not Path(path).is_file():
        raise ValueError(f"{path}: no such file; check the path")
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, KeyError, RuntimeError, TypeError) as error:  # TypeError: a type of numbers that NumPy has not
        raise ValueError(f"{path}: truncated, or not an HDF5 file ({error}); copy or download it again") from error
