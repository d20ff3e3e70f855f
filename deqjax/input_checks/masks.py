"""Checks of a sampling mask: its shape, its values, and whether it agrees with the k-space."""

from typing import Any

import numpy as np

from deqjax.data.scan import has_gaps, sampled_pattern
from deqjax.masks import realised_acceleration
from deqjax.physics.array_checks import known_to_jax, zero_one_mask

EMPTY = 1e-6
"""A row or a line counts as empty below this fraction of the largest one: single precision leaves that."""


def mask_of_data(kspace: np.ndarray) -> np.ndarray:
    """Derive the mask of k-space (slice, [coil,] y, x) from its empty rows, lines or points, (slice or 1, y, x).

    >>> mask_of_data(np.ones((2, 4, 6)) * np.array([0, 1, 1, 0, 1, 1]))[0, 0]
    array([0., 1., 1., 0., 1., 1.], dtype=float32)
    """
    planes = kspace if kspace.ndim == 3 else np.abs(kspace).max(axis=1)
    magnitude = np.abs(planes)
    for axis in (1, 2):
        norm = magnitude.max(axis=axis, keepdims=True)
        magnitude = np.where(norm > EMPTY * norm.max(), magnitude, 0)
    sampled = sampled_pattern(magnitude != 0)
    full = ~sampled.any(axis=(1, 2), keepdims=True)
    sampled = sampled | (full & sampled.any(axis=0))  # an empty slice says nothing about the mask
    sampled = sampled[:1] if (sampled == sampled[:1]).all() else sampled
    return sampled.astype(np.float32)


def name_mask_axes(mask: Any, shape: tuple[int, ...], phase_axis: int = -1) -> np.ndarray:
    """Bring a mask of any usual shape to (slice or 1, y or 1, x or 1) float32.

    Accepted are (x,), (y,) if y differs from x, (1, x), (y, 1), (y, x), and these with leading axes of slices or coils,
    or with a last axis of 1 as in fastMRI; of bool, integer, real or complex type.

    Args:
      mask: the mask.
      shape: of the k-space, (slice, [coil,] y, x).
      phase_axis: -1, or -2 where a mask of one axis lies along y although y equals x.

    Raises:
      ValueError: the mask has another shape, differs from coil to coil, or holds other values than 0 and 1.

    >>> [name_mask_axes(np.ones(s, bool), (2, 3, 8, 6)).shape for s in ((6,), (8, 1), (1, 6, 1), (2, 1, 1, 6))]
    [(1, 1, 6), (1, 8, 1), (1, 1, 6), (2, 1, 6)]
    """
    array, (y, x), slices = known_to_jax(np.asanyarray(mask)), shape[-2:], shape[0]
    given = array.shape
    if array.dtype.kind == "c" and not array.imag.any():
        array = array.real
    array = zero_one_mask(array)
    if array.ndim == 1:
        along_y = array.size == y and (y != x or phase_axis == -2)
        array = array[:, None] if along_y else array[None]
    if array.ndim >= 3 and given[-1] == 1 != x and given[-2] == x:
        array = array[..., 0]
        array = array[None] if array.ndim == 1 else array
    if array.shape[-2:] in ((x, y), (x, 1), (1, y)) and array.shape[-2:] not in ((y, x), (y, 1), (1, x)):
        raise ValueError(f"mask of shape {given} is transposed for k-space with (y, x) = {(y, x)}: pass mask.T")
    if array.shape[-2] not in (1, y) or array.shape[-1] not in (1, x):
        raise ValueError(
            f"mask of shape {given} does not fit k-space with (y, x) = {(y, x)}: give (x,), (1, x), (y, 1) or (y, x)"
        )
    planes = array.reshape(*[1] * (4 - array.ndim), *array.shape) if array.ndim < 4 else array
    if array.ndim == 3 and len(shape) == 4 and array.shape[0] == shape[1] != slices:
        planes = array[None]
    elif array.ndim == 3:
        planes = array[:, None]
    coils = shape[1] if len(shape) == 4 else 1
    if planes.ndim != 4 or planes.shape[0] not in (1, slices) or planes.shape[1] not in (1, coils):
        raise ValueError(f"mask of shape {given} has leading axes that k-space of shape {shape} lacks: leave them out")
    if (planes != planes[:, :1]).any():
        raise ValueError(f"mask of shape {given} differs from coil to coil: all coils are sampled together, give one")
    return np.ascontiguousarray(planes[:, 0], np.float32)


def check_mask(mask: np.ndarray, kspace: np.ndarray) -> tuple[np.ndarray, tuple[str, ...], tuple[str, ...]]:
    """Compare a mask (slice or 1, y or 1, x or 1) with the samples of k-space that are not empty.

    * Data outside the mask of fully sampled k-space are left out: this is retrospective undersampling.
    * Empty lines inside the mask do not count as sampled, because the image would be made to vanish there.
    * Where there are both, mask and k-space belong to different scans, or the mask is transposed, flipped or shifted.

    Returns:
      The mask, what was assumed, and warnings.

    Raises:
      ValueError: mask and k-space contradict each other; the message names the remedy if one fits.
    """
    found = mask_of_data(kspace)
    left_out, empty = (found > mask), (mask > found)
    if not (left_out & (mask == 0)).any() and not empty.any():
        return mask, (), ()
    energy = np.abs(kspace).astype(np.float64) ** 2
    energy = energy.sum(axis=1) if energy.ndim == 4 else energy
    share = float((energy * (mask == 0)).sum() / energy.sum())
    undersampled = has_gaps(found)
    count = f"{empty.mean() / np.broadcast_to(mask, empty.shape).mean():.0%} of its points"
    if left_out.any() and empty.any() and undersampled:
        raise ValueError(
            f"mask and kspace contradict each other: {share:.1%} of the energy lies outside the mask, and k-space is "
            f"empty inside it. {_remedy(mask, found)}"
        )
    assumed, warnings = [], []
    if left_out.any():
        R = realised_acceleration(np.broadcast_to(mask, (len(mask), *kspace.shape[-2:])))
        assumed.append(
            f"The k-space outside the mask, {share:.1%} of the energy, was left out (retrospective undersampling, "
            f"acceleration {R:.2f})."
        )
    if empty.any() and undersampled:
        mask = mask * found
        warnings.append(
            f"K-space is empty where the mask samples, at {count}. These count as not sampled; pass the mask of the "
            "scan, or none."
        )
    if not mask.any():
        raise ValueError("mask and kspace contradict each other: k-space is empty wherever the mask samples")
    return mask, tuple(assumed), tuple(warnings)


def _remedy(mask: np.ndarray, found: np.ndarray) -> str:
    """Find the change of the mask that makes it agree with the data."""
    full = np.broadcast_to(mask, (len(mask), *found.shape[1:]))
    changes = {
        "The mask fits after a transposition: pass mask.T": lambda m: m.swapaxes(1, 2),
        "The mask fits after a reversal along x: pass mask[..., ::-1]": lambda m: m[..., ::-1],
        "The mask is in the order of np.fft: pass np.fft.fftshift(mask)": lambda m: np.fft.fftshift(m, (1, 2)),
        "The mask is inverted, 1 where nothing was sampled: pass 1 - mask": lambda m: 1 - m,
    }
    for advice, change in changes.items():
        changed = change(full)
        if changed.shape[1:] == found.shape[1:] and (changed == found).all():
            return advice
    return "Pass the mask of this scan, or none: it is then read from the empty lines"
