"""How good the models are on brain slices: python benchmarks/brain_models.py --val=FOLDER [--train=FOLDER] MODEL ...

Every MODEL (a shipped name, or a folder that train.py left) reconstructs the files of every case, with masks seeded by
their names, and one table says how well: PSNR and SSIM of volumes, evaluations, the share that converged to the model's
tolerance, and the observed contraction. ``MODEL@30`` runs its solver for 30 evaluations whatever the residual. At the
end, how long one slice of the first file takes.
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
from deqjax.training.evaluate import Volume, evaluate_file
from deqjax.types import Params

Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]

FOUR = ("mask.type=CartesianRandom", "mask.acceleration=4", "mask.center_fraction=0.08")
EIGHT = ("mask.type=CartesianRandom", "mask.acceleration=8", "mask.center_fraction=0.04")
NUMBERS = ("PSNR zero-filled", "PSNR", "SSIM zero-filled", "SSIM", "steps", "converged", "contraction")


def as_stored(kspace: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return kspace


def with_phase(kspace: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Lay a random smooth phase of up to 3 radians on every slice."""
    return np.stack([Augment(phase=3.0)(part, rng) for part in kspace])


def transposed(kspace: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return kspace.swapaxes(-1, -2)


def odd(kspace: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Crop one or two rows and columns, so that both sizes are odd."""
    size = tuple(length - 1 - length % 2 for length in kspace.shape[-2:])
    return fft2c(crop_image(ifft2c(kspace), size))


def times(factor: float) -> Change:
    return lambda kspace, rng: (kspace.astype(complex) * factor).astype(np.complex64)


CASES: dict[str, tuple[Sequence[str], float, Change]] = {
    "4x": (FOUR, 0.0, as_stored),
    "4x, random phase": (FOUR, 0.0, with_phase),
    "8x": (EIGHT, 0.0, as_stored),
    "8x, random phase": (EIGHT, 0.0, with_phase),
    "8x, 1 % noise": (EIGHT, 0.01, as_stored),
    "8x, 3 % noise": (EIGHT, 0.03, as_stored),
    "4x, times 1e-6": (FOUR, 0.0, times(1e-6)),
    "4x, times 1e6": (FOUR, 0.0, times(1e6)),
    "4x, transposed": (FOUR, 0.0, transposed),
    "4x, odd sizes": (FOUR, 0.0, odd),
}
"""Name to overrides of the config, noise relative to the scale of the image, and what is done to the full k-space."""


def changed_files(files: Sequence[Path], change: Change, folder: Path) -> list[Path]:
    """Write changed copies of the files under their own names, so that their masks are the same ones."""
    if change is as_stored:
        return list(files)
    copies = []
    for path in files:
        rng = np.random.default_rng(list(path.name.encode()))
        copies.append(write_volume(folder / path.name, change(read_volume(path).kspace, rng)))
    return copies


def load(model: str, overrides: Sequence[str]) -> tuple[Reconstructor, Params, Config]:
    """Read ``NAME`` or ``NAME@EVALUATIONS``, with changes to its config."""
    name, _, evaluations = model.partition("@")
    recon, params = model_folders.load(name)
    if evaluations:
        recon = recon.replace(solver=replace(recon.solver, max_steps=int(evaluations), rtol=0.0))
    return recon, params, model_folders.load_config(name, overrides)


def means(volumes: Sequence[Volume]) -> dict[str, float]:
    """The mean over volumes of every number of a table."""
    return {key: float(np.mean([float(volume.row[key]) for volume in volumes])) for key in NUMBERS}


def score(model: str, files: Sequence[Path], overrides: Sequence[str], noise: float) -> tuple[dict[str, float], Volume]:
    """Reconstruct the files with one model: the mean over them of every number of a volume, and the first volume."""
    recon, params, config = load(model, [*overrides, f"data.noise=[0.0, {noise}]"])
    volumes = [evaluate_file(recon, params, path, config) for path in files]
    return means(volumes), volumes[0]


def label(model: str) -> str:
    """What a picture calls a model: its name, or that of the run whose folder it is."""
    return model if "/" not in model else Path(model).parent.name + "".join(Path(model).name.partition("@")[1:])


def seconds_of_slice(model: str, path: Path) -> str:
    """How long the middle slice of a file takes at 4x, once compiled: the median of five calls."""
    recon, params, config = load(model, FOUR)
    kspace = read_volume(path).kspace
    kspace = jnp.asarray(kspace[len(kspace) // 2])
    mask = jnp.asarray(config.mask(kspace.shape, path.name))
    _, seconds = median_timed(lambda: recon(params, MaskedFourier(mask), mask * kspace), 5)
    return f"{model}: {seconds:.2f} s for a slice of {kspace.shape[0]} x {kspace.shape[1]}"


def draw(volumes: dict[str, Volume], path: Path) -> None:
    """One slice: target, zero-filled, every model, and their errors at one scale."""
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
    for case, models in results.items():
        table = Table("model", *NUMBERS, title=case, title_justify="left")
        for model, numbers in models.items():
            table.add_row(model, *(f"{numbers[key]:.3f}" for key in NUMBERS))
        console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--val", required=True, help="files, a folder or a glob of fully sampled single-coil volumes")
    parser.add_argument("--train", default="", help="training files, for the gap between training and validation at 4x")
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES), metavar="CASE")
    parser.add_argument("--slices", type=int, nargs=2, metavar="N", help="first and last of every file; all by default")
    parser.add_argument("--picture", type=Path, metavar="OUT", help="draw one slice of the first file and case")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write every number there too")
    options = parser.parse_args()
    chosen = [f"data.slices={options.slices}"] if options.slices else []
    results: dict[str, dict[str, dict[str, float]]] = {}
    for case in track(options.cases, description="cases"):
        overrides, noise, change = CASES[case]
        overrides = [*overrides, *chosen]
        with tempfile.TemporaryDirectory() as folder:
            files = changed_files(list_files(options.val), change, Path(folder))
            scored = {model: score(model, files, overrides, noise) for model in options.models}
        results[case] = {model: numbers for model, (numbers, _) in scored.items()}
        if options.picture and case == options.cases[0]:
            draw({model: volume for model, (_, volume) in scored.items()}, options.picture)
    if options.train:
        files = list_files(options.train)
        results["4x, training files"] = {
            model: score(model, files, [*FOUR, *chosen], 0.0)[0] for model in options.models
        }
    show(results, Console(width=140))
    for model in options.models:
        print(seconds_of_slice(model, list_files(options.val)[0]))
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
