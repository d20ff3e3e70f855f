"""Reconstructing files and measuring how well, volume by volume."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from deqjax.config import Config
from deqjax.data import Slices, crop_field_of_view, crop_image, lower_resolution, open_scan
from deqjax.metrics import nmse, psnr, ssim, vif
from deqjax.metrics.structure import SMALLEST_VIF_SIZE
from deqjax.physics import add_noise, ifft2c
from deqjax.reconstruct import Reconstructor
from deqjax.solvers import Stats
from deqjax.training.measure import Measurement, measurement, noise_unit
from deqjax.types import Params

Row = dict[str, str | int | float]


@dataclass(frozen=True)
class Volume:
    """A file that was reconstructed: magnitudes (slice, y, x), Stats of every slice, and a row of numbers.

    ``target`` is None, and the row has no metrics, for a file without fully sampled data.
    """

    name: str
    zero_filled: np.ndarray
    image: np.ndarray
    target: np.ndarray | None
    stats: Stats
    row: Row


def evaluate_file(
    recon: Reconstructor, params: Params, path: str | Path, config: Config, batch_size: int = 4
) -> Volume:
    """Reconstruct one file as a config says, its mask seeded by its name, and measure it against the full data.

    A file that stores a mask is a measurement already: it is used as it is, not cropped and without further noise, and
    has no target. Magnitudes are cropped to the size that the file's header names. Metrics are those of the volume,
    with its maximum as the data range.

    Args:
      recon: the method.
      params: its parameters.
      path: a file of any format of `deqjax.data.open_scan`.
      config: whose data section (slices, crop, noise) and mask apply; of the noise the upper end is taken.
      batch_size: slices solved together.

    Raises:
      ValueError: a bad file, or a mask that does not fit it.
    """
    there = [number for _, number in Slices([path], config.data.slices).index]  # a short volume lacks some
    scan = open_scan(path, (there[0], there[-1]))
    kspace, sampled = scan.kspace, scan.mask is not None
    if scan.mask is not None and scan.mask.ndim == 3:
        raise ValueError(f"{path}: other lines were sampled in other slices; evaluate slices of one mask at a time")
    crop = None if sampled else config.data.crop
    noise = 0.0 if sampled else config.data.noise[1]
    if crop is not None:
        smaller = crop_field_of_view if config.data.crop_mode == "field_of_view" else lower_resolution
        kspace = smaller(kspace, crop)
    padding = scan.padding if crop is None else None
    mask = config.mask(kspace.shape[-2:], scan.name, padding) if scan.mask is None else scan.mask
    images: list[np.ndarray] = []
    zero_filled: list[np.ndarray] = []
    targets: list[np.ndarray] = []
    stats: list[Stats] = []
    for first in range(0, len(kspace), batch_size):
        full = jnp.asarray(kspace[first : first + batch_size])
        part = len(full)
        full = jnp.concatenate([full, jnp.repeat(full[-1:], batch_size - part, axis=0)])
        key = jax.random.fold_in(jax.random.key(0), first)
        A, measured, target = _measure(full, jnp.asarray(mask), noise, center_fraction_of(config), key)
        image, solved = recon(params, A, measured)
        for kept, batch in ((images, image), (zero_filled, A.adjoint(measured)), (targets, target)):
            kept.append(np.abs(np.asarray(batch[:part])))
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
    return Volume(scan.name, start, reconstructed, None if sampled else reference, all_stats, row)


def make_validation(config: Config, slices: Slices) -> Callable[[Reconstructor, Params], float]:
    """Prepare a quick validation: the mean PSNR of single slices, evenly spread over the files, each with its mask."""
    number = min(config.train.validation_slices, len(slices))
    chosen = [int(i) for i in np.linspace(0, len(slices) - 1, number).round()]
    measured = []
    for i in chosen:
        kspace = jnp.asarray(slices.example(i))
        mask = jnp.asarray(config.mask(kspace.shape[-2:], slices.index[i][0].name))
        key = jax.random.fold_in(jax.random.key(0), i)
        measured.append(_measure(kspace[None], mask, config.data.noise[1], center_fraction_of(config), key))

    def validate(recon: Reconstructor, params: Params) -> float:
        scores = [psnr(jnp.abs(recon(params, A, kspace)[0]), jnp.abs(target)) for A, kspace, target in measured]
        return float(np.mean(scores))

    return validate


def _measure(kspace: jax.Array, mask: jax.Array, noise: float, center_fraction: float, key: jax.Array) -> Measurement:
    """Undersample full k-space (slice, [coil,] y, x) with one mask."""
    images = ifft2c(kspace)
    measured = mask * kspace
    if noise > 0:
        level = noise * noise_unit(images)
        measured = add_noise(key, measured, mask, level[:, None] if images.ndim == 4 else level)
    return measurement(images, measured, mask, center_fraction)


def center_fraction_of(config: Config) -> float:
    """The calibration lines that every mask of a config has, as a fraction of the width."""
    return config.mask.calibration_fraction or 0.0


def _metrics(image: np.ndarray, zero_filled: np.ndarray, target: np.ndarray) -> Row:
    row: Row = {}
    for name, metric in (("PSNR", psnr), ("SSIM", ssim), ("NMSE", nmse), ("VIF", vif)):
        if name == "VIF" and min(target.shape[-2:]) < SMALLEST_VIF_SIZE:
            continue  # its windows do not fit
        row[f"{name} zero-filled"] = float(metric(zero_filled, target))
        row[name] = float(metric(image, target))
    return row


def _convergence(stats: Stats) -> Row:
    assert stats.residuals is not None  # a forward solve keeps them
    first, steps = stats.residuals[:, 0], np.maximum(stats.num_steps - 1, 1)
    positive = (first > 0) & (stats.residual > 0)
    ratio = np.where(positive, stats.residual / np.where(positive, first, 1), 0)
    return {
        "steps": float(np.mean(stats.num_steps)),
        "residual": float(np.max(stats.residual)),
        "converged": float(np.mean(stats.converged)),
        "contraction": float(np.mean(ratio ** (1 / steps))),
    }
