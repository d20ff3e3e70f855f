"""The command ``deqjax``."""

import argparse
import os
import shlex
import sys
from collections.abc import Sequence

import deqjax
from deqjax.run import (
    calibration,
    population_commands,
    reconstruct_command,
    reconstruction_commands,
    registration_commands,
    study_command,
    transform_commands,
)
from deqjax.run.compilation_cache import use_compilation_cache
from deqjax.training import NonFiniteError

DONE, FAILED, WRONG_USE, INTERRUPTED = 0, 1, 2, 130
"""Exit codes."""

DESCRIPTION = """\
Reconstruct MR images with deep equilibrium models, and register images.

examples:
  deqjax reconstruct FILE -o image.nii.gz       reconstruct the k-space in a file
  deqjax train quickstart                       train a small model on simulated brains, in minutes
  deqjax train brain_small --data.train=FOLDER  train on your files
  deqjax evaluate brain-small --data=FILES      evaluate a model that comes with deqjax
  deqjax study thesis_losses --reduced          train and compare a grid of experiments
  deqjax info FILE                              show what a file holds
  deqjax register FIXED MOVING OUT              register two NIfTI images

Every command explains itself: deqjax COMMAND --help.
exit codes: 0 done, 1 failed, 2 wrong use, 130 interrupted
"""


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of the command line, with one subparser for each command."""
    parser = argparse.ArgumentParser(
        prog="deqjax", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"deqjax {deqjax.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    reconstruct_command.add_reconstruct(commands)
    reconstruction_commands.add_commands(commands)
    study_command.add_study(commands)
    calibration.add_calibrate(commands)
    registration_commands.add_commands(commands)
    transform_commands.add_commands(commands)
    population_commands.add_commands(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    >>> main(["models"])
    brain
    brain-certified
    brain-dncnn
    brain-small
    voxelmorph-brain-2d
    0
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    parser = make_parser()
    _complete(parser)
    args, rest = parser.parse_known_args(_joined(arguments))
    overrides = [text for text in rest if "=" in text and (text.startswith("--") or not text.startswith("-"))]
    unknown = [text for text in rest if text not in overrides]
    if unknown or (overrides and not args.takes_overrides):
        args.parser.error(f"unrecognized arguments: {shlex.join(unknown or overrides)}")
    args.overrides, args.command_line = overrides, shlex.join(["deqjax", *arguments])
    use_compilation_cache()
    try:
        code = args.run(args)  # a command returns None, or an exit code
    except KeyboardInterrupt:
        print(f"interrupted; to go on, run again: {args.command_line}", file=sys.stderr, flush=True)
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains once more at its exit
        return FAILED
    except MemoryError as error:
        print(f"error: there is not enough memory; {' '.join(str(error).split())}".rstrip("; "), file=sys.stderr)
        return FAILED
    except (ValueError, OSError, ImportError, NonFiniteError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return FAILED
    return DONE if code is None else code


def _joined(arguments: Sequence[str]) -> list[str]:
    """Join ``--section.key value`` to ``--section.key=value``: argparse knows nothing of these options."""
    joined: list[str] = []
    for text in arguments:
        dotted = bool(joined) and joined[-1].startswith("--") and "." in joined[-1] and "=" not in joined[-1]
        if dotted and not text.startswith("--"):
            joined[-1] += f"={text}"
        else:
            joined.append(text)
    return joined


def _complete(parser: argparse.ArgumentParser) -> None:
    """Offer completions to the shell, if argcomplete is installed."""
    try:
        import argcomplete
    except ImportError:
        return
    argcomplete.autocomplete(parser)
