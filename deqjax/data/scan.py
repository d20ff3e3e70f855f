"""What a file holds, in memory."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class Scan:
    """What a file holds of one slice, or, with one more leading ``slice`` axis in kspace and target, of several.

    Source: Zbontar et al., "fastMRI: An Open Dataset and Benchmarks for Accelerated MRI", arXiv:1811.08839, 2018.

    >>> Scan(np.zeros((8, 6), np.complex64), name="file.h5").kspace.shape
    (8, 6)
    """

    kspace: np.ndarray
    """(coil, y, x), or (y, x) of a single-coil file; complex64."""
    target: np.ndarray | None = None
    """(y, x) float32: ``reconstruction_rss``, or ``reconstruction_esc`` of a single-coil file; absent in test files."""
    mask: np.ndarray | None = None
    """(1, x) float32: the lines that were sampled; only in test files. Other formats also give (y, x), and a leading
    slice axis where slices differ; None means that all was sampled."""
    padding: tuple[int, int] | None = None
    """Columns ``left <= x < right`` were acquired."""
    crop: tuple[int, int] | None = None
    """Size (y, x) that the scanner crops its image to; the square of the columns where there are fewer (FLAIR)."""
    attrs: dict[str, Any] | None = None
    """Attributes of the file: acquisition, patient_id, and norm and max of the target, which test files lack."""
    name: str = ""
    """File name with its suffix: the seed of its evaluation mask."""
    slices: tuple[int, ...] = ()
    """Which slices of the file these are."""
    format: str = ""
    """What kind of file it was, in words."""
    smaps: np.ndarray | None = None
    """([slice,] coil, y, x) complex64, where the file holds them."""
    voxel_size: tuple[float, float, float] | None = None
    """Millimetres along (slice, y, x), where the file says."""


def slice_range(path: str | Path, slices: tuple[int, int] | None, total: int) -> tuple[int, int]:
    """First and last slice, both included, of ``total``; a ValueError names the file where it lacks them.

    >>> slice_range("file.h5", None, 5), slice_range("file.h5", (1, 2), 5)
    ((0, 4), (1, 2))
    """
    first, last = (0, total - 1) if slices is None else slices
    if not 0 <= first <= last < total:
        raise ValueError(f"{path}: no slices {first} to {last}; it has {total}, counted from 0 (last included)")
    return first, last


def shared_mask(sampled: np.ndarray) -> np.ndarray | None:
    """Write a pattern (slice, y, x) of bools as the smallest float32 mask that says the same, None where all is true.

    It is (1, x) where all rows agree, (y, x) where all slices do, and keeps its slice axis where they differ.
    A slice without any sample says nothing, and takes the pattern of the others.

    >>> shared_mask(np.array([[[True, False]] * 3] * 2))
    array([[1., 0.]], dtype=float32)
    """
    empty = ~sampled.any(axis=(1, 2), keepdims=True)
    sampled = sampled | (empty & sampled.any(axis=0))
    if sampled.all():
        return None
    if (sampled == sampled[:1]).all():
        sampled = sampled[0]
    if (sampled == sampled[..., :1, :]).all():
        sampled = sampled[..., :1, :]
    return sampled.astype(np.float32)


def find_mask(kspace: np.ndarray) -> np.ndarray | None:
    """Find what was sampled in k-space (slice, [coil,] y, x) with zeros elsewhere: rows times lines that are not zero.

    For formats that store no mask. The result is as of `shared_mask`; k-space that is all zero counts as sampled.

    >>> find_mask(np.array([[[1, 0, 2j], [1, 0, 1]]]))
    array([[1., 0., 1.]], dtype=float32)
    """
    some = kspace != 0
    some = some.any(axis=1) if kspace.ndim == 4 else some
    sampled = some.any(axis=2, keepdims=True) & some.any(axis=1, keepdims=True)
    return shared_mask(sampled) if sampled.any() else None
