"""Reconstruction of a file and its metrics: the evaluation of one volume."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from deqjax.certificates import reconstruct_certified, relative_distance
from deqjax.config import Config
from deqjax.data import Slices, crop_field_of_view, crop_image, lower_resolution, open_scan
from deqjax.domain import Domain, measure_conditions
from deqjax.metrics import nmse, psnr, ssim, vif
from deqjax.metrics.structure import SMALLEST_VIF_SIZE
from deqjax.objectives import Measurement, measurement, noise_unit
from deqjax.physics import MaskedFourier, Sense, add_noise, ifft2c
from deqjax.reconstruct import Reconstructor
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
    image: np.ndarray
    """The complex reconstruction (y, x)."""
    mask: np.ndarray
    """It broadcasts against the k-space (y, x)."""
    smaps: np.ndarray | None
    """The coil sensitivities (coil, y, x) before any refinement, of several coils."""


@dataclass(frozen=True)
class Volume:
    """A reconstructed file: magnitudes (slice, y, x), the Stats of every slice, and a row of a table.

    For a file without fully sampled data, ``target`` is None and the row has no metrics.
    """

    name: str
    zero_filled: np.ndarray
    image: np.ndarray
    target: np.ndarray | None
    stats: Stats
    row: Row
    middle: MiddleSlice


def evaluate_file(
    recon: Reconstructor,
    params: Params,
    path: str | Path,
    config: Config,
    batch_size: int = 4,
    domain: Domain | None = None,
) -> Volume:
    """Undersample and reconstruct one file as a config describes, and compare the result with the full data.

    The name of the file is the seed of the mask. A file that stores a mask is undersampled already: it is used without
    a crop and without more noise, and it has no target. Magnitudes are cropped to the size in the header of the file.
    The metrics are those of the volume, with its maximum as the data range.

    Args:
      recon: the method.
      params: its parameters.
      path: a file in any format of :func:`deqjax.data.open_scan`.
      config: its data section (slices, crop, noise) and its mask apply. The noise has the upper end of its range.
      batch_size: number of slices that are solved together.
      domain: what the model was trained on. The row then tells what of the middle slices is outside of it.

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
    middle, middle_image, smaps = len(kspace) // 2, np.zeros(0), None
    outside: tuple[str, ...] = ()
    images: list[np.ndarray] = []
    zero_filled: list[np.ndarray] = []
    targets: list[np.ndarray] = []
    stats: list[Stats] = []
    certificates: list[tuple[np.ndarray, np.ndarray]] = []
    contraction = None
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
            kept.append(np.abs(np.asarray(batch[:part])))
        if first <= middle < first + part:
            if domain is not None:
                found = measure_conditions(np.asarray(measured), np.asarray(mask), np.asarray(aliased))
                outside = domain.outside(found)
            middle_image = np.asarray(image[middle - first])
            smaps = np.asarray(A.smaps[middle - first]) if isinstance(A, Sense) else None
        stats.append(jax.tree.map(lambda leaf, part=part: np.asarray(leaf[:part]), solved))
    shown = scan.crop if scan.crop is not None and crop is None else kspace.shape[-2:]
    shown = min(shown[0], kspace.shape[-2]), min(shown[1], kspace.shape[-1])
    reconstructed, start, reference = (crop_image(np.concatenate(a), shown) for a in (images, zero_filled, targets))
    if scan.target is not None and crop is None and scan.target.shape == reference.shape:
        reference = scan.target
    all_stats = jax.tree.map(lambda *leaves: np.concatenate(leaves), *stats)
    row: Row = {"volume": scan.name, "slices": len(reconstructed)}
    row |= {} if sampled else _metrics(reconstructed, start, reference)
    row |= _convergence(all_stats)
    row |= _certificate(certificates)
    row |= {} if domain is None else {OUTSIDE: "; ".join(outside)}
    number = scan.slices[middle] if scan.slices else there[0] + middle
    shown_smaps = None if smaps is None else crop_image(smaps, shown)
    what_is_shown = MiddleSlice(number, crop_image(middle_image, shown), np.asarray(mask), shown_smaps)
    return Volume(scan.name, start, reconstructed, None if sampled else reference, all_stats, row, what_is_shown)


def make_validation(config: Config, slices: Slices) -> Callable[[Reconstructor, Params], float]:
    """Prepare a quick validation: the mean PSNR of single slices that are evenly spread over the files."""
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

    return validate


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


def _metrics(image: np.ndarray, zero_filled: np.ndarray, target: np.ndarray) -> Row:
    row: Row = {}
    for name, metric in (("PSNR", psnr), ("SSIM", ssim), ("NMSE", nmse), ("VIF", vif)):
        if name == "VIF" and min(target.shape[-2:]) < SMALLEST_VIF_SIZE:
            continue  # the image is smaller than its windows
        row[f"{name} zero-filled"] = float(metric(zero_filled, target))
        row[name] = float(metric(image, target))
    return row


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
