"""The command ``python -m deqjax.registration register|warp|jacobian|evaluate|attention``, on NIfTI images."""

import argparse
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from deqjax.registration.attention.line_examples import draw_examples
from deqjax.registration.files import read_displacement, read_image, write_displacement, write_image
from deqjax.registration.grid import Grid
from deqjax.registration.initial_maps import align_centres
from deqjax.registration.measures import dice, folded_fraction, sd_log_jacobian, volume_change
from deqjax.registration.pictures import save_picture
from deqjax.registration.registering import register
from deqjax.registration.regularizers import Bending
from deqjax.registration.similarities import MIND, MSE, NCC, NGF, LocalNCC, MutualInformation, Similarity
from deqjax.registration.transforms import Affine, Dense, FreeForm, Map, Rigid, Transform
from deqjax.registration.warping import warp

SIMILARITIES: dict[str, Similarity] = {
    "mse": MSE(),
    "ncc": NCC(),
    "local-ncc": LocalNCC(),
    "mi": MutualInformation(),
    "ngf": NGF(),
    "mind": MIND(),
}


def register_files(args: argparse.Namespace) -> None:
    """Register two images in stages; write the displacement, the warped image and a picture."""
    (fixed, fixed_grid), (moving, moving_grid) = read_image(args.fixed), read_image(args.moving)
    mask = None if args.mask is None else read_image(args.mask)[0]
    stages: dict[str, Transform] = {
        "rigid": Rigid(),
        "affine": Affine(),
        "free-form": FreeForm(args.spacing),
        "dense": Dense(args.spacing / 2),
    }
    mapping: Map = align_centres(fixed, moving, fixed_grid, moving_grid)
    for name in args.stages:
        found = register(
            fixed,
            moving,
            stages[name],
            SIMILARITIES[args.similarity],
            Bending(args.bending) if name == "free-form" else None,
            None if args.levels is None else tuple(args.levels),
            mask,
            mapping,
            fixed_grid=fixed_grid,
            moving_grid=moving_grid,
        )
        mapping = found.map
        print(
            name, *(f"{measure} {float(value):.4g}" for measure, value in found.measures.items()), sep="  ", flush=True
        )
    args.output.mkdir(parents=True, exist_ok=True)
    warped = warp(moving, mapping, fixed_grid, moving_grid)
    write_displacement(args.output / "displacement.nii.gz", mapping, fixed_grid)
    write_image(args.output / "warped.nii.gz", warped, fixed_grid)
    save_picture(args.output / "registration.png", fixed, warped, mapping, fixed_grid)
    print(f"displacement.nii.gz, warped.nii.gz and registration.png are in {args.output}")


def warp_file(args: argparse.Namespace) -> None:
    """Warp an image, or labels with --order 0, by a displacement."""
    (moving, moving_grid), mapping = read_image(args.moving), read_displacement(args.displacement)
    warped = warp(moving, mapping, mapping.grid, moving_grid, args.order)
    labels = args.order == 0 and bool(jnp.all(warped == jnp.round(warped)))
    write_image(args.output, np.asarray(warped, np.int32) if labels else warped, mapping.grid)


def jacobian_file(args: argparse.Namespace) -> None:
    """Write the change of volume by a displacement at every voxel."""
    mapping = read_displacement(args.displacement)
    volume = volume_change(mapping.vectors, mapping.grid)
    write_image(args.output, volume, mapping.grid)
    _print_volume(volume, mapping.grid)


def evaluate_files(args: argparse.Namespace) -> None:
    """Print the Dice overlap of every label in two label images."""
    (fixed, _), (warped, _) = read_image(args.fixed_labels), read_image(args.warped_labels)
    if fixed.shape != warped.shape:
        raise ValueError(
            f"label images of shapes {fixed.shape} and {warped.shape} cannot be compared: warp one of them first"
        )
    for label in np.unique(np.concatenate([np.unique(fixed), np.unique(warped)])):
        if label != 0:
            print(f"label {label:g}  dice {float(dice(fixed, warped, label)):.4f}")
    if args.displacement is not None:
        mapping = read_displacement(args.displacement)
        _print_volume(volume_change(mapping.vectors, mapping.grid), mapping.grid)


def attention_files(args: argparse.Namespace) -> None:
    """Draw four examples of registration by attention, and print their mean errors."""
    for name, error in draw_examples(args.output).items():
        print(f"{name}.png  mean error {error:.5f}")


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m deqjax.registration", description=__doc__)
    commands = parser.add_subparsers(required=True)

    command = commands.add_parser("register", help=register_files.__doc__)
    command.add_argument("fixed", type=Path)
    command.add_argument("moving", type=Path)
    command.add_argument("output", type=Path, help="the folder of the results")
    command.add_argument("--stages", nargs="+", default=["affine"], choices=["rigid", "affine", "free-form", "dense"])
    command.add_argument("--similarity", default="ncc", choices=list(SIMILARITIES))
    command.add_argument("--levels", nargs="+", type=float, help="the voxel sizes in mm, from coarse to fine")
    command.add_argument("--mask", type=Path, help="weights on the fixed image")
    command.add_argument(
        "--spacing",
        type=float,
        default=16.0,
        help="the spacing of control points and twice the smoothing of dense, in mm",
    )
    command.add_argument("--bending", type=float, default=1.0, help="the weight of the bending energy, in mm^2")
    command.set_defaults(run=register_files)

    command = commands.add_parser("warp", help=warp_file.__doc__)
    command.add_argument("moving", type=Path)
    command.add_argument("displacement", type=Path)
    command.add_argument("output", type=Path)
    command.add_argument("--order", type=int, default=1, choices=[0, 1, 3])
    command.set_defaults(run=warp_file)

    command = commands.add_parser("jacobian", help=jacobian_file.__doc__)
    command.add_argument("displacement", type=Path)
    command.add_argument("output", type=Path)
    command.set_defaults(run=jacobian_file)

    command = commands.add_parser("evaluate", help=evaluate_files.__doc__)
    command.add_argument("fixed_labels", type=Path)
    command.add_argument("warped_labels", type=Path)
    command.add_argument("--displacement", type=Path)
    command.set_defaults(run=evaluate_files)

    command = commands.add_parser("attention", help=attention_files.__doc__)
    command.add_argument("output", type=Path, help="the folder of the pictures")
    command.set_defaults(run=attention_files)
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Run the command; an invalid input ends it with a one-line error message."""
    args = parse(arguments)
    try:
        args.run(args)
    except ValueError as error:
        sys.exit(f"error: {error}")


def _print_volume(volume: jnp.ndarray, grid: Grid) -> None:
    everywhere = jnp.ones(grid.shape, bool)
    folded, spread = folded_fraction(volume, everywhere), sd_log_jacobian(volume, everywhere)
    print(f"folded {100 * float(folded):.3f} %  sd of log volume change {float(spread):.4f}")


if __name__ == "__main__":
    main()
