"""Train every variant of benchmarks/experiments.toml: python benchmarks/experiments.py --train=FILES --val=FILES

Each run stays in runs/experiments, so that what was done is not done again. The table says how good each variant is on
the validation files at 4x, and how many evaluations it took.
"""

import argparse
import tomllib
from pathlib import Path

from brain_models import FOUR, NUMBERS, score
from rich.console import Console
from rich.table import Table

from deqjax.config import read_config
from deqjax.data import list_files
from train import train

HERE = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", required=True, help="files, a folder or a glob to train on")
    parser.add_argument("--val", required=True, help="files, a folder or a glob of fully sampled single-coil volumes")
    parser.add_argument("--only", nargs="+", help="names of experiments")
    options = parser.parse_args()
    plan = tomllib.loads((HERE / "experiments.toml").read_text())
    table = Table("experiment", *NUMBERS, title="4x, centre fraction 0.08", title_justify="left")
    for name, changes in plan["experiment"].items():
        if options.only and name not in options.only:
            continue
        files = [f"data.train={options.train}", f"data.val={options.val}"]
        config = read_config(HERE.parent / plan["config"], [*files, *plan["overrides"], *changes])
        out = Path("runs/experiments") / name.replace(" ", "_").replace(",", "")
        train(config, out, f"python benchmarks/experiments.py --only {name!r}")
        numbers, _ = score(str(out / "model"), list_files(options.val), FOUR, 0.0)
        table.add_row(name, *(f"{numbers[key]:.3f}" for key in NUMBERS))
        Console(width=140).print(table)


if __name__ == "__main__":
    main()
