"""Checks of k-space: its type, its axes, and where its energy lies."""

from typing import Any, NamedTuple

import jax
import numpy as np

from deqjax.data.fourier_numpy import ifft2c
from deqjax.data.scan import advice_on_real_pairs
from deqjax.input_checks.energy import energy_of, find_spike

SMALLEST, LARGEST = 2.0**-100, 2.0**100
"""The range of the largest magnitude in which single precision neither loses digits nor overflows."""

AMBIGUOUS = (
    "kspace of shape {shape} may be {n} coils of one slice, (coil, y, x), or {n} slices of one coil, (slice, y, x). "
    'For coils, pass kspace[None], which is (slice, coil, y, x), or smaps="espirit". For slices, pass kspace[:, None], '
    "or smaps=None (--maps espirit and --maps none in the command)"
)


class NamedKspace(NamedTuple):
    """K-space with known axes."""

    kspace: np.ndarray
    """(slice, [coil,] y, x) complex64."""
    single: bool
    """Whether the input had no slice axis, so that the image has none either."""
    notes: tuple[str, ...]
    """What was assumed, in sentences."""


class Centring(NamedTuple):
    """How k-space was moved so that its centre is in the middle."""

    swapped: tuple[bool, bool]
    """Whether the halves of k-space were exchanged along (y, x), as ``np.fft.fftshift`` does."""
    half_view: tuple[bool, bool]
    """Whether the image was moved by half the field of view along (y, x)."""
    shift: tuple[int, int]
    """The samples (y, x) by which k-space was rolled. `restore_phase` undoes this in the image."""


def complex_kspace(values: Any, name: str = "kspace") -> tuple[np.ndarray, tuple[str, ...]]:
    """Return k-space as complex64, and what was assumed. A real array with a last axis of 2 becomes complex.

    Raises:
      ValueError: the array is real, empty, zero, not finite, of an extreme scale, or traced by JAX.

    >>> complex_kspace(np.ones((8, 6, 2)))[0].shape
    (8, 6)
    """
    if isinstance(values, jax.core.Tracer):
        raise ValueError(
            f"{name} is traced by JAX, and the checks need its values: inside jit, call recon(params, A, y)"
        )
    if isinstance(values, np.ma.MaskedArray):
        raise ValueError(f"{name} is a masked array of NumPy: pass kspace.filled(0), where 0 is not sampled")
    array = np.asarray(values)
    shape = array.shape
    notes: tuple[str, ...] = ()
    if array.dtype.kind in "biuf" and array.ndim >= 3 and shape[-1] == 2:
        array = array[..., 0] + 1j * array[..., 1]
        notes = (f"The last axis of 2 of {name} {shape} holds the real and the imaginary part.",)
    if array.dtype.kind != "c":
        advice = advice_on_real_pairs(shape, np.dtype("f4") if array.dtype.kind in "iu" else array.dtype)
        raise ValueError(
            f"{name} of shape {shape} has type {array.dtype}, and k-space is complex: "
            f"{advice or 'transform an image first, dj.physics.fft2c(image)'}"
        )
    if array.size == 0:
        raise ValueError(f"{name} of shape {shape} is empty: give at least one image")
    if not np.isfinite(array).all():
        count = int((~np.isfinite(array)).sum())
        raise ValueError(f"{name} of shape {shape} holds NaN or infinity in {count} entries: find their origin first")
    largest = max(float(np.abs(part).max()) for part in (array.real, array.imag))
    if largest == 0:
        raise ValueError(f"{name} of shape {shape} is zero everywhere: there is nothing to reconstruct")
    if not SMALLEST <= largest <= LARGEST:
        raise ValueError(f"{name} of shape {shape} has values up to {largest:.1e}: multiply it by {1 / largest:.0e}")
    return array.astype(np.complex64), notes


def name_axes(kspace: np.ndarray, smaps: Any = "auto") -> NamedKspace:
    """Give k-space the axes (slice, [coil,] y, x).

    Accepted are (y, x), (slice, coil, y, x), the axes of BART, and three axes if ``smaps`` says what the first one is:
    slices for None, coils for maps (coil, y, x) or a method of estimation.

    Raises:
      ValueError: the first of three axes may be coils or slices, or there are other axes.

    >>> name_axes(np.ones((8, 64, 64), np.complex64))
    Traceback (most recent call last):
    ValueError: kspace of shape (8, 64, 64) may be 8 coils of one slice, (coil, y, x), or 8 slices of one coil, ...
    """
    shape = kspace.shape
    if kspace.ndim == 2:
        return NamedKspace(kspace[None], True, ())
    if is_bart(shape):
        named = without_coil_axis_of_one(from_bart(kspace, "kspace"))
        return NamedKspace(named, named.shape[0] == 1, (f"K-space of shape {shape} has the axes of BART.",))
    if kspace.ndim not in (3, 4):
        raise ValueError(
            f"kspace of shape {shape} has {kspace.ndim} axes; give (y, x), (slice, coil, y, x), or the 16 axes of "
            "BART. Frames are reconstructed one by one, as slices"
        )
    if shape[-1] <= 64 and min(shape[-3:-1]) >= 2 * shape[-1]:
        raise ValueError(
            f"kspace of shape {shape} seems to have its {shape[-1]} coils last: pass np.moveaxis(kspace, -1, "
            f"{kspace.ndim - 3})" + ("[None]" if kspace.ndim == 3 else "")
        )
    if kspace.ndim == 4:
        return NamedKspace(without_coil_axis_of_one(kspace), False, ())
    if smaps is None or shape[0] == 1:
        return NamedKspace(kspace, False, ())
    if not isinstance(smaps, str) or smaps != "auto":
        return NamedKspace(kspace[None], True, ())
    raise ValueError(AMBIGUOUS.format(shape=shape, n=shape[0]))


def is_bart(shape: tuple[int, ...]) -> bool:
    """Tell whether a shape is (read, phase1, 1, coil, ...), as BART stores it, and not (slice, coil, y, x).

    >>> is_bart((64, 64, 1, 8, 1)), is_bart((64, 64, 1, 8)), is_bart((2, 8, 64, 64))
    (True, True, False)
    """
    return len(shape) >= 4 and shape[2] == 1 and shape[0] > 1 and shape[1] > 1 and (len(shape) > 4 or shape[3] <= 256)


def from_bart(values: np.ndarray, name: str) -> np.ndarray:
    """Turn the axes of BART, (read, phase1, 1, coil, ...), into (slice, coil, y, x).

    Raises:
      ValueError: another axis than those of read, phase1, coil and slice is longer than 1.

    >>> from_bart(np.ones((8, 6, 1, 3)), "kspace").shape
    (1, 3, 8, 6)
    """
    values = values.reshape(*values.shape, *[1] * (16 - values.ndim))
    sizes = {axis: size for axis, size in enumerate(values.shape) if axis not in (0, 1, 3, 13) and size > 1}
    if sizes:
        axis, size = next(iter(sizes.items()))
        raise ValueError(
            f"{name} of shape {values.shape} has {size} entries along axis {axis} of BART: choose one of them"
        )
    return values.transpose(13, 3, 0, 1, 2, *range(4, 13), 14, 15).reshape(*(values.shape[i] for i in (13, 3, 0, 1)))


def without_coil_axis_of_one(kspace: np.ndarray) -> np.ndarray:
    """Drop the coil axis of (slice, coil, y, x) if there is one coil."""
    return kspace[:, 0] if kspace.shape[1] == 1 else kspace


def centre_kspace(
    kspace: np.ndarray, without: tuple[int, ...] = ()
) -> tuple[np.ndarray, Centring, tuple[str, ...], tuple[str, ...]]:
    """Move the centre of k-space into the middle, and an image that lies across the border into the field of view.

    The echo is the peak of the energy in windows of 3 x 3 samples. If it is near the edge of an axis, the axis is in
    the order of ``np.fft`` and its halves are exchanged. A peak that is then two samples or more off the middle is
    moved there, because the phase ramp of a shifted echo, ``exp(2 pi i s n / N)``, is far from what models were
    trained on. `restore_phase` puts it back. The axes ``without``, -2 or -1, have no clear peak and are left alone.

    Returns:
      K-space, how it was moved, what was assumed, and warnings.
    """
    assumed, warnings = [], []
    energy = energy_of(kspace)
    spike = find_spike(energy)
    if spike is not None:
        warnings.append(
            f"The sample (y, x) = {spike} of k-space is far above the samples around it, which is spike noise: it lays "
            f"stripes over the image. Set kspace[..., {spike[0]}, {spike[1]}] to 0."
        )
        energy[spike] = 0
    window = np.sum([np.roll(energy, (i, j), (0, 1)) for i in (-1, 0, 1) for j in (-1, 0, 1)], axis=0)
    peak = [int(i) for i in np.unravel_index(np.argmax(window), window.shape)]
    sizes = kspace.shape[-2:]
    for axis in without:
        peak[axis] = sizes[axis] // 2
    swapped = tuple(bool(abs(p - n // 2) > 3 * n / 8) for p, n in zip(peak, sizes))
    for axis, exchange in zip((-2, -1), swapped):
        if exchange:
            kspace = np.fft.fftshift(kspace, axis)
            peak[axis] = (peak[axis] + sizes[axis] // 2) % sizes[axis]
    if any(swapped):
        axes = " and ".join(name for name, exchange in zip("yx", swapped) if exchange)
        warnings.append(
            f"K-space was not centred: its energy peaks at the edge of {axes}, the order of np.fft. The halves were "
            "exchanged (np.fft.fftshift); pass centred k-space, as from dj.physics.fft2c."
        )
    energy = np.fft.fftshift(energy, [axis for axis, exchange in enumerate(swapped) if exchange])
    shift = tuple(_shift(peak[axis], energy.sum(axis=1 - axis)) for axis in (0, 1))
    kspace = np.roll(kspace, shift, (-2, -1))
    if any(shift):
        assumed.append(
            f"The echo is {-shift[0]} samples along y and {-shift[1]} along x off the middle of k-space. It was moved "
            "there for the reconstruction, and the phase that belongs to it was put back into the image."
        )
    half_view = (False, False) if without else _lies_across_the_border(kspace)
    if any(half_view):
        kspace = kspace * _half_view_phase(kspace.shape[-2:], half_view)
        along = "both axes" if all(half_view) else "yx"[half_view.index(True)]
        warnings.append(
            "The image lay across the border of the field of view, as from np.fft.fft2 without np.fft.ifftshift of the "
            f"image. It was moved by half the field of view along {along}; use dj.physics.fft2c to make k-space."
        )
    return kspace, Centring(swapped, half_view, shift), tuple(assumed), tuple(warnings)  # type: ignore[arg-type]


def move_mask(mask: np.ndarray, centring: Centring, swap: bool = True) -> np.ndarray:
    """Move a mask (..., y or 1, x or 1) as `centre_kspace` moves the k-space."""
    for axis, exchange, shift in zip((-2, -1), centring.swapped, centring.shift):
        mask = np.fft.fftshift(mask, axis) if exchange and swap else mask
        mask = np.roll(mask, shift, axis)
    return mask


def restore_phase(image: np.ndarray, shift: tuple[float, float]) -> np.ndarray:
    """Multiply images (..., y, x) by the phase of the shift of k-space that `centre_kspace` removed.

    ``F^-1`` of k-space that is rolled by s samples is the image times ``exp(2 pi i s n / N)`` with n from the middle.

    >>> from deqjax.data.fourier_numpy import fft2c
    >>> image = np.random.default_rng(0).normal(size=(6, 5)).astype(np.complex64)
    >>> bool(np.allclose(restore_phase(ifft2c(np.roll(fft2c(image), (2, 1), (0, 1))), (2, 1)), image, atol=1e-6))
    True
    """
    y, x = (np.exp(-2j * np.pi * s * (np.arange(n) - n // 2) / n) for s, n in zip(shift, image.shape[-2:]))
    return (image * (y[:, None] * x)).astype(np.complex64) if any(shift) else image


def _shift(peak: int, profile: np.ndarray) -> int:
    """Return the samples by which the peak of a profile is moved to the middle.

    It is 0 for less than two samples, and where one of two neighbours on either side of the peak was not sampled, so
    that the true peak may lie in the gap.
    """
    shift = len(profile) // 2 - peak
    around = profile[np.arange(peak - 2, peak + 3) % len(profile)]
    return shift if abs(shift) >= 2 and (around > 0).all() else 0


def _lies_across_the_border(kspace: np.ndarray) -> tuple[bool, bool]:
    """Tell for y and x whether the image is bright at both borders of the field of view, and dark between them.

    The circular mean of its energy is then near the border. It may be there for a bright rim too, which is dark at the
    border, and for the image of a coil, which is bright at one border alone.
    """
    energy, found = energy_of(ifft2c(kspace)), []
    for axis in (0, 1):
        profile = energy.sum(axis=1 - axis)
        n = profile.size
        mean = (profile * np.exp(2j * np.pi * (np.arange(n) - n // 2) / n)).sum() / profile.sum()
        eighth = max(1, n // 8)
        middle = profile[n // 2 - eighth : n // 2 + eighth].mean()
        bright = min(profile[:eighth].mean(), profile[-eighth:].mean()) > 2 * middle
        found.append(bool(bright and abs(np.angle(mean)) > 0.75 * np.pi and abs(mean) > 0.1))
    return found[0], found[1]


def _half_view_phase(sizes: tuple[int, ...], axes: tuple[bool, bool]) -> np.ndarray:
    """Return the factor of k-space that moves the image by half the field of view: ``x[n] -> x[n + N // 2]``."""
    y, x = (np.exp(2j * np.pi * moved * (n // 2) * (np.arange(n) - n // 2) / n) for n, moved in zip(sizes, axes))
    return (y[:, None] * x).astype(np.complex64)
