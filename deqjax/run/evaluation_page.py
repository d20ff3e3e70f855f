"""What the page of an evaluation shows: the verdict first, then a short table, pictures, curves, and the command."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from deqjax.masks import realised_acceleration
from deqjax.report import (
    Html,
    Part,
    code,
    details,
    error_png,
    grey_png,
    group,
    headline,
    html_table,
    mosaic_png,
    phase_png,
    picture,
    window_of_detail,
)
from deqjax.run.volumes import OUTSIDE, Volume

ERROR_SCALE = 5.0
"""The error maps range up to white over this number."""

COILS = 16
"""The largest number of coil sensitivities that are drawn."""


def sections(
    volumes: Sequence[Volume], drawn: Sequence[Volume], curves: Mapping[str, Path], command: str, config: str
) -> list[tuple[str, list[Part]]]:
    """Return the sections of the page: headings and parts.

    Args:
      volumes: all volumes.
      drawn: those of which the page shows pictures; the first is open, the others are folded.
      curves: captions and pictures of curves.
      command: the command that gives these results.
      config: the text of the config.
    """
    more = html_table([volume.row for volume in volumes])
    open_first: list[Part] = [pictures_of(volume, opened=number == 0) for number, volume in enumerate(drawn)]
    return [
        ("", [headline(summary_tiles(volumes)), *_warning(volumes)]),
        (
            "Volumes",
            [
                html_table([short_row(volume) for volume in volumes]),
                details(
                    "All columns", [more, "Metrics of the magnitude of each volume, with its maximum as the range."]
                ),
            ],
        ),
        ("Pictures", open_first),
        ("Convergence and training", [group("curves", [picture(path, name) for name, path in curves.items()])]),
        ("How to reproduce this page", [code(command), details("The config with all its defaults", [code(config)])]),
    ]


def summary_tiles(volumes: Sequence[Volume]) -> list[tuple[str, str, str]]:
    """Return the headline: PSNR and SSIM, their gain over zero-filled, converged slices, evaluations, acceleration."""
    converged = np.concatenate([np.atleast_1d(volume.stats.converged) for volume in volumes])
    steps = np.concatenate([np.atleast_1d(volume.stats.num_steps) for volume in volumes])
    tiles = []
    scored = [volume.row for volume in volumes if "PSNR" in volume.row]
    for name, form, unit in (("PSNR", ".1f", " dB"), ("SSIM", ".3f", "")):
        if scored:
            value, start = (np.mean([float(row[key]) for row in scored]) for key in (name, f"{name} zero-filled"))
            kind = "good" if value > start else "bad"
            tiles.append((f"{name}, {value - start:+{form}} over zero-filled", f"{value:{form}}{unit}", kind))
    kind = "good" if converged.all() else "bad"
    tiles.append(("slices converged", f"{converged.sum()} of {converged.size}", kind))
    tiles.append(("evaluations of f for a slice", f"{steps.mean():.1f}", ""))
    realised = [realised_acceleration(volume.middle.mask) for volume in volumes]
    lowest, highest = (f"{value:.2f}" for value in (min(realised), max(realised)))
    tiles.append(("realised acceleration", lowest if lowest == highest else f"{lowest} to {highest}", ""))
    return tiles


def short_row(volume: Volume) -> dict[str, str | float]:
    """Return the columns that every screen has room for."""
    row = {"volume": volume.row["volume"]}
    row |= {name: volume.row[name] for name in ("PSNR", "SSIM") if name in volume.row}
    converged = np.atleast_1d(volume.stats.converged)
    row |= {"evaluations": volume.row["steps"], "converged": f"{converged.sum()} of {converged.size}"}
    if "distance" in volume.row:  # relative to the norm of the image
        row["fixed point"] = f"{volume.row['distance is']} within {100 * float(volume.row['distance']):.2g} %"
    return row


def pictures_of(volume: Volume, opened: bool) -> Html:
    """Show the middle slice: target, reconstruction and error, and below them what explains them."""
    index, middle = len(volume.image) // 2, volume.middle
    image, start = volume.image[index], volume.zero_filled[index]
    target = None if volume.target is None else volume.target[index]
    reference = image if target is None else target
    white = float(np.percentile(reference, 99.8)) or 1.0
    top, left, high, wide = window_of_detail(reference)
    size = reference.shape
    frame = left / size[1], top / size[0], wide / size[1], high / size[0]
    first: list[Part] = []
    second: list[Part] = []

    def grey(to: list[Part], name: str, values: np.ndarray, note: str = "") -> None:
        to.append(picture(grey_png(values, white), name, note, frame=frame))

    def inset(name: str, values: np.ndarray) -> None:
        part = values[top : top + high, left : left + wide]
        second.append(picture(grey_png(part, white), f"{name}, the framed part", pixels=True))

    def error(to: list[Part], name: str, values: np.ndarray) -> None:
        scale = f"0 to {100 / ERROR_SCALE:g} % of white"
        to.append(picture(error_png(values - reference, white / ERROR_SCALE), name, scale, scale="error"))

    scores = {key: f"{volume.row[key]:.2f} dB (volume)" for key in ("PSNR", "PSNR zero-filled") if key in volume.row}
    if target is not None:
        grey(first, "target", target, "from the full k-space")
        inset("target", target)
    grey(first, "reconstruction", image, scores.get("PSNR", "the file has no target"))
    inset("reconstruction", image)
    inset("zero-filled", start)
    mask = np.broadcast_to(middle.mask, np.broadcast_shapes(middle.mask.shape, (size[0], 1)))
    acceleration = f"sampled points are white; acceleration {realised_acceleration(middle.mask):.2f}"
    second.append(picture(grey_png(mask, 1.0), "mask", acceleration, pixels=True))
    grey(second, "zero-filled", start, scores.get("PSNR zero-filled", ""))
    if target is not None:
        error(first, "error of the reconstruction", image)
        error(second, "error of zero-filled", start)
    phase = phase_png(volume.complex_image[index], white)
    second.append(picture(phase, "phase of the reconstruction", "-180 to 180 degrees", scale="phase"))
    if middle.smaps is not None:
        coils = len(middle.smaps)
        drawn = f"{coils} coils" if coils <= COILS else f"the first {COILS} of {coils} coils"
        smaps = np.abs(middle.smaps[:COILS])
        second.append(picture(mosaic_png(smaps, float(smaps.max())), "coil sensitivities", f"magnitudes of {drawn}"))
    summary = f"{volume.name}, slice {middle.number}"
    return details(summary, [group("primary", first), group("secondary", second)], opened)


def _warning(volumes: Sequence[Volume]) -> list[Part]:
    missed = sum(int(np.sum(~np.atleast_1d(volume.stats.converged))) for volume in volumes)
    found: list[Part] = [
        f"{volume.name} is outside the domain of the model: {volume.row[OUTSIDE]}. Compare with a classical method."
        for volume in volumes
        if volume.row.get(OUTSIDE)
    ]
    if missed:
        plural = "s" * (missed != 1)
        found.append(f"{missed} slice{plural} did not converge: the image is the best iterate, and not a fixed point.")
    return found
