"""The contents of a k-space file in memory, and how its mask and its slice numbers are derived."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from deqjax.physics.array_checks import zero_one_mask


class ScanWarning(UserWarning):
    """Something in a file with k-space may make its image wrong, although the file could be read."""


def warn_of_scan(message: str) -> None:
    """Issue a `ScanWarning`, attributed to the caller of the reader."""
    warnings.warn(message, ScanWarning, stacklevel=5)


@dataclass(frozen=True, eq=False)
class Scan:
    """The k-space of one slice of a file, or of several slices, and what else the file says about it.

    A scan of several slices has a leading ``slice`` axis in ``kspace`` and ``target``.

    Raises:
      ValueError: the mask holds another value than 0 and 1; masks of bools and integers become float32.

    Source: Zbontar et al., "fastMRI: An Open Dataset and Benchmarks for Accelerated MRI", arXiv:1811.08839, 2018.

    >>> Scan(np.zeros((8, 6), np.complex64), name="file.h5").kspace.shape
    (8, 6)
    """

    kspace: np.ndarray
    """(coil, y, x), or (y, x) for a single-coil file; complex64."""
    target: np.ndarray | None = None
    """(y, x) float32: ``reconstruction_rss`` of fastMRI, or ``reconstruction_esc`` for a single-coil file. Test files
    have none."""
    mask: np.ndarray | None = None
    """(1, x) float32: the lines that were sampled; in fastMRI only test files store it. Other formats also give (y, x),
    with a leading slice axis where the slices differ. None means that everything was sampled."""
    padding: tuple[int, int] | None = None
    """Only the columns ``left <= x < right`` were acquired."""
    crop: tuple[int, int] | None = None
    """The size (y, x) to which the scanner crops its image. Where k-space has fewer columns than that, as in some
    FLAIR scans, it is the square of the number of columns."""
    attrs: dict[str, Any] | None = None
    """The attributes of the file: acquisition, patient_id, and the norm and max of the target (not in test files)."""
    name: str = ""
    """The name of the file with its suffix. It is the seed of the evaluation mask."""
    slices: tuple[int, ...] = ()
    """The numbers of these slices in the file."""
    format: str = ""
    """The name of the file format."""
    smaps: np.ndarray | None = None
    """Coil sensitivities ([slice,] coil, y, x) complex64, where the file holds them."""
    voxel_size: tuple[float, float, float] | None = None
    """Millimetres along (slice, y, x), where the file gives them."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "mask", zero_one_mask(self.mask, f"{self.name}: the mask" if self.name else "mask"))


def describe(scan: Scan) -> str:
    """Describe a scan of several slices in one line: name, format, slices, coils, size and the sampled fraction.

    >>> describe(Scan(np.zeros((3, 8, 6), np.complex64), mask=np.array([[1, 0, 1, 0, 0, 1]]), name="a.h5"))
    'a.h5: 3 slices, 1 coil, 8 x 6, 50 % sampled'
    """
    slices, coils = scan.kspace.shape[0], scan.kspace.shape[1] if scan.kspace.ndim == 4 else 1
    y, x = scan.kspace.shape[-2:]
    parts = [f"{slices} slice{'s' * (slices != 1)}", f"{coils} coil{'s' * (coils != 1)}", f"{y} x {x}"]
    left, right = scan.padding or (0, x)
    if scan.mask is None and right - left < x:
        parts.append(f"columns {left} to {right - 1} all sampled")
    else:
        parts.append("all sampled" if scan.mask is None else f"{scan.mask.mean():.0%} sampled".replace("%", " %"))
    if scan.voxel_size is not None:
        parts.append(" x ".join(f"{mm:.3g}" for mm in scan.voxel_size) + " mm")
    left_out = (scan.attrs or {}).get("calibration_lines", 0)
    if left_out:
        parts.append(f"{left_out} calibration lines left out (read_calibration reads them)")
    parts += [f"with {name}" for name in ("target", "smaps") if getattr(scan, name) is not None]
    return f"{scan.name}{', ' * bool(scan.format)}{scan.format}: {', '.join(parts)}"


def advice_on_real_pairs(shape: tuple[int, ...], dtype: np.dtype) -> str:
    """Return how to convert k-space that is stored as real and imaginary parts; empty if it is not stored so.

    >>> advice_on_real_pairs((3, 8, 6, 2), np.dtype("f4"))
    'the last axis of 2 looks like real and imaginary parts: write kspace[..., 0] + 1j * kspace[..., 1]'
    """
    if dtype.kind != "f" or len(shape) < 3 or 2 not in (shape[-1], shape[0]):
        return ""
    last = shape[-1] == 2
    parts = "kspace[..., 0] + 1j * kspace[..., 1]" if last else "kspace[0] + 1j * kspace[1]"
    return f"the {'last' if last else 'first'} axis of 2 looks like real and imaginary parts: write {parts}"


def slice_range(path: str | Path, slices: tuple[int, int] | None, total: int) -> tuple[int, int]:
    """Return the first and the last slice to read, both included.

    Args:
      path: the file, named in the error.
      slices: first and last slice that the caller asks for; None asks for all.
      total: number of slices in the file.

    Raises:
      ValueError: the file does not have these slices.

    >>> slice_range("file.h5", None, 5), slice_range("file.h5", (1, 2), 5)
    ((0, 4), (1, 2))
    """
    first, last = (0, total - 1) if slices is None else slices
    if not 0 <= first <= last < total:
        raise ValueError(
            f"{path}: no slices {first} to {last}; it has {total}, counted from 0 (last included); choose from 0 to "
            f"{total - 1}"
        )
    return first, last


def shared_mask(sampled: np.ndarray) -> np.ndarray | None:
    """Reduce a sampling pattern to the smallest equivalent float32 mask; return None if everything was sampled.

    A slice without any sample carries no information about the pattern, so it takes the pattern of the other slices.

    Args:
      sampled: (slice, y, x) bool.

    Returns:
      The mask (1, x) if all slices and rows agree, (y, x) if all slices agree, (slice, 1, x) if the rows of each slice
      agree, and (slice, y, x) otherwise.

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


def sampled_pattern(nonzero: np.ndarray) -> np.ndarray:
    """Find the sampled points (slice, y, x) from the points that are not zero.

    These are the rows and the lines that hold a value. If more than a tenth of their points is zero, the pattern is one
    of points, such as Poisson disc: measured samples are zero by chance only.

    >>> sampled_pattern(np.array([[[1, 0, 1, 1]] * 15 + [[1, 0, 1, 0]]], bool))[0, -1]
    array([ True, False,  True,  True])
    """
    sampled = np.logical_and(nonzero.any(axis=2, keepdims=True), nonzero.any(axis=1, keepdims=True))
    return nonzero if (sampled & ~nonzero).sum() > 0.1 * sampled.sum() else sampled


def find_mask(kspace: np.ndarray) -> np.ndarray | None:
    """Derive the mask of k-space that is zero where it was not sampled, for formats that store no mask.

    A point counts as sampled if both its row and its line hold a value that is not zero; see `sampled_pattern` for
    patterns of points. k-space that is zero everywhere counts as sampled.

    Args:
      kspace: (slice, [coil,] y, x).

    Returns:
      The mask as returned by `shared_mask`.

    >>> find_mask(np.array([[[1, 0, 2j], [1, 0, 1]]]))
    array([[1., 0., 1.]], dtype=float32)
    """
    nonzero = kspace != 0
    sampled = sampled_pattern(nonzero.any(axis=1) if kspace.ndim == 4 else nonzero)
    return shared_mask(sampled) if sampled.any() else None


def mask_of_empty_lines(kspace: np.ndarray, padding: tuple[int, int] | None = None) -> np.ndarray | None:
    """Derive the mask of k-space in a file that names none, where empty lines mean that it is undersampled.

    Lines and rows that are missing evenly at both edges, by at most one more on one side, are zero padding, which
    lowers the resolution and is no undersampling. Neither are the columns outside ``padding``.

    Args:
      kspace: (slice, [coil,] y, x).
      padding: (left, right), the acquired columns ``left <= x < right``, where the file says so.

    Returns:
      None if everything was sampled except for the padding, and otherwise the mask as returned by `find_mask`.

    >>> lines = np.array([0, 1, 1, 0, 1, 0])
    >>> mask_of_empty_lines(np.ones((1, 4, 6)) * lines), mask_of_empty_lines(np.ones((1, 4, 4)) * lines[:4])
    (array([[0., 1., 1., 0., 1., 0.]], dtype=float32), None)
    """
    mask = find_mask(kspace)
    left, right = padding or (0, kspace.shape[-1])
    return mask if mask is not None and has_gaps(mask[..., left:right]) else None


def has_gaps(mask: np.ndarray) -> bool:
    """Tell whether a mask (..., y, x) is undersampled, and not only padded with zeros evenly at its edges.

    >>> has_gaps(np.array([[0, 1, 1, 0]])), has_gaps(np.array([[1, 0, 1, 1]])), has_gaps(np.array([[0, 0, 0, 1, 1]]))
    (False, True, True)
    """
    for axis in (mask.ndim - 2, mask.ndim - 1):
        filled = np.flatnonzero(mask.any(axis=tuple(i for i in range(mask.ndim) if i != axis)))
        if not filled.size:
            return True
        first, last = int(filled[0]), int(filled[-1])
        if abs(first - (mask.shape[axis] - 1 - last)) <= 1:
            mask = np.take(mask, np.arange(first, last + 1), axis=axis)
    return not mask.all()
