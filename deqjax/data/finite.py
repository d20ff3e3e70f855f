"""NaN and infinity, refused on the way in and on the way out."""

from pathlib import Path

import numpy as np


def check_finite(path: str | Path, name: str, values: np.ndarray) -> None:
    """Refuse to write NaN or infinity, with a ValueError that names the file.

    >>> check_finite("a.h5", "kspace", np.ones(3))
    """
    if not np.isfinite(values).all():
        raise ValueError(f"{path}: not written, there is NaN or infinity in {name} of shape {values.shape}")


def check_read(path: str | Path, name: str, values: np.ndarray, first: int, last: int) -> None:
    """Refuse NaN or infinity in what was read of the slices ``first`` to ``last``, with a ValueError that names them.

    >>> check_read("a.h5", "the k-space", np.ones(3), 0, 2)
    """
    if not np.isfinite(values).all():
        raise ValueError(f"{path}: NaN or infinity in {name} of slices {first} to {last}; leave these slices out")
