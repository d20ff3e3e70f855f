"""Checks that the arrays read from files or written to files are finite, also in single precision."""

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


SMALLEST, LARGEST = 2.0**-100, 2.0**100
"""The range, 8e-31 to 1e30, of the largest magnitude of an array. Outside it, single precision loses digits or sums
overflow."""


def to_complex64(path: str | Path, name: str, values: np.ndarray, first: int, last: int) -> np.ndarray:
    """Convert an array that was read to complex64, and check that it is finite and within the range of float32.

    Args:
      path: the file.
      name: what the array is called in the message, for example "the k-space".
      values: the array that was read.
      first: number of the first slice that was read.
      last: number of the last slice that was read.

    Raises:
      ValueError: the array holds NaN or infinity, or its largest magnitude is outside ``SMALLEST`` to ``LARGEST``. The
        message names the file.

    >>> to_complex64("a.h5", "the k-space", np.ones(1), 0, 0)
    array([1.+0.j], dtype=complex64)
    """
    check_finite_read(path, name, values, first, last)
    if values.dtype.kind in "fc" and values.size:
        largest = max(float(max(part.max(), -part.min())) for part in (values.real, values.imag))
        if largest > LARGEST or 0 < largest < SMALLEST:
            raise ValueError(
                f"{path}: {name} of slices {first} to {last} has values up to {largest:.3g}, outside the range of "
                "float32 and complex64: scale it, for example to a largest magnitude of 1"
            )
    with np.errstate(under="ignore"):
        return np.asarray(values, np.complex64)
