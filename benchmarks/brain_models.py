"""How well models reconstruct brain slices: python benchmarks/brain_models.py --val=FILES [--train=FILES] MODEL ...

Every MODEL is the name of a model that comes with the package, or the model folder of a run. It reconstructs the files
of every case, with masks that are seeded by the file names. A table for each case shows means over the volumes: PSNR
and SSIM, the number of evaluations of the map, the share of slices that converged to the tolerance of the model, and
the observed contraction. ``MODEL@30`` runs the solver for exactly 30 evaluations, whatever the residual is. Finally,
the time of one slice of the first file is printed for every model.
"""

import argparse
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table
from timing import median_timed

from deqjax import model_folders
from deqjax.config import Config
from deqjax.data import Augment, crop_image, list_files, read_volume, write_volume
from deqjax.data.fourier_numpy import fft2c, ifft2c
from deqjax.physics import MaskedFourier
from deqjax.reconstruct import Reconstructor
from deqjax.report import comparison
from deqjax.run import Volume, evaluate_file
from deqjax.types import Params

Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]
"""A change of fully sampled k-space (slice, y, x), which may be random."""

FOUR = ("mask.type=CartesianRandom", "mask.acceleration=4", "mask.center_fraction=0.08")
EIGHT = ("mask.type=CartesianRandom", "mask.acceleration=8", "mask.center_fraction=0.04")
METRICS = ("PSNR zero-filled", "PSNR", "SSIM zero-filled", "SSIM", "steps", "converged", "contraction")


def add_phase(kspace: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Multiply the image of every slice by a random smooth phase of up to 3 radians."""
    return np.stack([Augment(phase=3.0)(part, rng) for part in kspace])


def transpose(kspace: np.ndarray, _: np.random.Generator) -> np.ndarray:
    """Exchange the two axes of every slice."""
    return kspace.swapaxes(-1, -2)


def crop_to_odd_sizes(kspace: np.ndarray, _: np.random.Generator) -> np.ndarray:
    """Remove one or two rows and columns of every image, so that both sizes are odd."""
    size = tuple(length - 1 - length % 2 for length in kspace.shape[-2:])
    return fft2c(crop_image(ifft2c(kspace), size))


def multiply(factor: float) -> Change:
    """Return the change that multiplies k-space by a factor."""
    return lambda kspace, _: (kspace.astype(complex) * factor).astype(np.complex64)


CASES: dict[str, tuple[Sequence[str], float, Change | None]] = {
    "4x": (FOUR, 0.0, None),
    "4x, random phase": (FOUR, 0.0, add_phase),
    "8x": (EIGHT, 0.0, None),
    "8x, random phase": (EIGHT, 0.0, add_phase),
    "8x, 1 % noise": (EIGHT, 0.01, None),
    "8x, 3 % noise": (EIGHT, 0.03, None),
    "4x, times 1e-6": (FOUR, 0.0, multiply(1e-6)),
    "4x, times 1e6": (FOUR, 0.0, multiply(1e6)),
    "4x, transposed": (FOUR, 0.0, transpose),
    "4x, odd sizes": (FOUR, 0.0, crop_to_odd_sizes),
}
"""For each case: overrides of the config, the noise relative to the scale of the image, and a change of k-space."""


def changed_files(files: Sequence[Path], change: Change | None, folder: Path) -> list[Path]:
    """Write changed copies of files to a folder, under the same names, so that they have the same masks."""
    if change is None:
        return list(files)
    copies = []
    for path in files:
        rng = np.random.default_rng(list(path.name.encode()))
        copies.append(write_volume(folder / path.name, change(read_volume(path).kspace, rng)))
    return copies


def load(model: str, overrides: Sequence[str]) -> tuple[Reconstructor, Params, Config]:
    """Load ``NAME`` or ``NAME@EVALUATIONS``: the method, its parameters, and its config with overrides."""
    name, _, evaluations = model.partition("@")
    recon, params = model_folders.load(name)
    if evaluations:
        solver = replace(recon.solver, max_steps=int(evaluations), rtol=0.0)  # type: ignore[type-var]
        recon = recon.replace(solver=solver)
    return recon, params, model_folders.load_config(name, overrides)


def mean_metrics(volumes: Sequence[Volume]) -> dict[str, float]:
    """Return the mean of every metric over volumes."""
    return {key: float(np.mean([float(volume.row[key]) for volume in volumes])) for key in METRICS}


def score(model: str, files: Sequence[Path], overrides: Sequence[str], noise: float) -> tuple[dict[str, float], Volume]:
    """Reconstruct files with one model, and return the mean metrics and the first volume."""
    recon, params, config = load(model, [*overrides, f"data.noise=[0.0, {noise}]"])
    volumes = [evaluate_file(recon, params, path, config) for path in files]
    return mean_metrics(volumes), volumes[0]


def label(model: str) -> str:
    """Return how pictures name a model: by its name, or by the run to which its folder belongs."""
    return model if "/" not in model else Path(model).parent.name + "".join(Path(model).name.partition("@")[1:])


def slice_time(model: str, path: Path) -> str:
    """Describe how long the middle slice of a file takes at 4x, once compiled: the median of five calls."""
    recon, params, config = load(model, FOUR)
    volume = read_volume(path).kspace
    kspace = jnp.asarray(volume[len(volume) // 2])
    mask = jnp.asarray(config.mask(kspace.shape, path.name))
    _, seconds = median_timed(lambda: recon(params, MaskedFourier(mask), mask * kspace), 5)
    return f"{model}: {seconds:.2f} s for a slice of {kspace.shape[0]} x {kspace.shape[1]}"


def draw(volumes: dict[str, Volume], path: Path) -> None:
    """Draw one slice: the target, the zero-filled image, the result of every model, and their errors at one scale."""
    first = next(iter(volumes.values()))
    assert first.target is not None
    middle = len(first.target) // 2
    columns = {"target": first.target[middle], "zero-filled": first.zero_filled[middle]}
    captions = {"zero-filled": f"{first.row['PSNR zero-filled']:.2f} dB, SSIM {first.row['SSIM zero-filled']:.3f}"}
    for model, volume in volumes.items():
        columns[label(model)] = volume.image[middle]
        captions[label(model)] = f"{volume.row['PSNR']:.2f} dB, SSIM {volume.row['SSIM']:.3f}"
    comparison(path, columns, target_name="target", captions=captions)


def show(results: dict[str, dict[str, dict[str, float]]], console: Console) -> None:
    """Print one table for each case, with one row for each model."""
    for case, models in results.items():
        table = Table("model", *METRICS, title=case, title_justify="left")
        for model, metrics in models.items():
            table.add_row(model, *(f"{metrics[key]:.3f}" for key in METRICS))
        console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="MODEL", help="name or model folder, optionally with @EVALUATIONS")
    parser.add_argument(
        "--val", required=True, help="fully sampled single-coil volumes: a file, a folder or a glob pattern"
    )
    parser.add_argument("--train", default="", help="training files, to compare training and validation at 4x")
    parser.add_argument(
        "--cases", nargs="+", default=list(CASES), choices=list(CASES), metavar="CASE", help="the cases; default: all"
    )
    parser.add_argument(
        "--slices", type=int, nargs=2, metavar=("FIRST", "LAST"), help="the slices of every file; default: all"
    )
    parser.add_argument("--picture", type=Path, metavar="OUT.png", help="draw one slice of the first file and case")
    parser.add_argument("--json", type=Path, metavar="OUT.json", help="write all metrics to a JSON file too")
    options = parser.parse_args()
    chosen = [f"data.slices={options.slices}"] if options.slices else []
    results: dict[str, dict[str, dict[str, float]]] = {}
    for case in track(options.cases, description="cases"):
        overrides, noise, change = CASES[case]
        overrides = [*overrides, *chosen]
        with tempfile.TemporaryDirectory() as folder:
            files = changed_files(list_files(options.val), change, Path(folder))
            scored = {model: score(model, files, overrides, noise) for model in options.models}
        results[case] = {model: metrics for model, (metrics, _) in scored.items()}
        if options.picture and case == options.cases[0]:
            draw({model: volume for model, (_, volume) in scored.items()}, options.picture)
    if options.train:
        files = list_files(options.train)
        results["4x, training files"] = {
            model: score(model, files, [*FOUR, *chosen], 0.0)[0] for model in options.models
        }
    show(results, Console(width=140))
    for model in options.models:
        print(slice_time(model, list_files(options.val)[0]))
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
