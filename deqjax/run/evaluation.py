"""Evaluation: reconstruct files, and write a table, pictures and one page."""

import shlex
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from deqjax.atomic_write import atomic_folder
from deqjax.config import Config, to_toml
from deqjax.data import write_submission
from deqjax.reconstruct import Reconstructor
from deqjax.report import comparison, convergence, metrics_table, write_csv, write_page
from deqjax.run.evaluation_page import sections
from deqjax.run.image_files import distinct
from deqjax.run.volumes import OUTSIDE, Volume, evaluate_file
from deqjax.types import Params

SHOWN = (
    "volume",
    "PSNR zero-filled",
    "PSNR",
    "SSIM",
    "held-out SNR",
    "estimated error",
    "steps",
    "residual",
    "distance",
    "distance is",
)
"""The columns of the table on the terminal. The CSV file and the page have all columns."""

PICTURES = 4
"""The number of volumes of which the page shows pictures."""


def evaluate(
    recon: Reconstructor,
    params: Params,
    config: Config,
    files: Sequence[Path],
    out: Path,
    command: str,
    training: Path | None = None,
) -> list[Volume]:
    """Evaluate a method on files, print progress, a table and a verdict, and write everything to a folder.

    Args:
      recon: the method. Data outside its domain are named in the verdict, in the table and on the page.
      params: its parameters.
      config: its data section and its mask say how the files are undersampled.
      files: in any format of :func:`deqjax.data.open_scan`.
      out: the folder for the results, which must not exist or be empty. It appears complete or not at all.
      command: the command line that gives these results, for the page.
      training: the picture of the training curve, for the page. It is left out if the file does not exist.

    Raises:
      ValueError: the folder holds anything, or a file cannot be read.
    """
    if out.exists() and any(out.iterdir()):
        raise ValueError(f"{out}: holds other results; choose another --out")
    volumes = []
    print(f"evaluating {len(files)} file{'s' * (len(files) != 1)}; the first one includes the compilation", flush=True)
    for number, file in enumerate(files, 1):
        started = time.monotonic()
        volumes.append(evaluate_file(recon, params, file, config))
        seconds = time.monotonic() - started
        print(f"{number}/{len(files)} {volumes[-1].name}: {verdict(volumes[-1:])}; {seconds:.0f} s", flush=True)
    metrics_table([{name: v.row[name] for name in SHOWN if name in v.row} for v in volumes], config.title)
    with atomic_folder(out) as temporary:
        write_results(temporary, volumes, config, recon.solver.rtol, command, training)
    print(f"{verdict(volumes)}; page: {out / 'index.html'}")
    return volumes


def verdict(volumes: Sequence[Volume]) -> str:
    """Say in one line how good the images are, and how many slices converged: ``28.0 dB, +7.0 over zero-filled; ...``.

    The PSNR is the mean of the volumes that have a target.
    """
    converged = np.concatenate([np.atleast_1d(volume.stats.converged) for volume in volumes])
    parts = [f"{converged.sum()} of {converged.size} converged"]
    scored = [volume.row for volume in volumes if "PSNR" in volume.row]
    if scored:
        psnr, start = (np.mean([float(row[name]) for row in scored]) for name in ("PSNR", "PSNR zero-filled"))
        parts.insert(0, f"{psnr:.1f} dB, {psnr - start:+.1f} over zero-filled")
    blind = [volume.row for volume in volumes if "held-out SNR" in volume.row]
    if blind and not scored:
        snr, error = (np.mean([float(row[name]) for row in blind]) for name in ("held-out SNR", "estimated error"))
        parts.insert(0, f"no target: held-out lines {snr:.1f} dB, estimated error {error:.1%} of the samples")
    outside = [str(volume.row[OUTSIDE]) for volume in volumes if volume.row.get(OUTSIDE)]
    if outside:
        what = outside[0] if len(volumes) == 1 else f"{len(outside)} of {len(volumes)} volumes"
        parts.append(f"OUTSIDE the domain of the model: {what}")
    return "; ".join(parts)


def evaluate_command(
    model: str | Path, out: str | Path, data: str | Path = "", overrides: Sequence[str] = (), trust_code: bool = False
) -> str:
    """Return the command line that evaluates a model.

    >>> evaluate_command("brain", "results", data="files", overrides=["--mask.acceleration=8"])
    'deqjax evaluate brain --out=results --data=files --mask.acceleration=8'
    """
    options = [f"--out={out}", *([f"--data={data}"] if data else []), *(["--trust-code"] if trust_code else [])]
    return shlex.join(["deqjax", "evaluate", str(model), *options, *overrides])


def write_results(
    folder: Path,
    volumes: Sequence[Volume],
    config: Config,
    rtol: float,
    command: str,
    training: Path | None = None,
) -> None:
    """Write the table, the pictures, the images of files without a target, and the page that shows them."""
    write_csv(folder / "volumes.csv", [volume.row for volume in volumes])
    names = output_names(volumes)
    for volume, name in zip(volumes, names):
        if volume.target is None:
            write_submission(folder / "submission" / f"{name}.h5", volume.image)
    for volume, name in zip(volumes[:PICTURES], names):
        draw(volume, folder / f"{name}.png")
    residuals = {volume.name: np.asarray(volume.stats.residuals) for volume in volumes[:PICTURES]}
    convergence(folder / "convergence.png", residuals, rtol)
    curves = {"relative residual of each slice over evaluations of f": folder / "convergence.png"}
    if training is not None and training.exists():
        curves["training"] = training
    page = sections(volumes, volumes[:PICTURES], curves, command, to_toml(config))
    write_page(folder / "index.html", config.title, page)


def output_names(volumes: Sequence[Volume]) -> list[str]:
    """Name the outputs after the files, each with a name of its own: ``a.h5`` and ``a.npz`` may be in one folder."""
    return distinct([Path(volume.name).stem for volume in volumes])


def draw(volume: Volume, path: Path) -> Path:
    """Draw the middle slice of a volume: target, zero-filled image, reconstruction, and their errors."""
    middle = len(volume.image) // 2
    columns = {"zero-filled": volume.zero_filled[middle], "reconstruction": volume.image[middle]}
    captions = {}
    if volume.target is not None:
        columns = {"target": volume.target[middle]} | columns
        for name, key in (("zero-filled", "PSNR zero-filled"), ("reconstruction", "PSNR")):
            captions[name] = f"{volume.row[key]:.2f} dB (volume)"
    comparison(path, columns, target_name="target" if volume.target is not None else "zero-filled", captions=captions)
    return path
