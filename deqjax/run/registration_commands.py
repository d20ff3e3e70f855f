"""The commands of registration: register, warp, jacobian, overlap, attention."""

import argparse
from pathlib import Path

import jax
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
from deqjax.registration.similarities import MIND, MSE, NCC, NGF, LocalNCC, MutualInformation
from deqjax.registration.transforms import Affine, Dense, FreeForm, Rigid
from deqjax.registration.types import Map, Similarity, Transform
from deqjax.registration.warping import warp
from deqjax.run.reconstruction_commands import add_command

SIMILARITIES: dict[str, Similarity] = {
    "mse": MSE(),
    "ncc": NCC(),
    "local-ncc": LocalNCC(),
    "mi": MutualInformation(),
    "ngf": NGF(),
    "mind": MIND(),
}


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add the commands of registration."""
    command = add_command(
        commands,
        "register",
        register_files,
        "register two NIfTI images",
        """
        Find the map from points of the fixed image to points of the moving image, in stages. The folder OUT gets
        displacement.nii.gz, the warped moving image warped.nii.gz, and the picture registration.png.

        examples:
          deqjax register fixed.nii.gz moving.nii.gz out
          deqjax register fixed.nii.gz moving.nii.gz out --stages affine free-form --similarity local-ncc
        """,
    )
    command.add_argument("fixed", type=Path, metavar="FIXED")
    command.add_argument("moving", type=Path, metavar="MOVING")
    command.add_argument("output", type=Path, metavar="OUT", help="the folder of the results")
    command.add_argument("--stages", nargs="+", default=["affine"], choices=["rigid", "affine", "free-form", "dense"])
    command.add_argument("--similarity", default="ncc", choices=list(SIMILARITIES))
    command.add_argument(
        "--levels", nargs="+", type=float, metavar="MM", help="the voxel sizes in mm, from coarse to fine"
    )
    command.add_argument("--mask", type=Path, metavar="FILE", help="weights on the fixed image")
    command.add_argument(
        "--spacing",
        type=float,
        default=16.0,
        metavar="MM",
        help="the spacing of control points and twice the smoothing of dense, in mm",
    )
    command.add_argument(
        "--bending", type=float, default=1.0, metavar="WEIGHT", help="the weight of the bending energy, in mm^2"
    )

    command = add_command(
        commands,
        "warp",
        warp_file,
        "warp an image or labels by a displacement",
        """
        Warp a moving image by a displacement that deqjax register has written. Use --order 0 for labels.

        example:
          deqjax warp moving.nii.gz out/displacement.nii.gz warped.nii.gz
        """,
    )
    command.add_argument("moving", type=Path, metavar="MOVING")
    command.add_argument("displacement", type=Path, metavar="DISPLACEMENT")
    command.add_argument("output", type=Path, metavar="OUT")
    command.add_argument(
        "--order", type=int, default=1, choices=[0, 1, 3], help="0: nearest voxel, 1: linear, 3: cubic B-splines"
    )

    command = add_command(
        commands,
        "jacobian",
        jacobian_file,
        "write the change of volume by a displacement",
        """
        Write the Jacobian determinant of a displacement at every voxel, and print how much of it folds.

        example:
          deqjax jacobian out/displacement.nii.gz jacobian.nii.gz
        """,
    )
    command.add_argument("displacement", type=Path, metavar="DISPLACEMENT")
    command.add_argument("output", type=Path, metavar="OUT")

    command = add_command(
        commands,
        "overlap",
        overlap_files,
        "compare two label images",
        """
        Print the Dice overlap of every label in two label images on one grid.

        example:
          deqjax overlap fixed_labels.nii.gz warped_labels.nii.gz --displacement out/displacement.nii.gz
        """,
    )
    command.add_argument("fixed_labels", type=Path, metavar="FIXED")
    command.add_argument("warped_labels", type=Path, metavar="WARPED")
    command.add_argument("--displacement", type=Path, metavar="FILE", help="print how much of it folds, too")

    command = add_command(
        commands,
        "attention",
        attention_files,
        "draw examples of registration by attention",
        """
        Draw four examples of registration by attention with known answers, and print their mean errors.

        example:
          deqjax attention pictures
        """,
    )
    command.add_argument("output", type=Path, metavar="OUT", help="the folder of the pictures")


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


def overlap_files(args: argparse.Namespace) -> None:
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


def _print_volume(volume: jax.Array, grid: Grid) -> None:
    everywhere = jnp.ones(grid.shape, bool)
    folded, spread = folded_fraction(volume, everywhere), sd_log_jacobian(volume, everywhere)
    print(f"folded {100 * float(folded):.3f} %  sd of log volume change {float(spread):.4f}")
