"""Checks that the arrays read from files or written to files are finite."""

from pathlib import Path

import numpy as np


def check_finite_write(path: str | Path, name: str, values: np.ndarray) -> None:
    """Raise a ValueError that names the file if an array to be written holds NaN or infinity.

    >>> check_finite_write("a.h5", "kspace", np.ones(3))
    """
    if not np.isfinite(values).all():
        raise ValueError(
            f"{path}: not written, there is NaN or infinity in {name} of shape {values.shape}; remove these values"
        )


def check_finite_read(path: str | Path, name: str, values: np.ndarray, first: int, last: int) -> None:
    """Raise a ValueError that names the file and the slices if an array that was read holds NaN or infinity.

    Args:
      path: the file.
      name: what the array is called in the message, for example "the k-space".
      values: the array that was read.
      first: number of the first slice that was read.
      last: number of the last slice that was read.

    >>> check_finite_read("a.h5", "the k-space", np.ones(3), 0, 2)
    """
    if not np.isfinite(values).all():
        raise ValueError(f"{path}: NaN or infinity in {name} of slices {first} to {last}; leave these slices out")
