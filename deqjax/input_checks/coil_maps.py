"""Checks of coil sensitivities, and their estimation from the calibration lines of a scan."""

import warnings
from typing import Any

import jax.numpy as jnp
import numpy as np

from deqjax.data.fourier_numpy import ifft2c
from deqjax.input_checks.kspace import from_bart, is_bart
from deqjax.physics import CalibrationWarning, espirit, low_resolution_smaps, normalise_smaps
from deqjax.physics.array_checks import known_to_jax
from deqjax.physics.calibration_region import calibration_region

ESTIMATES = ("auto", "espirit", "low-resolution")
"""The methods of `estimate_maps`."""

MIN_LINES = 8
"""The fewest calibration lines from which coil maps are estimated by ESPIRiT, or checked."""

LARGEST_DISAGREEMENT = 0.1
"""Maps that leave out a larger share of the energy of 8 or more calibration lines belong to other data. On 3 measured
heads of 8 and 16 coils, maps of ESPIRiT and of Walsh left out at most 3 %, and reversed, transposed, conjugate, real or
reordered ones 48 % or more."""


def name_map_axes(smaps: Any, shape: tuple[int, ...]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Bring coil sensitivities to (slice or 1, coil, y, x) complex64.

    Accepted are (coil, y, x), (slice, coil, y, x), and the 16 axes of BART, of which the first set of maps is taken.

    Args:
      smaps: the sensitivities.
      shape: of the k-space, (slice, coil, y, x).

    Raises:
      ValueError: they have another shape, hold NaN or infinity, or are zero; or the k-space has one coil.

    >>> name_map_axes(np.ones((8, 6, 1, 3, 2)), (1, 3, 8, 6))[0].shape
    (1, 3, 8, 6)
    """
    array, notes = known_to_jax(np.asanyarray(smaps)), []
    given = array.shape
    if is_bart(given):
        full = array.reshape(*given, *[1] * (16 - array.ndim))
        if full.shape[4] > 1:
            notes.append(f"Of the {full.shape[4]} sets of coil maps of BART, the first one was taken.")
        array = from_bart(full[:, :, :, :, :1], "smaps")
        notes.append(f"The coil maps of shape {given} have the axes of BART.")
    if len(shape) != 4:
        raise ValueError(f"smaps of shape {given} were given, but k-space {shape} has one coil: pass smaps=None")
    array = array[None] if array.ndim == 3 else array
    if array.ndim != 4 or array.shape[1:] != shape[1:] or array.shape[0] not in (1, shape[0]):
        raise ValueError(
            f"smaps of shape {given} do not fit k-space {shape} with axes (slice, coil, y, x): they must be "
            f"(coil, y, x) = {shape[1:]}"
        )
    if array.dtype.kind not in "biufc" or not np.isfinite(array).all() or not array.any():
        raise ValueError(f"smaps of shape {given} must be numbers that are finite and not all zero")
    return array.astype(np.complex64), tuple(notes)


def check_norm(smaps: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Divide maps by their root sum of squares where it is not 1 on their support, and return a warning.

    >>> maps, warnings = check_norm(np.full((1, 4, 8, 8), 2.0, np.complex64))
    >>> float(abs(maps).max().round(3)), warnings[0][:67]
    (0.5, 'The root sum of squares of the coil maps runs from 4 to 4, and not ')
    """
    norm = np.sqrt((np.abs(smaps).astype(np.float64) ** 2).sum(axis=1))
    inside = norm[norm > 0.05 * norm.max()]
    if (np.abs(inside - 1) > 0.05).mean() < 0.05:
        return smaps, ()
    low, high = np.quantile(inside, [0.05, 0.95])
    warning = (
        f"The root sum of squares of the coil maps runs from {low:.3g} to {high:.3g}, and not 1. They were normalised "
        "(dj.physics.normalise_smaps), so that the image is weighted by the sensitivity of all coils."
    )
    return np.asarray(normalise_smaps(jnp.asarray(smaps))), (warning,)


def check_agreement(smaps: np.ndarray, kspace: np.ndarray, mask: np.ndarray) -> tuple[str, ...]:
    """Return a warning if coil maps do not explain the calibration lines: those of other coils, or of another slice.

    The low-resolution images c of the coils are a multiple of the maps s at every pixel of the object, so that the
    share of their energy that the maps leave out, ``||c - s (s^H c) / (s^H s)||^2 / ||c||^2``, is small.

    Args:
      smaps: (slice or 1, coil, y, x).
      kspace: (slice, coil, y, x).
      mask: (slice or 1, y or 1, x or 1).
    """
    share = disagreement(smaps, kspace, mask)
    if not share > LARGEST_DISAGREEMENT:
        return ()
    return (
        f"The coil maps do not agree with the data: {share:.0%} of the energy of the calibration lines is not that of "
        "an image seen through them, where 3 % or less is usual. Compare the order of the coils, the direction and the "
        "centre of y and x, and the phase; or pass smaps='espirit'.",
    )


def disagreement(smaps: np.ndarray, kspace: np.ndarray, mask: np.ndarray) -> float:
    """Return the share of the energy of the calibration lines that maps leave out; NaN without calibration lines.

    >>> coils = np.array([1, 2]).reshape(1, 2, 1, 1) * np.ones((1, 2, 8, 8))
    >>> [round(disagreement(s, coils, np.ones((1, 1, 8))), 3) for s in (coils, coils[:, ::-1])]
    [0.0, 0.36]
    """
    shape = kspace.shape
    pattern = np.broadcast_to(mask, (len(mask), *shape[-2:])).min(axis=0)
    if not pattern[shape[-2] // 2, shape[-1] // 2]:
        return float("nan")
    region = calibration_region(kspace, mask=pattern)
    if min(part.stop - part.start for part in region) < MIN_LINES:
        return float("nan")
    window = np.zeros(shape[-2:], np.float32)
    window[region] = np.multiply.outer(*(np.hanning(part.stop - part.start + 2)[1:-1] for part in region))
    left_out = energy = 0.0
    for index, slice_ in enumerate(kspace):
        maps = smaps[index % len(smaps)]
        coils = ifft2c(slice_ / np.abs(slice_).max(initial=1e-30) * window)
        size = (np.abs(maps) ** 2).sum(axis=0)
        explained = maps * (maps.conj() * coils).sum(axis=0) / np.where(size > 0, size, 1)
        brightness = (np.abs(coils) ** 2).sum(axis=0)
        is_object = brightness > 0.04 * brightness.max()
        left_out += float((np.abs(coils - explained) ** 2).sum(axis=0)[is_object].sum())
        energy += float(brightness[is_object].sum())
    return left_out / energy if energy else float("nan")


def estimate_maps(kspace: np.ndarray, mask: np.ndarray, method: str) -> tuple[np.ndarray, str]:
    """Estimate coil sensitivities (slice, coil, y, x) from the calibration lines, and say how.

    Args:
      kspace: (slice, coil, y, x).
      mask: (slice or 1, y or 1, x or 1).
      method: "espirit", "low-resolution", or "auto" for ESPIRiT where it is possible and else the other.

    Raises:
      ValueError: the method is unknown, or there are too few calibration lines.
    """
    if method not in ESTIMATES:
        raise ValueError(
            f"smaps = {method!r} is no method: use one of {', '.join(ESTIMATES)}, None, or an array of maps"
        )
    shape = kspace.shape
    pattern = np.broadcast_to(mask, (len(mask), *shape[-2:])).min(axis=0)
    rows = columns = slice(0, 0)
    if pattern[..., pattern.shape[-2] // 2, pattern.shape[-1] // 2]:
        rows, columns = calibration_region(kspace, mask=pattern)
    lines = min(rows.stop - rows.start, columns.stop - columns.start)
    if lines < 2:
        raise ValueError(
            f"the coil sensitivities of {shape[1]} coils are estimated from fully sampled lines around the centre of "
            "k-space, and the mask has fewer than 2: pass smaps"
        )
    reason = ""
    if method == "espirit" or (method == "auto" and lines >= MIN_LINES):
        try:
            with warnings.catch_warnings():
                if method == "auto":
                    warnings.simplefilter("error", CalibrationWarning)
                return np.asarray(espirit(jnp.asarray(kspace), mask=pattern)), f"ESPIRiT from {lines} calibration lines"
        except (ValueError, CalibrationWarning) as error:
            if method == "espirit":
                raise
            reason = f", because ESPIRiT failed ({str(error).partition(':')[0]})"
    width = columns.stop - columns.start
    smaps = low_resolution_smaps(jnp.asarray(kspace), width / shape[-1])
    return np.asarray(smaps), f"low-resolution images of {width} calibration lines{reason}"
