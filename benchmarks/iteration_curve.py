"""PSNR over the number of iterations: python benchmarks/iteration_curve.py --val=FILES [--picture OUT.png] MODEL ...

Every MODEL, the name of a model that comes with the package or the model folder of a run, is run for a fixed number of
evaluations of its map at 4x, whatever the residual is. The table shows the PSNR over that number. An equilibrium does
not change once it has converged. A network that was unrolled for ten iterations was not trained for more than ten.
"""

import argparse
from pathlib import Path

from brain_models import FOUR, label, score
from rich.console import Console
from rich.progress import track
from rich.table import Table

from deqjax.data import list_files

EVALUATIONS = (6, 8, 11, 16, 21, 31, 46, 61)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="MODEL", help="the name of a model, or a model folder")
    parser.add_argument(
        "--val", required=True, help="fully sampled single-coil volumes: a file, a folder or a glob pattern"
    )
    parser.add_argument(
        "--slices", type=int, nargs=2, metavar=("FIRST", "LAST"), help="the slices of every file; default: all"
    )
    parser.add_argument("--picture", type=Path, metavar="OUT.png", help="draw the curves")
    options = parser.parse_args()
    overrides = [*FOUR, *([f"data.slices={options.slices}"] if options.slices else [])]
    files = list_files(options.val)
    curves: dict[str, list[float]] = {model: [] for model in options.models}
    for steps in track(EVALUATIONS, description="evaluations"):
        for model, curve in curves.items():
            curve.append(score(f"{model}@{steps}", files, overrides, 0.0)[0]["PSNR"])
    table = Table("evaluations", *map(str, EVALUATIONS))
    for model, curve in curves.items():
        table.add_row(model, *(f"{decibels:.2f}" for decibels in curve))
    Console(width=140).print(table)
    if options.picture:
        draw(curves, options.picture)


def draw(curves: dict[str, list[float]], path: Path) -> None:
    """Draw the PSNR over the number of evaluations, one line for each model."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    for model, curve in curves.items():
        axes.plot(EVALUATIONS, curve, "o-", label=label(model))
    axes.set(xlabel="evaluations of the map", ylabel="PSNR (dB), 4x")
    axes.legend()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
