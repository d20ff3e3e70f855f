"""The command ``deqjax study``."""

import argparse
from pathlib import Path

from deqjax.run.reconstruction_commands import OVERRIDES, add_command
from deqjax.run.study_cells import EvaluationCell, plan
from deqjax.run.study_report import write_report
from deqjax.run.study_running import run_cells
from deqjax.run.study_settings import find_study, read_study, shipped_studies


def add_study(commands: argparse._SubParsersAction) -> None:
    """Add the command ``study``."""
    command = add_command(
        commands,
        "study",
        run_study,
        "train and evaluate a grid of experiments, and compare them",
        f"""
        Train and evaluate every cell of a study that is missing, and write CSV files and a page with means, intervals,
        comparisons with the baseline, curves, costs and pictures. Run the same command again to resume a study that was
        stopped, or on another terminal to work on it together. A cell with changed settings is a new cell. {OVERRIDES}
        The levels of the axes come after these changes.

        The studies that come with deqjax: {", ".join(shipped_studies())}. Without --data.train and --data.val they use
        simulated brains.

        examples:
          deqjax study thesis_losses --reduced
          deqjax study thesis_losses --data.train=FILES --data.val=FILES --processes 2
          deqjax study my.toml --only loss=MSE,L1 --only seed=0
        """,
        takes_overrides=True,
    )
    command.add_argument("study", help="a TOML file, or the name of a study that comes with deqjax")
    command.add_argument("--out", type=Path, metavar="FOLDER", help="folder of the study, by default runs/studies/NAME")
    command.add_argument("--processes", type=int, default=1, metavar="N", help="number of processes, by default 1")
    command.add_argument(
        "--only", action="append", default=[], metavar="AXIS=LEVEL,...", help="leave out the other levels of an axis"
    )
    command.add_argument("--reduced", action="store_true", help="the reduced form of the study, which takes minutes")


def run_study(args: argparse.Namespace) -> int:
    """Run a study, and return 1 if a cell is missing at the end."""
    if args.processes < 1:
        raise ValueError(f"--processes is {args.processes}: give at least 1")
    study = read_study(find_study(args.study), args.overrides, args.only, args.reduced)
    out = args.out or Path("runs/studies") / (study.name + "_reduced" * args.reduced)
    cells = plan(study, out)
    failures = run_cells(cells, args.command_line, args.processes)
    write_report(study, [cell for cell in cells if isinstance(cell, EvaluationCell)], out, args.command_line)
    for failure in failures:
        print(f"failed: {failure}")
    return int(not all(cell.done for cell in cells))
