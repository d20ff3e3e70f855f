"""How near learning without targets comes to supervision: python benchmarks/learning_without_targets.py

    python benchmarks/learning_without_targets.py --train=FILES --val=FILES [--only NAME ...] [--seeds 0 1 2]
    python benchmarks/learning_without_targets.py --train=FILES --val=FILES --group "from scratch"

The script trains every experiment of a section of benchmarks/learning_without_targets.toml and keeps its results in
runs/learning_without_targets, so that a second call does not repeat it. The table shows means over slices of the
validation files with noise, against noise-free targets, which no training saw: the PSNR, the evaluations of the map,
the share of slices that converged, the ratio of signal to error of lines held out of the noisy data, and the share of
the gain of the supervised training that each experiment reaches. With --error-bars, the error that is estimated without
a target is compared with the true error of every slice.
"""

import argparse
import json
import tomllib
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.table import Table

from deqjax import model_folders
from deqjax.config import Config, read_config
from deqjax.data import Acquisitions, Slices, list_files
from deqjax.masks import density
from deqjax.metrics import psnr
from deqjax.objectives import Split, estimate_error, noisier_image
from deqjax.physics import MaskedFourier, ifft2c
from deqjax.reconstruct import Reconstructor
from deqjax.run import fit
from deqjax.run.experiment import reconstruction_experiment
from deqjax.run.without_targets import decibel, held_out_error, hold_out
from deqjax.types import Params

HERE = Path(__file__).parent
OUT = Path("runs/learning_without_targets")
METRICS = ("PSNR zero-filled", "PSNR", "evaluations", "converged", "held-out SNR")


def test_slices(files: list[Path], slices: tuple[int, int], config: Config) -> Acquisitions:
    """Return the noisy acquisitions of the validation slices; they are the same for every experiment."""
    return Acquisitions(Slices(files, slices), config.mask, config.data.noise)


def score(recon: Reconstructor, params: Params, config: Config, acquisitions: Acquisitions) -> dict[str, float]:
    """Return mean metrics over slices, with the target of each slice as its data range."""
    rows = []
    objective = config.phase[0].objective
    for i in range(len(acquisitions)):
        kspace, mask, sigma = acquisitions.acquire(i)
        A, batch = MaskedFourier(jnp.asarray(mask)[None]), jnp.asarray(kspace)[None]
        target = jnp.abs(ifft2c(jnp.asarray(acquisitions.slices.example(i))))
        image, stats = recon(params, A, batch)
        found: dict[str, Any] = {
            "PSNR zero-filled": psnr(jnp.abs(A.adjoint(batch)[0]), target),
            "PSNR": psnr(jnp.abs(image[0]), target),
            "evaluations": stats.num_steps[0],
            "converged": stats.converged[0],
            "held-out SNR": decibel(*held_out_error(recon, params, A, batch, hold_out(mask, 0.08, i))),
        }
        if isinstance(objective, Split) and objective.noisier:
            keys, level = jax.random.split(jax.random.key(i), 1), jnp.full(1, sigma)
            corrected, _ = noisier_image(recon, params, A, batch, level, objective.noisier, keys)
            found["PSNR with the correction"] = psnr(jnp.abs(corrected[0]), target)
        rows.append({name: float(value) for name, value in found.items()})
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def error_bars(recon: Reconstructor, params: Params, config: Config, acquisitions: Acquisitions) -> dict[str, float]:
    """Compare the estimated with the true squared error of every slice, on the sampled points and of the image."""
    pairs: dict[str, list[tuple[float, float]]] = {"sampled points": [], "image": []}
    for i in range(len(acquisitions)):
        kspace, mask, sigma = acquisitions.acquire(i)
        A, batch = MaskedFourier(jnp.asarray(mask)[None]), jnp.asarray(kspace)[None]
        image, _ = recon(params, A, batch)
        predicted = MaskedFourier(jnp.ones_like(A.mask)).forward(image)[0]
        wrong = np.abs(np.asarray(predicted) - acquisitions.slices.example(i)) ** 2
        weights = {"sampled points": mask, "image": mask / np.maximum(density(config.mask, kspace.shape), 0.02)}
        for name, weight in weights.items():
            true = np.mean((mask if name == "sampled points" else 1) * wrong)
            keys = jax.random.split(jax.random.key(i), 1)
            estimate = estimate_error(recon, params, A, batch, jnp.full(1, sigma), jnp.asarray(weight)[None], keys)
            pairs[name].append((float(estimate[0]), float(true)))
    found = {}
    for name, values in pairs.items():
        estimated, actual = np.array(values).T
        found[f"{name}: correlation"] = float(np.corrcoef(estimated, actual)[0, 1])
        found[f"{name}: bias"] = float(estimated.mean() / actual.mean() - 1)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", required=True, help="the training files: a file, a folder or a glob pattern")
    parser.add_argument("--val", required=True, help="fully sampled single-coil volumes of other people")
    parser.add_argument("--group", default="noisy data", help="a section of the TOML file; default: %(default)s")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="the names of the experiments; default: all")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], help="the seeds of every experiment")
    parser.add_argument("--slices", nargs=2, type=int, default=[4, 5], help="the validation slices of every file")
    parser.add_argument("--error-bars", action="store_true", help="only compare estimated and true errors of the start")
    options = parser.parse_args()
    plan = tomllib.loads((HERE / "learning_without_targets.toml").read_text())
    files, path = list_files(options.val), HERE.parent / plan.pop("config")
    data, slices = [f"data.train={options.train}", f"data.val={options.val}"], tuple(options.slices)
    group = plan[options.group]
    if options.error_bars:
        config = read_config(path, [*group["overrides"], *data])
        recon, params = model_folders.load(group["start"])
        print(error_bars(recon, params, config, test_slices(files, slices, config)))
        return
    results: dict[str, list[dict[str, float]]] = {}
    for seed in options.seeds:
        for name, changes in group["experiment"].items():
            if options.only and name not in options.only:
                continue
            kept = OUT / options.group / f"{name}, seed {seed}.json"
            if not kept.exists():
                config = read_config(path, [*group["overrides"], *data, *changes, f"seed={seed}"])
                fitted = fit(reconstruction_experiment(config))
                acquisitions = test_slices(files, slices, config)
                found = score(model_folders.inference_method(config), fitted.params, config, acquisitions)
                kept.parent.mkdir(parents=True, exist_ok=True)
                kept.write_text(json.dumps(found))
            results.setdefault(name, []).append(json.loads(kept.read_text()))
            show(results, group["start"], group["ceiling"])


def show(results: dict[str, list[dict[str, float]]], start: str, ceiling: str) -> None:
    """Print the mean over the seeds and the range of the PSNR."""
    table = Table("experiment", "seeds", *METRICS, "PSNR range", "share of the gain", "with the correction")
    mean = {name: {key: np.mean([row[key] for row in rows]) for key in rows[0]} for name, rows in results.items()}
    low, high = (mean.get(name, {}).get("PSNR", np.nan) for name in (start, ceiling))
    if start == "zero-filled":
        low = next(iter(mean.values()))["PSNR zero-filled"]
    for name, rows in results.items():
        values = [row["PSNR"] for row in rows]
        share = (mean[name]["PSNR"] - low) / (high - low)
        numbers = [f"{mean[name][key]:.2f}" for key in METRICS]
        corrected = mean[name].get("PSNR with the correction")
        more = "" if corrected is None else f"{corrected:.2f}"
        table.add_row(name, str(len(rows)), *numbers, f"{min(values):.2f} to {max(values):.2f}", f"{share:.0%}", more)
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
