"""Draw comparison.png: total variation, an unrolled network and the equilibrium on one invented brain.

    python docs/make_comparison.py

Trains what make quickstart trains, unless it is there, and the same network and map unrolled for ten iterations, a few
minutes each on two cores. Total variation has the weight that is best on these very volumes. The table is the mean over
all volumes of the embedded validation set, the picture the middle slice of the first.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from deqjax import model_folders
from deqjax.config import read_config
from deqjax.maps import PrimalDual
from deqjax.priors import TotalVariation
from deqjax.reconstruct import Reconstructor
from deqjax.report import comparison, metrics_table
from deqjax.solvers import Anderson
from deqjax.training.evaluate import Volume, evaluate_file
from deqjax.types import Params
from evaluate import validation_files
from train import train

ROOT = Path(__file__).parents[1]
QUICKSTART = ROOT / "configs" / "quickstart.toml"
UNROLLED = ("solver.type=Picard", "solver.max_steps=11", "solver.rtol=0.0", "adjoint.type=Unrolled", "inference=false")
WEIGHTS = (0.002, 0.005, 0.01, 0.02, 0.04)
NUMBERS = ("PSNR", "SSIM", "steps", "residual")

Method = tuple[Reconstructor, Params]


def trained(name: str, *overrides: str) -> Method:
    """The quickstart with changes, from runs/NAME; trained where it is not there yet."""
    out = Path("runs") / name
    if not (out / "model").exists():
        train(read_config(QUICKSTART, overrides), out, "python docs/make_comparison.py")
    return model_folders.load(out / "model")


def mean(volumes: list[Volume], number: str) -> float:
    return float(np.mean([float(volume.row[number]) for volume in volumes]))


def main() -> None:
    config = read_config(QUICKSTART)
    files = validation_files(config)
    reconstruct: Callable[[Method], list[Volume]] = lambda method: [evaluate_file(*method, p, config) for p in files]

    equilibrium = trained("quickstart")
    recon, params = unrolled = trained("quickstart_unrolled", *UNROLLED, "train.jacobian.weight=0.0")
    longer = recon.replace(solver=replace(recon.solver, max_steps=31))
    solver = Anderson(max_steps=300, rtol=1e-3)
    variations = [reconstruct((Reconstructor(PrimalDual(TotalVariation(), w), solver), {})) for w in WEIGHTS]
    results = {
        "total variation": max(variations, key=lambda volumes: mean(volumes, "PSNR")),
        "unrolled": reconstruct(unrolled),
        "unrolled, run 3 x as long": reconstruct((longer, params)),
        "deep equilibrium": reconstruct(equilibrium),
    }
    first = results["unrolled"][0]
    zero_filled = {number: mean(results["unrolled"], f"{number} zero-filled") for number in ("PSNR", "SSIM")}
    rows = [{"method": name} | {key: mean(volumes, key) for key in NUMBERS} for name, volumes in results.items()]
    title = f"{len(files)} invented brains, four coils, 4x"
    metrics_table([{"method": "zero-filled"} | zero_filled, *rows], title, means=False)

    assert first.target is not None
    middle = len(first.target) // 2
    columns = {"target": first.target[middle], "zero-filled": first.zero_filled[middle]}
    captions = {"zero-filled": f"{first.row['PSNR zero-filled']:.1f} dB, SSIM {first.row['SSIM zero-filled']:.3f}"}
    for name, (volume, *_) in results.items():
        columns[name] = volume.image[middle]
        captions[name] = f"{volume.row['PSNR']:.1f} dB, SSIM {volume.row['SSIM']:.3f}"
    comparison(ROOT / "docs" / "comparison.png", columns, captions=captions)


if __name__ == "__main__":
    main()
