"""The commands of reconstruction: train, evaluate, info, models, configs, masks."""

import argparse
import textwrap
from pathlib import Path

import numpy as np

from deqjax import masks, model_folders
from deqjax.atomic_write import atomic_file
from deqjax.config import build, override, read_table
from deqjax.data import Scan, describe, list_files, open_scan
from deqjax.masks import realised_acceleration
from deqjax.registration import trained_networks
from deqjax.run.configs import find_config, run_folder, shipped_configs
from deqjax.run.evaluation import evaluate, evaluate_command
from deqjax.run.experiment import validation_files
from deqjax.run.registration_experiment import evaluate_registration
from deqjax.run.training_run import train
from deqjax.types import Mask

OVERRIDES = "Any key of the config can be changed: --section.key=value."


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add the commands of reconstruction."""
    command = add_command(
        commands,
        "train",
        train_config,
        "train an experiment, and evaluate the model",
        f"""
        Train the experiment of a config, and leave in its folder the resolved config, checkpoints, a log, the model and
        its evaluation. Run the same command again to resume a run that was stopped. {OVERRIDES}

        examples:
          deqjax train quickstart
          deqjax train my.toml --data.train=FOLDER --data.val=FOLDER --out=runs/mine
          deqjax train brain_small --phase.train.steps=500 --map.net.features=24
          deqjax train my.toml --phase.train.learning_rate=1e-4 --out=runs/slower --resume-from=runs/mine
        """,
        takes_overrides=True,
    )
    command.add_argument("config", help="a TOML file, or the name of a config that comes with deqjax (deqjax configs)")
    command.add_argument("--out", metavar="FOLDER", help="folder of the run, by default runs/NAME")
    command.add_argument(
        "--resume-from", type=Path, metavar="RUN", help="start from the newest checkpoint of a run with other settings"
    )

    command = add_command(
        commands,
        "evaluate",
        evaluate_model,
        "evaluate a model on files: table, CSV, pictures and a page",
        f"""
        Reconstruct files with a model and write a table, a CSV file, pictures and one HTML page. {OVERRIDES}

        examples:
          deqjax evaluate brain-small --data='val/*.h5' --out=results
          deqjax evaluate runs/mine/model --mask.acceleration=8 --inference.max_steps=200
        """,
        takes_overrides=True,
    )
    command.add_argument("model", help="the name of a model (deqjax models), a model folder, or the config of a run")
    command.add_argument("--data", default="", metavar="FILES", help="a file, a folder or a glob pattern")
    command.add_argument("--out", type=Path, metavar="FOLDER", help="a new folder for the results")
    command.add_argument(
        "--trust-code", action="store_true", help="let the config of the model import classes named module:Class"
    )

    command = add_command(
        commands,
        "info",
        show_files,
        "show what files hold, and what would be done with them",
        """
        Print what each file holds: its format, its size, its coils and how it is sampled. Then print what an evaluation
        would do with it.

        example:
          deqjax info meas.h5
        """,
    )
    command.add_argument("files", nargs="+", metavar="FILE", help="files, folders or glob patterns")

    add_command(commands, "models", list_models, "list the models that come with deqjax")
    add_command(commands, "configs", list_configs, "list the configs that come with deqjax")

    command = add_command(
        commands,
        "masks",
        show_masks,
        "list the sampling masks, or make one",
        """
        List the sampling masks with their realised acceleration, or make one and save it. The fields of a mask are set
        with --mask.key=value.

        examples:
          deqjax masks
          deqjax masks PoissonDisc --shape 320 320 --mask.acceleration=8 --out=mask.npy
        """,
        takes_overrides=True,
    )
    command.add_argument("name", nargs="?", help="the type of a mask")
    command.add_argument("--shape", nargs="+", type=int, default=[320, 320], metavar="N", help="([t,] y, x)")
    command.add_argument("--seed", default="0", help="an integer or a file name")
    command.add_argument("--out", type=Path, metavar="FILE.npy", help="where the mask is saved")


def add_command(
    commands: argparse._SubParsersAction, name: str, run, summary: str, text: str = "", takes_overrides: bool = False
) -> argparse.ArgumentParser:
    """Add one command: its name, its function of the parsed arguments, a summary, and a description with examples."""
    description = textwrap.dedent(text).strip() or f"{summary[0].upper()}{summary[1:]}."
    command = commands.add_parser(
        name,
        help=summary,
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    command.set_defaults(run=run, parser=command, takes_overrides=takes_overrides)
    return command


def train_config(args: argparse.Namespace) -> None:
    """Train the experiment of a config."""
    out = [f"out={args.out}"] if args.out else []
    train(args.config, [*args.overrides, *out], args.command_line, args.resume_from)


def evaluate_model(args: argparse.Namespace) -> None:
    """Evaluate a model on files."""
    model: str | Path = args.model
    if str(model).endswith(".toml"):
        path = find_config(model)
        model = run_folder(path, read_table(path).get("out", "")) / "model"
    shipped = model in [*model_folders.models(), *trained_networks.models()]
    folder = Path("runs") / model if shipped else Path(model).parent
    out = args.out or folder / "evaluation"
    command = evaluate_command(model, out, args.data, args.overrides, args.trust_code)
    config_file = model_folders.check_model_folder(trained_networks.find_network(model)) / model_folders.CONFIG
    if "network" in read_table(config_file):
        overrides = [*args.overrides, *([f"data.val={args.data}"] if args.data else [])]
        evaluate_registration(model, overrides, out, command, trust_code=args.trust_code)
        return
    recon, params = model_folders.load(model, args.overrides, trust_code=args.trust_code)
    config = model_folders.load_config(model, args.overrides, trust_code=args.trust_code)
    files = list_files(args.data) if args.data else validation_files(config)
    evaluate(recon, params, config, files, out, command, folder / "training.png")


def show_files(args: argparse.Namespace) -> None:
    """Print what files hold, and what would be done with them."""
    for pattern in args.files:
        for file in list_files(pattern):
            scan = open_scan(file)
            print(describe(scan), *(f"  {line}" for line in plan_of(scan)), sep="\n")


def plan_of(scan: Scan) -> list[str]:
    """Describe what an evaluation does with a scan, one line for each step.

    >>> plan_of(Scan(np.zeros((3, 8, 6), np.complex64), mask=np.array([[1, 0, 1, 0, 0, 1]])))
    ['It is undersampled, acceleration 2.00: it is reconstructed with its own mask, without a target.']
    """
    lines = []
    if scan.mask is None:
        lines.append("It is fully sampled: the mask of the model's config undersamples it, and metrics are computed.")
    else:
        acceleration = f"acceleration {realised_acceleration(scan.mask):.2f}"
        lines.append(f"It is undersampled, {acceleration}: it is reconstructed with its own mask, without a target.")
    if scan.kspace.ndim == 4:
        lines.append("The coil sensitivities are estimated from the fully sampled centre lines.")
    if scan.crop is not None:
        lines.append(f"The images are cropped to {scan.crop[0]} x {scan.crop[1]}.")
    if scan.target is not None:
        lines.append("The target of the file is the reference of the metrics.")
    return lines


def list_models(_: argparse.Namespace) -> None:
    """Print the names of the models, first those of reconstruction."""
    print("\n".join([*model_folders.models(), *trained_networks.models()]))


def list_configs(_: argparse.Namespace) -> None:
    """Print the names of the configs."""
    print("\n".join(shipped_configs()))


def show_masks(args: argparse.Namespace) -> None:
    """Print the masks with their realised acceleration, or make one and save it."""
    seed = int(args.seed) if args.seed.isdecimal() else args.seed
    if args.name is None:
        print("\n".join(name for name in masks.__all__ if isinstance(getattr(masks, name), type)))
        return
    table = {"mask": {"type": args.name}}
    for text in args.overrides:
        override(table, text)
    mask = build(Mask, table["mask"], "deqjax masks")(tuple(args.shape), seed)
    print(f"{args.name}: shape {mask.shape}, realised acceleration {realised_acceleration(mask):.2f}")
    if args.out is not None:
        with atomic_file(args.out, overwrite=False) as temporary, temporary.open("wb") as file:
            np.save(file, mask)
