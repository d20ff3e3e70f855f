"""Opening HDF5 files, with an error that names the file."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py


@contextmanager
def open_hdf5(path: str | Path) -> Iterator[h5py.File]:
    """Open an HDF5 file for reading.

    Raises:
      ValueError: the file is missing, or h5py fails while the file is open; the message names the file.

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
    except (OSError, KeyError, RuntimeError, TypeError) as error:  # TypeError: a number type that NumPy does not have
        raise ValueError(f"{path}: truncated, or not an HDF5 file ({error}); copy or download it again") from error
