"""The fully sampled centre of k-space from which coil sensitivities are estimated."""

import warnings
from typing import Any

import jax
import numpy as np

from deqjax.physics.array_checks import zero_one_mask

USUAL_FRACTION = 0.08
"""The calibration region as a fraction of y and of x where neither a fraction nor a mask is given: fastMRI's at 4x."""

USUAL_LINES = 24
"""The most calibration lines that are taken from a mask, the default of BART and of sigpy."""


class CalibrationWarning(UserWarning):
    """The calibration region was smaller than asked for, or its data do not determine the coil sensitivities."""


def calibration_size(size: int, center_fraction: float) -> tuple[int, int]:
    """Return the first index and the number of the fully sampled centre lines, in the convention of the masks.

    >>> calibration_size(368, 0.08)
    (170, 29)
    """
    number = round(size * center_fraction)
    return (size - number + 1) // 2, number


def calibration_region(kspace: Any, center_fraction: float | None = None, mask: Any = None) -> tuple[slice, slice]:
    """Find the calibration region: a sampled rectangle around the centre of k-space.

    With a mask, it is the largest rectangle that grows from the centre within the sampled part, of at most 24 lines
    along each axis, or of at most the fraction. Without a mask it has the size of the fraction. If samples in it are
    zero in all coils, as where a mask was applied, then the mask is read from these samples. This needs the values of
    k-space, and is left out for an array that JAX traces.

    Args:
      kspace: (..., coil, y, x).
      center_fraction: the size of the region as a fraction of y and of x; None takes 0.08 or, with a mask, 24 lines.
      mask: 1 where k-space was sampled and 0 elsewhere; it broadcasts against (y, x), or against (..., y, x) with the
        leading axes of the k-space. It must not be traced by JAX.

    Returns:
      The slices along y and x.

    Raises:
      ValueError: the mask does not fit the k-space or holds another value than 0 and 1, or the centre of k-space was
        not sampled.

    Warns:
      CalibrationWarning: the samples of k-space in the region of the fraction are partly zero.

    >>> mask = np.zeros((1, 32))
    >>> mask[:, 10:22] = 1
    >>> calibration_region(np.ones((2, 32, 32)), mask=mask)
    (slice(4, 28, None), slice(10, 22, None))
    """
    sizes = kspace.shape[-2:]
    fraction = USUAL_FRACTION if center_fraction is None else center_fraction
    (top, height), (left, width) = (calibration_size(size, fraction) for size in sizes)
    asked, numbers = (slice(top, top + height), slice(left, left + width)), (height, width)
    if mask is not None:
        limits = tuple(min(size, USUAL_LINES) for size in sizes) if center_fraction is None else numbers
        return _grow(_sampled_by_mask(mask, kspace.shape), limits, f"mask of shape {np.shape(mask)}")
    if isinstance(kspace, jax.core.Tracer) or min(numbers) < 1:
        return asked
    nonzero = np.any(np.asarray(kspace[..., asked[0], asked[1]]) != 0, axis=tuple(range(kspace.ndim - 2)))
    if nonzero.all() or not nonzero.any():
        return asked
    sampled = np.zeros(sizes, dtype=bool)
    sampled[asked] = nonzero
    found = _grow(sampled, numbers, f"kspace of shape {tuple(kspace.shape)} is zero there and")
    rows, columns = (part.stop - part.start for part in found)
    warnings.warn(
        f"center_fraction {fraction} of (y, x) = {tuple(sizes)} is a calibration region of {height} x {width} "
        f"lines, but k-space is nonzero only in {rows} x {columns} of them around the centre, which are used: give the "
        "mask, or a smaller center_fraction",
        CalibrationWarning,
        stacklevel=3,
    )
    return found


def _sampled_by_mask(mask: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Return the samples (y, x) that the mask holds for every leading index."""
    if isinstance(mask, jax.core.Tracer):
        raise ValueError("mask must be known when JAX traces the function: give a NumPy array that is not an argument")
    sampled = np.atleast_2d(zero_one_mask(np.asarray(mask)) != 0)
    if any(number not in (1, size) for number, size in zip(sampled.shape[-2:], shape[-2:])):
        raise ValueError(
            f"mask of shape {np.shape(mask)} must broadcast against (y, x) = {tuple(shape[-2:])} of kspace (..., coil, "
            f"y, x) of shape {tuple(shape)}"
        )
    return np.broadcast_to(sampled.all(axis=tuple(range(sampled.ndim - 2))), shape[-2:])


def _grow(sampled: np.ndarray, limits: tuple[int, ...], source: str) -> tuple[slice, slice]:
    """Grow a rectangle from the centre, line by line to all sides, while it is fully sampled and within the limits."""
    first = [size // 2 for size in sampled.shape]
    last = list(first)
    if not sampled[tuple(first)]:
        raise ValueError(f"{source} does not contain the centre of k-space {tuple(first)}, which calibration needs")
    growing = True
    while growing:
        growing = False
        for axis, side in ((0, -1), (1, -1), (0, 1), (1, 1)):
            line = first[axis] - 1 if side < 0 else last[axis] + 1
            if last[axis] - first[axis] + 1 >= limits[axis] or not 0 <= line < sampled.shape[axis]:
                continue
            other = slice(first[1 - axis], last[1 - axis] + 1)
            if sampled[(line, other) if axis == 0 else (other, line)].all():
                (first if side < 0 else last)[axis] = line
                growing = True
    return slice(first[0], last[0] + 1), slice(first[1], last[1] + 1)
