"""Opening HDF5 files and reading their datasets, with errors that name the file."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from deqjax.data.formats.hdf5_heaps import check_global_heaps, check_lengths
from deqjax.file_checks import check_claimed_size, explain_content


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
    check_global_heaps(path)
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, LookupError, RuntimeError, TypeError, AttributeError, ArithmeticError, ValueError) as error:
        if isinstance(error, ValueError) and str(error).startswith(str(path)):
            raise
        reason = " ".join(ascii(str(error))[1:-1].split())[:200]
        advice = explain_content(path) or f"truncated, or not an HDF5 file ({reason}); copy or download it again"
        raise ValueError(f"{path}: {advice}") from error


def check_dataset(path: str | Path, dataset: Any) -> None:
    """Check that an entry of a file is a dataset whose values the file itself stores.

    Raises:
      ValueError: it is a group, claims more than the file stores, was never written, or lies in another file.
    """
    if not isinstance(dataset, h5py.Dataset):
        raise ValueError(f"{path}: {getattr(dataset, 'name', dataset)!a} is not a dataset; write the file again")
    name, claimed = ascii(dataset.name.lstrip("/")), (dataset.size or 0) * dataset.dtype.itemsize
    if dataset.external:
        raise ValueError(f"{path}: {name} lies in other files; write it into this file")
    if dataset.is_virtual:
        return
    stored = dataset.id.get_storage_size()
    if claimed and not stored:
        raise ValueError(f"{path}: {name} of shape {dataset.shape} was never written; write the file again")
    check_claimed_size(path, f"{name} of shape {dataset.shape}", claimed, stored)
    check_lengths(path, dataset)


def read_dataset(path: str | Path, dataset: Any, index: Any = ...) -> np.ndarray:
    """Read a dataset of numbers, or a part of it.

    Raises:
      ValueError: it is no dataset of numbers, and the cases of `check_dataset`.
    """
    check_dataset(path, dataset)
    if dataset.dtype.kind not in "biufc":
        raise ValueError(f"{path}: {dataset.name!a} holds {dataset.dtype}, no numbers; write it as numbers")
    return np.asarray(dataset[index])
