"""What each part of a model contributes: python benchmarks/experiments.py --train=FILES --val=FILES [--only NAME ...]

The script trains every variant of benchmarks/experiments.toml. The runs stay in runs/experiments, so that a second call
does not repeat them. The table shows the mean metrics of each variant on the validation files at 4x, with the number of
evaluations of the map.
"""

import argparse
import tomllib
from pathlib import Path

from brain_models import FOUR, METRICS, score
from rich.console import Console
from rich.table import Table

from deqjax.data import list_files
from deqjax.run.training_run import train

HERE = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", required=True, help="the training files: a file, a folder or a glob pattern")
    parser.add_argument(
        "--val", required=True, help="fully sampled single-coil volumes: a file, a folder or a glob pattern"
    )
    parser.add_argument("--only", nargs="+", metavar="NAME", help="the names of the experiments; default: all")
    options = parser.parse_args()
    plan = tomllib.loads((HERE / "experiments.toml").read_text())
    files = [f"data.train={options.train}", f"data.val={options.val}"]
    table = Table("experiment", *METRICS, title="4x, centre fraction 0.08", title_justify="left")
    for name, changes in plan["experiment"].items():
        if options.only and name not in options.only:
            continue
        out = Path("runs/experiments") / name.replace(" ", "_").replace(",", "")
        overrides = [*files, *plan["overrides"], *changes, f"out={out}"]
        run = train(HERE.parent / plan["config"], overrides, f"python benchmarks/experiments.py --only {name!r}")
        metrics, _ = score(str(run.model), list_files(options.val), FOUR, 0.0)
        table.add_row(name, *(f"{metrics[key]:.3f}" for key in METRICS))
        Console(width=140).print(table)


if __name__ == "__main__":
    main()
