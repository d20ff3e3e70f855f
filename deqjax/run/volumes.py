"""Reconstruction of a file and its metrics: the evaluation of one volume."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from deqjax.certificates import reconstruct_certified, relative_distance
from deqjax.config import Config
from deqjax.data import Acquisitions, Slices, crop_field_of_view, crop_image, lower_resolution, open_scan
from deqjax.domain import measure_conditions
from deqjax.metrics import hfen, magnitude_bias, nmse, phase_error, psnr, ssim, vif
from deqjax.metrics.structure import SMALLEST_VIF_SIZE
from deqjax.objectives import Measurement, measurement, noise_unit
from deqjax.physics import MaskedFourier, Sense, add_noise, ifft2c
from deqjax.reconstruct import Reconstructor
from deqjax.run.without_targets import (
    held_out_validation,
    hold_out,
    measure_without_target,
    row_without_target,
)
from deqjax.solvers import Stats
from deqjax.types import Params

Row = dict[str, str | int | float]

OUTSIDE = "outside the domain"
"""The column that tells which conditions of a volume are outside the domain of the model; it is empty if none is."""


@dataclass(frozen=True)
class MiddleSlice:
    """What a page shows of the middle slice of a volume, besides magnitudes."""

    number: int
    """The number of the slice in its file, counted from 0."""
    mask: np.ndarray
    """It broadcasts against the k-space (y, x)."""
    smaps: np.ndarray | None
    """The coil sensitivities (coil, y, x) before any refinement, of several coils."""


@dataclass(frozen=True)
class Volume:
    """A reconstructed file: images (slice, y, x), the Stats of every slice, and a row of a table.

    For a file without fully sampled data there is no target, and the row has no metrics.
    """

    name: str
    complex_zero_filled: np.ndarray
    complex_image: np.ndarray
    complex_target: np.ndarray | None
    stats: Stats
    row: Row
    middle: MiddleSlice

    @cached_property
    def zero_filled(self) -> np.ndarray:
        """The magnitude of the zero-filled images."""
        return np.abs(self.complex_zero_filled)

    @cached_property
    def image(self) -> np.ndarray:
        """The magnitude of the reconstructions."""
        return np.abs(self.complex_image)

    @cached_property
    def target(self) -> np.ndarray | None:
        """The magnitude of the targets."""
        return None if self.complex_target is None else np.abs(self.complex_target)


def evaluate_file(
    recon: Reconstructor,
    params: Params,
    path: str | Path,
    config: Config,
    batch_size: int = 4,
) -> Volume:
    """Undersample and reconstruct one file as a config describes, and compare the result with the full data.

    The name of the file is the seed of the mask. A file that stores a mask is undersampled already: it is used without
    a crop and without more noise, and it has no target. Its row has instead how well lines that are held out of the
    measurement are predicted ("held-out SNR", dB), and the relative error on the samples that Stein's estimate gives
    for noise of the level of the outer samples ("estimated error"). Images are cropped to the size in the header of
    the file. The metrics are those of the volume, with its maximum as the data range.

    Args:
      recon: the method. If it has a domain, the row tells what of the middle slices is outside of it.
      params: its parameters.
      path: a file in any format of :func:`deqjax.data.open_scan`.
      config: its data section (slices, crop, noise) and its mask apply. The noise has the upper end of its range.
      batch_size: number of slices that are solved together.

    Raises:
      ValueError: the file cannot be read, or the mask does not fit it.
    """
    there = [number for _, number in Slices([path], config.data.slices).index]  # a short volume has fewer
    scan = open_scan(path, (there[0], there[-1]))
    kspace, sampled = scan.kspace, scan.mask is not None
    if scan.mask is not None and scan.mask.ndim == 3:
        raise ValueError(f"{path}: the slices have different masks; evaluate slices with the same mask at a time")
    crop = None if sampled else config.data.crop
    noise = 0.0 if sampled else config.data.noise[1]
    if crop is not None:
        smaller = crop_field_of_view if config.data.crop_mode == "field_of_view" else lower_resolution
        kspace = smaller(kspace, crop)
    padding = scan.padding if crop is None else None
    mask = config.mask(kspace.shape[-2:], scan.name, padding) if scan.mask is None else scan.mask
    middle, smaps = len(kspace) // 2, None
    outside: tuple[str, ...] = ()
    images: list[np.ndarray] = []
    zero_filled: list[np.ndarray] = []
    targets: list[np.ndarray] = []
    stats: list[Stats] = []
    certificates: list[tuple[np.ndarray, np.ndarray]] = []
    known: list[np.ndarray] = []
    contraction = None
    domain, recon = recon.domain, recon.replace(domain=None)
    for first in range(0, len(kspace), batch_size):
        full = jnp.asarray(kspace[first : first + batch_size])
        part = len(full)
        full = jnp.concatenate([full, jnp.repeat(full[-1:], batch_size - part, axis=0)])
        key = jax.random.fold_in(jax.random.key(0), first)
        A, measured, target = undersample(full, jnp.asarray(mask), noise, config.mask.calibration_fraction, key)
        image, solved, certificate = reconstruct_certified(recon, params, A, measured, contraction)
        if certificate is not None:
            certified = np.asarray(certificate.certified)
            certificates.append((relative_distance(certificate, image)[:part], certified[:part]))
            if isinstance(A, MaskedFourier) and certified.all():  # with coils it may differ between slices
                contraction = certificate.contraction.max()
        aliased = A.adjoint(measured)
        for kept, batch in ((images, image), (zero_filled, aliased), (targets, target)):
            kept.append(np.asarray(batch[:part]))
        if sampled:
            out = hold_out(np.asarray(mask), config.mask.calibration_fraction, seed=0)
            known.append(measure_without_target(recon, params, A, measured, out)[:, :part])
        if first <= middle < first + part:
            if domain is not None:
                found = measure_conditions(np.asarray(measured), np.asarray(mask), np.asarray(aliased))
                outside = domain.outside(found)
            smaps = np.asarray(A.smaps[middle - first]) if isinstance(A, Sense) else None
        stats.append(jax.tree.map(lambda leaf, part=part: np.asarray(leaf[:part]), solved))
    shown = scan.crop if scan.crop is not None and crop is None else kspace.shape[-2:]
    shown = min(shown[0], kspace.shape[-2]), min(shown[1], kspace.shape[-1])
    reconstructed, start, reference = (crop_image(np.concatenate(a), shown) for a in (images, zero_filled, targets))
    if scan.target is not None and crop is None and scan.target.shape == reference.shape:
        reference = scan.target * np.exp(1j * np.angle(reference)).astype(np.complex64)
    all_stats = jax.tree.map(lambda *leaves: np.concatenate(leaves), *stats)
    row: Row = {"volume": scan.name, "slices": len(reconstructed)}
    if sampled:
        row |= row_without_target(np.concatenate(known, axis=1))
    else:
        before, after = (metrics_of(images, reference) for images in (start, reconstructed))
        row |= {
            key: value for name in after for key, value in ((f"{name} zero-filled", before[name]), (name, after[name]))
        }
    row |= _convergence(all_stats)
    row |= _certificate(certificates)
    row |= {} if domain is None else {OUTSIDE: "; ".join(outside)}
    number = scan.slices[middle] if scan.slices else there[0] + middle
    shown_smaps = None if smaps is None else crop_image(smaps, shown)
    what_is_shown = MiddleSlice(number, np.asarray(mask), shown_smaps)
    return Volume(scan.name, start, reconstructed, None if sampled else reference, all_stats, row, what_is_shown)


def make_validation(config: Config, slices: Slices) -> tuple[str, Callable[[Reconstructor, Params], float]]:
    """Prepare a quick validation of single slices that are evenly spread over the files.

    Returns:
      The name of the metric, and the function that measures its mean: the PSNR, or the ratio of signal to error of
      lines that were held out of the measurement if the first file has no target or ``run.validation`` asks for it.

    Raises:
      ValueError: a file cannot be read, or ``run.validation`` asks for targets that the files do not have.
    """
    fraction = config.mask.calibration_fraction
    undersampled = config.run.validation == "auto" and slices.measured(0)[1] is not None
    if undersampled or config.run.validation == "held_out":
        acquisitions = Acquisitions(slices, config.mask, (config.data.noise[1],) * 2)
        return "validation_held_out_snr", held_out_validation(acquisitions, config.run.validation_slices, fraction)
    number = min(config.run.validation_slices, len(slices))
    chosen = [int(i) for i in np.linspace(0, len(slices) - 1, number).round()]
    measured = []
    for i in chosen:
        kspace = jnp.asarray(slices.example(i))
        mask = jnp.asarray(config.mask(kspace.shape[-2:], slices.index[i][0].name))
        key = jax.random.fold_in(jax.random.key(0), i)
        measured.append(undersample(kspace[None], mask, config.data.noise[1], config.mask.calibration_fraction, key))

    def validate(recon: Reconstructor, params: Params) -> float:
        scores = [psnr(jnp.abs(recon(params, A, kspace)[0]), jnp.abs(target)) for A, kspace, target in measured]
        return float(np.mean(scores))

    return "validation_psnr", validate


def undersample(
    kspace: jax.Array, mask: jax.Array, noise: float, center_fraction: float | None, key: jax.Array
) -> Measurement:
    """Undersample full k-space (slice, [coil,] y, x) with one mask, and add noise of one relative level."""
    images = ifft2c(kspace)
    measured = mask * kspace
    if noise > 0:
        level = noise * noise_unit(images)
        measured = add_noise(key, measured, mask, level[:, None] if images.ndim == 4 else level)
    return measurement(images, measured, mask, center_fraction)


def metrics_of(image: np.ndarray, target: np.ndarray, data_range: float | None = None) -> dict[str, float]:
    """Compute all metrics of a complex image (y, x) or volume (slice, y, x).

    VIF is left out for images below 41 pixels.

    Args:
      image: complex.
      target: the reference, same shape and unit.
      data_range: of PSNR, SSIM and VIF, by default the maximum of the target.

    >>> list(metrics_of(np.ones((1, 8, 8), complex), np.ones((1, 8, 8), complex)))
    ['PSNR', 'SSIM', 'NMSE', 'HFEN', 'phase error', 'magnitude bias']
    """
    magnitude, reference = np.abs(image), np.abs(target)
    found = {"PSNR": psnr(magnitude, reference, data_range), "SSIM": ssim(magnitude, reference, data_range)}
    found["NMSE"] = nmse(magnitude, reference)
    if min(target.shape[-2:]) >= SMALLEST_VIF_SIZE:
        found["VIF"] = vif(magnitude, reference, data_range)
    found["HFEN"] = hfen(magnitude, reference)
    found |= {"phase error": phase_error(image, target), "magnitude bias": magnitude_bias(image, target)}
    return {name: float(value) for name, value in found.items()}


def _certificate(certificates: list[tuple[np.ndarray, np.ndarray]]) -> Row:
    """Return the largest distance to the fixed point relative to the norm of its image, and what it is."""
    if not certificates:
        return {}
    distance, certified = (np.concatenate(parts) for parts in zip(*certificates))
    return {"distance": float(distance.max()), "distance is": "certified" if certified.all() else "estimated"}


def _convergence(stats: Stats) -> Row:
    assert stats.residuals is not None  # a forward solve always keeps them
    first, steps = stats.residuals[:, 0], np.maximum(stats.num_steps - 1, 1)
    positive = (first > 0) & (stats.residual > 0)
    ratio = np.where(positive, stats.residual / np.where(positive, first, 1), 0)
    return {
        "steps": float(np.mean(stats.num_steps)),
        "residual": float(np.max(stats.residual)),
        "converged": float(np.mean(stats.converged)),
        "contraction": float(np.mean(ratio ** (1 / steps))),
    }
