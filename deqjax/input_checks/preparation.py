"""Preparation of a scan: from an array, a file or a Scan to checked k-space, mask and maps, and the way back."""

import warnings as python_warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from deqjax.data import Scan, ScanWarning, crop_image, open_scan, read_calibration, read_cfl
from deqjax.data.fourier_numpy import fft1c, ifft1c, ifft2c
from deqjax.data.scan import has_gaps
from deqjax.file_checks import explain_content
from deqjax.input_checks.coil_maps import ESTIMATES, check_agreement, check_norm, estimate_maps, name_map_axes
from deqjax.input_checks.energy import check_concentration, check_real, check_slices, energy_of
from deqjax.input_checks.kspace import (
    Centring,
    centre_kspace,
    complex_kspace,
    move_mask,
    name_axes,
    restore_phase,
)
from deqjax.input_checks.masks import check_mask, mask_of_data, name_mask_axes
from deqjax.masks import realised_acceleration
from deqjax.types import Mask


@dataclass(frozen=True, eq=False)
class PreparedScan:
    """K-space, mask and maps as a method takes them, with lines left out along x, and how to return to the input.

    Attributes:
      kspace: (slice, [coil,] y, x) complex64, centred.
      mask: (slice or 1, y or 1, x or 1) float32.
      smaps: (slice or 1, coil, y, x) complex64, or None for one coil.
      scan: where the data come from: name, target, crop and voxel size.
      single: whether the image has no slice axis.
      transposed: whether y and x were exchanged, because lines are left out along y.
      shift: the samples (y, x) by which k-space was moved, see :func:`~deqjax.input_checks.kspace.restore_phase`.
      assumed: what was assumed or corrected, in sentences.
      warnings: what may make the image wrong, in sentences.
    """

    kspace: np.ndarray
    mask: np.ndarray
    smaps: np.ndarray | None
    scan: Scan
    single: bool = False
    transposed: bool = False
    shift: tuple[float, float] = (0.0, 0.0)
    assumed: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def reference(self) -> np.ndarray | None:
        """Return the magnitude of the fully sampled data: the target of the file, or the root sum of squares."""
        size = self.finish(np.zeros((len(self.kspace), *self.kspace.shape[-2:]), np.complex64)).shape
        if self.scan.target is not None and self.scan.target.shape in (size, (1, *size)):
            return self.scan.target.reshape(size)
        if has_gaps(mask_of_data(self.kspace)):
            return None
        images = np.abs(ifft2c(self.kspace))
        return np.abs(self.finish(images if images.ndim == 3 else np.sqrt((images**2).sum(axis=1))))

    def finish(self, images: np.ndarray) -> np.ndarray:
        """Return images (slice, y, x) to the axes, the phase and the size that belong to the input."""
        images = restore_phase(images, self.shift)
        images = images.swapaxes(-1, -2) if self.transposed else images
        if self.scan.crop is not None:
            size = images.shape[-2:]
            images = crop_image(images, (min(self.scan.crop[0], size[0]), min(self.scan.crop[1], size[1])))
        return images[0] if self.single else images


def prepare(source: Any, mask: Any = None, smaps: Any = "auto", phase_axis: int = -1) -> PreparedScan:
    """Check and correct a scan before its reconstruction; see :func:`deqjax.reconstruct_kspace` for the arguments.

    Raises:
      ValueError: the input is ambiguous or contradicts itself; the message says what to do.

    >>> from deqjax.data import phantom_volume
    >>> prepared = prepare(phantom_volume(seed=1, shape=(1, 32, 32)).kspace[0], mask=np.arange(32) % 2 == 0)
    >>> prepared.kspace.shape, prepared.mask.shape
    ((1, 32, 32), (1, 1, 32))
    """
    if phase_axis not in (-1, -2):
        raise ValueError(f"phase_axis must be -1 (lines are left out along x) or -2 (along y), not {phase_axis}")
    scan, warnings = _read(source)
    mask, smaps = read_array(mask), read_array(smaps, ESTIMATES)
    mask = scan.mask if mask is None else mask
    smaps = scan.smaps if scan.smaps is not None and isinstance(smaps, str) and smaps == "auto" else smaps
    values, assumed = complex_kspace(scan.kspace)
    named = name_axes(values, _leading_axis(scan, smaps))
    spread = check_concentration(energy_of(named.kspace))
    warnings = (*warnings, *check_real(named.kspace), *check_slices(named.kspace), *spread.values())
    kspace, centring, moved, doubts = centre_kspace(named.kspace, without=tuple(spread))
    assumed, warnings = (*assumed, *named.notes, *moved), (*warnings, *doubts)
    if mask is None:
        pattern, note, doubts = *_read_from_data(kspace), ()
    else:
        mask = _drawn(mask, scan, kspace, phase_axis) if isinstance(mask, Mask) else mask
        given = _move(name_mask_axes(mask, kspace.shape, phase_axis), centring, kspace)
        pattern, note, doubts = check_mask(given, kspace)
        if mask is scan.mask:
            note = (f"The mask comes from the file (acceleration {realised_acceleration(pattern):.2f}).", *note)
    assumed, warnings = (*assumed, *note), (*warnings, *doubts)
    maps, note, doubts = _given_maps(smaps, kspace.shape)
    assumed, warnings = (*assumed, *note), (*warnings, *doubts)
    prepared = PreparedScan(kspace, _smallest(pattern), maps, scan, named.single, shift=centring.shift)
    prepared, note = _without_oversampling(prepared)
    assumed += note
    along_y = prepared.mask.shape[-1] == 1 != prepared.mask.shape[-2]
    if phase_axis == -2 and prepared.mask.shape[-2] == 1 and has_gaps(prepared.mask):
        warnings += ("Lines are left out along x, and not along y, as phase_axis=-2 says: leave phase_axis out.",)
    if phase_axis == -2 or along_y:
        prepared = _transposed(prepared)
        if phase_axis == -1:
            assumed += ("Lines are left out along y, which was taken for the phase-encoding axis (phase_axis=-2).",)
    if not prepared.mask[..., prepared.mask.shape[-2] // 2, prepared.mask.shape[-1] // 2].all():
        warnings += ("The mask leaves out the centre of k-space, which holds the contrast of the image.",)
    if kspace.ndim == 4 and isinstance(smaps, str):
        if (scan.attrs or {}).get("calibration_lines") and isinstance(source, str | Path):
            maps, how = _maps_of_calibration(Path(source), smaps, phase_axis, len(kspace))
        else:
            maps, how = estimate_maps(prepared.kspace, prepared.mask, smaps)
        prepared = replace(prepared, smaps=maps)
        assumed += (f"The coil sensitivities are estimated: {how}.",)
    elif prepared.smaps is not None:
        warnings += check_agreement(prepared.smaps, prepared.kspace, prepared.mask)
    return replace(prepared, assumed=assumed, warnings=warnings)


def read_array(values: Any, words: tuple[str, ...] = ()) -> Any:
    """Read an array from a file, ``.npy`` or BART's ``.cfl``; anything but a path, and ``words``, is returned as it is.

    Raises:
      ValueError: the file is missing or of another kind.
    """
    if not isinstance(values, str | Path) or values in words:
        return values
    path = Path(values)
    if path.suffix in (".cfl", ".hdr"):
        return read_cfl(path)
    try:
        return np.load(path, allow_pickle=False)
    except FileNotFoundError as error:
        raise ValueError(f"{path}: no such file; check the path") from error
    except (OSError, ValueError, EOFError) as error:
        advice = explain_content(path) or f"not a .npy file ({error}); give .npy, or .cfl of BART"
        raise ValueError(f"{path}: {advice}") from error


def _read(source: Any) -> tuple[Scan, tuple[str, ...]]:
    """Return a Scan for an array, a path or a Scan, and the warnings of the reader."""
    if isinstance(source, Scan):
        return source, ()
    if not isinstance(source, str | Path):
        return Scan(source, name="the array"), ()
    path = Path(source).expanduser()
    if path.suffix == ".npy":
        return Scan(read_array(path), name=path.name), ()
    with python_warnings.catch_warnings(record=True) as caught:
        python_warnings.simplefilter("always", ScanWarning)
        scan = open_scan(path)
    for other in (one for one in caught if not issubclass(one.category, ScanWarning)):
        python_warnings.warn_explicit(other.message, other.category, other.filename, other.lineno)
    return scan, tuple(str(one.message) for one in caught if issubclass(one.category, ScanWarning))


def _leading_axis(scan: Scan, smaps: Any) -> Any:
    """Return what tells `name_axes` whether three axes start with coils or with slices: a file says so."""
    if np.ndim(scan.kspace) == 3 and scan.slices:
        return None if np.shape(scan.kspace)[0] == len(scan.slices) else "coils"
    return smaps


def _read_from_data(kspace: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the mask of the empty lines, and what was assumed."""
    mask = mask_of_data(kspace)
    if mask.all():
        return mask, ("K-space has no empty lines: it is fully sampled.",)
    return mask, (f"The mask is read from the empty lines of k-space (acceleration {mask.size / mask.sum():.2f}).",)


def _maps_of_calibration(path: Path, method: str, phase_axis: int, slices: int) -> tuple[np.ndarray | None, str]:
    """Estimate maps from the calibration lines that a file holds beside the image, and say how."""
    calibration = prepare(read_calibration(path), None, method, phase_axis)
    maps, how = calibration.smaps, calibration.assumed[-1].partition(": ")[2].rstrip(".")
    if maps is not None and len(maps) not in (1, slices):
        maps, how = maps[:1], f"{how}, of the first of {len(maps)} frames"
    return maps, f"{how}, which the file holds beside the image"


def _given_maps(smaps: Any, shape: tuple[int, ...]) -> tuple[np.ndarray | None, tuple[str, ...], tuple[str, ...]]:
    """Return maps that were given, what was assumed, and warnings; None for maps that are estimated, and one coil."""
    if isinstance(smaps, str) or (smaps is None and len(shape) == 3):
        return None, (), ()
    if smaps is None:
        raise ValueError(f"kspace {shape} has {shape[1]} coils, (slice, coil, y, x): pass smaps, or smaps='auto'")
    maps, assumed = name_map_axes(smaps, shape)
    maps, warnings = check_norm(maps)
    return maps, assumed, warnings


def _drawn(mask: Mask, scan: Scan, kspace: np.ndarray, phase_axis: int) -> np.ndarray:
    """Draw a mask for fully sampled data; the name of the file is its seed."""
    if has_gaps(mask_of_data(kspace)) or scan.mask is not None:
        raise ValueError(f"{scan.name}: is undersampled already, and cannot be undersampled again: leave out the mask")
    y, x = kspace.shape[-2:]
    return mask((y, x), scan.name, scan.padding) if phase_axis == -1 else mask((x, y), scan.name).swapaxes(-1, -2)


def _smallest(mask: np.ndarray) -> np.ndarray:
    """Shorten every axis along which a mask is constant, but keep x."""
    mask = mask[:1] if (mask == mask[:1]).all() else mask
    if (mask == mask[..., :1, :]).all():
        return mask[..., :1, :]
    return mask[..., :1] if (mask == mask[..., :1]).all() else mask


def _move(mask: np.ndarray, centring: Centring, kspace: np.ndarray) -> np.ndarray:
    """Move a mask like the k-space. If its order is in doubt, the one that samples more of the energy is right."""
    energy = energy_of(kspace)
    both = [move_mask(mask, centring, swap) for swap in (True, False)]
    return max(both, key=lambda moved: float((energy * moved).sum() / len(moved)))


def _without_oversampling(prepared: PreparedScan) -> tuple[PreparedScan, tuple[str, ...]]:
    """Cut the field of view along y to that of the header, if the rows are fully sampled and there are more of them."""
    rows, crop = prepared.kspace.shape[-2], prepared.scan.crop
    if crop is None or crop[0] >= rows or prepared.mask.shape[-2] > 1:
        return prepared, ()

    def cut(values: np.ndarray) -> np.ndarray:
        return values[..., (rows - crop[0]) // 2 :, :][..., : crop[0], :]

    kspace = fft1c(cut(ifft1c(prepared.kspace, -2)), -2).astype(np.complex64)
    smaps = None if prepared.smaps is None else cut(prepared.smaps)
    shift = (prepared.shift[0] * crop[0] / rows, prepared.shift[1])
    note = f"The readout oversampling along y was removed: {rows} to {crop[0]} pixels, as the header of the file says."
    return replace(prepared, kspace=kspace, smaps=smaps, shift=shift), (note,)


def _transposed(prepared: PreparedScan) -> PreparedScan:
    swap: Callable[[np.ndarray], np.ndarray] = lambda values: np.ascontiguousarray(values.swapaxes(-1, -2))
    maps = None if prepared.smaps is None else swap(prepared.smaps)
    return replace(
        prepared, kspace=swap(prepared.kspace), mask=swap(prepared.mask), smaps=maps, transposed=not prepared.transposed
    )
