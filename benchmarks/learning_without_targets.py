"""Learning without targets: python benchmarks/learning_without_targets.py --train=FILES --val=FILES [--only NAME ...]

The script trains every experiment of benchmarks/learning_without_targets.toml. The runs stay in
runs/learning_without_targets, so that a second call does not repeat them. The table shows the mean metrics on the
validation files with noise and noise-free targets, which no training saw, the evaluations of the map, the share of
slices that converged, and the share of the gain of the supervised training that each one reaches. Finally, the error
that is estimated without a target is compared with the true error of every slice.
"""

import argparse
import csv
import json
import tomllib
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.table import Table

from deqjax import model_folders
from deqjax.data import Acquisitions, Slices, list_files
from deqjax.masks import density
from deqjax.metrics import psnr
from deqjax.objectives import estimate_error, noisier_image
from deqjax.physics import MaskedFourier, ifft2c
from deqjax.run.folder import Run
from deqjax.run.training_run import train

HERE = Path(__file__).parent
METRICS = ("PSNR zero-filled", "PSNR", "SSIM", "steps", "converged")


def metrics_of(run: Run) -> dict[str, float]:
    """Return the mean metrics of the evaluation of a run, and the score by which it would be selected."""
    with (run.evaluation / "volumes.csv").open() as file:
        rows = list(csv.DictReader(file))
    found = {name: float(np.mean([float(row[name]) for row in rows])) for name in METRICS}
    log = run.folder / "log.jsonl"
    lines = log.read_text().splitlines() if log.exists() else []
    scores = [json.loads(line).get("validation_held_out_snr") for line in lines]
    return found | {"held-out SNR": next((score for score in reversed(scores) if score is not None), np.nan)}


def error_bars(model: Path, files: list[Path], noise: float) -> dict[str, float]:
    """Compare the estimated error with the true error of every slice, on the sampled points and of the image."""
    recon, params = model_folders.load(model)
    config = model_folders.load_config(model)
    acquisitions = Acquisitions(Slices(files), config.mask, (noise, noise))
    pairs: dict[str, list[tuple[float, float]]] = {"sampled points": [], "image": []}
    for i in range(len(acquisitions)):
        kspace, mask, sigma = acquisitions.acquire(i)
        A, batch = MaskedFourier(jnp.asarray(mask)), jnp.asarray(kspace)[None]
        image, _ = recon(params, A, batch)
        wrong = np.abs(
            np.asarray(MaskedFourier(jnp.ones_like(A.mask)).forward(image)[0]) - acquisitions.slices.example(i)
        )
        weights = {"sampled points": mask, "image": mask / np.maximum(density(config.mask, kspace.shape), 0.02)}
        for name, weight in weights.items():
            true = float(np.mean((mask if name == "sampled points" else 1) * wrong**2))
            keys = jax.random.split(jax.random.key(i), 1)
            args = (A, batch, jnp.full(1, sigma), jnp.asarray(weight)[None], keys)
            pairs[name].append((float(estimate_error(recon, params, *args)[0]), true))
    found = {}
    for name, values in pairs.items():
        estimated, true = np.array(values).T
        found[f"{name}: correlation"] = float(np.corrcoef(estimated, true)[0, 1])
        found[f"{name}: bias"] = float(estimated.mean() / true.mean() - 1)
    return found


def corrected_psnr(model: Path, files: list[Path], noise: float, noisier: float) -> float:
    """Return the mean PSNR of the slices of a model of Robust SSDU with the correction of its noisier input."""
    recon, params = model_folders.load(model)
    config = model_folders.load_config(model)
    acquisitions, scores = Acquisitions(Slices(files), config.mask, (noise, noise)), []
    for i in range(len(acquisitions)):
        kspace, mask, sigma = acquisitions.acquire(i)
        keys = jax.random.split(jax.random.key(i), 1)
        A, batch = MaskedFourier(jnp.asarray(mask)[None]), jnp.asarray(kspace)[None]
        image, _ = noisier_image(recon, params, A, batch, jnp.full(1, sigma), noisier, keys)
        target = ifft2c(jnp.asarray(acquisitions.slices.example(i)))
        scores.append(float(psnr(jnp.abs(image[0]), jnp.abs(target))))
    return float(np.mean(scores))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", required=True, help="the training files: a file, a folder or a glob pattern")
    parser.add_argument("--val", required=True, help="fully sampled single-coil volumes of other people")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="the names of the experiments; default: all")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], help="the seeds of every experiment")
    parser.add_argument("--error-bars", action="store_true", help="only compare estimated and true errors of the start")
    options = parser.parse_args()
    plan = tomllib.loads((HERE / "learning_without_targets.toml").read_text())
    files, noise = list_files(options.val), 0.3
    if options.error_bars:
        print(error_bars(model_folders.find(plan["start"]), files, noise))
        return
    given = [f"data.train={options.train}", f"data.val={options.val}"]
    results: dict[str, list[dict[str, float]]] = {}
    for seed in options.seeds:
        for name, changes in plan["experiment"].items():
            if options.only and name not in options.only:
                continue
            out = Path("runs/learning_without_targets") / f"{name.replace(' ', '_').replace(',', '')}-seed{seed}"
            command = f"python benchmarks/learning_without_targets.py --only {name!r} --seeds {seed}"
            run = train(HERE.parent / plan["config"], [*given, *changes, f"seed={seed}", f"out={out}"], command)
            results.setdefault(name, []).append(metrics_of(run))
            show(results, plan["start"], plan["ceiling"])
            if name == "robust split":
                print(f"with the correction: {corrected_psnr(run.model, files, noise, 0.75):.2f} dB (mean over slices)")


def show(results: dict[str, list[dict[str, float]]], start: str, ceiling: str) -> None:
    """Print the mean over the seeds and the range of the PSNR."""
    table = Table("experiment", "seeds", *METRICS, "held-out SNR", "PSNR range", "share", title_justify="left")
    mean = {name: {key: np.mean([row[key] for row in rows]) for key in rows[0]} for name, rows in results.items()}
    for name, rows in results.items():
        values = [row["PSNR"] for row in rows]
        share = "-"
        if start in mean and ceiling in mean and name != start:
            gain = mean[ceiling]["PSNR"] - mean[start]["PSNR"]
            share = f"{(mean[name]['PSNR'] - mean[start]['PSNR']) / gain:.0%}" if gain else "-"
        numbers = [f"{mean[name][key]:.3f}" for key in (*METRICS, "held-out SNR")]
        table.add_row(name, str(len(rows)), *numbers, f"{min(values):.2f} to {max(values):.2f}", share)
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
