"""The commands of registration: register, attention."""

import argparse
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from deqjax.registration.attention.line_examples import draw_examples
from deqjax.registration.files import read_image, write_displacement, write_image
from deqjax.registration.grid import Grid
from deqjax.registration.itk_transforms import ras_to_lps
from deqjax.registration.measures import volume_change
from deqjax.registration.network_maps import register_by_network
from deqjax.registration.pictures import save_picture
from deqjax.registration.similarities import MIND, MSE, NCC, NGF, LocalNCC, MutualInformation
from deqjax.registration.slices import check_parallel
from deqjax.registration.stages import STAGES, named_stage, register_stages
from deqjax.registration.starts import STARTS, find_start
from deqjax.registration.trained_networks import TrainedNetwork, load_network
from deqjax.registration.transform_files import write_transform
from deqjax.registration.transforms import linear_map
from deqjax.registration.types import Map, Similarity
from deqjax.registration.warping import resample, warp
from deqjax.run.outputs import check_output_folder
from deqjax.run.reconstruction_commands import add_command
from deqjax.run.transform_commands import add_fill, print_volume

SIMILARITIES: dict[str, Similarity] = {
    "mse": MSE(),
    "ncc": NCC(),
    "local-ncc": LocalNCC(),
    "mi": MutualInformation(),
    "ngf": NGF(),
    "mind": MIND(),
}

RESULTS = ("displacement.nii.gz", "warped.nii.gz", "registration.png", "affine.tfm", "inverse.nii.gz")
"""The names of the files that register writes."""


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add the commands of registration."""
    command = add_command(
        commands,
        "register",
        register_files,
        "register two NIfTI images",
        """
        Find the map from points of the fixed image to points of the moving image, in stages. The folder OUT gets
        displacement.nii.gz, the warped moving image warped.nii.gz, the picture registration.png, and, if all stages are
        linear, affine.tfm. The affine of
        every file places it in the world, that of the mask too. NaN voxels do not count. The exit code is 1 if the
        last stage did not converge or the image left the view; the results are written nevertheless.

        examples:
          deqjax register fixed.nii.gz moving.nii.gz out
          deqjax register fixed.nii.gz moving.nii.gz out --stages affine free-form
          deqjax register fixed.nii.gz moving.nii.gz out --stages affine syn   # a map without folds
          deqjax register fixed.nii.gz moving.nii.gz out --model voxelmorph-brain-2d --refine
        """,
    )
    command.add_argument("fixed", type=Path, metavar="FIXED")
    command.add_argument("moving", type=Path, metavar="MOVING")
    command.add_argument("output", type=Path, metavar="OUT", help="the folder of the results")
    command.add_argument("--stages", nargs="+", default=["affine"], choices=STAGES)
    command.add_argument(
        "--model",
        metavar="NAME",
        help="after the stages, apply a trained network: its name (deqjax models) or its model folder",
    )
    command.add_argument("--refine", action="store_true", help="after the model, add a free-form stage")
    command.add_argument(
        "--similarity",
        choices=list(SIMILARITIES),
        help="by default ncc for rigid and affine, and local-ncc for the other stages",
    )
    command.add_argument(
        "--levels", nargs="+", type=float, metavar="MM", help="the voxel sizes in mm, from coarse to fine"
    )
    command.add_argument(
        "--start",
        choices=STARTS,
        help="where to start: from the headers as they are, the centres of mass, the principal axes, or the best of "
        "many rotations; by default the better of header and centres",
    )
    command.add_argument("--mask", type=Path, metavar="FILE", help="weights on the fixed image")
    add_fill(command)
    command.add_argument("--inverse", action="store_true", help="write inverse.nii.gz on the grid of the moving image")
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
        "attention",
        attention_files,
        "draw examples of registration by attention",
        """
        Draw four examples of registration by attention with known answers, and print their mean errors. Each picture
        shows the two functions, their feature maps, the attention matrix, and what is found with its closed form.

        example:
          deqjax attention pictures
        """,
    )
    command.add_argument("output", type=Path, metavar="OUT", help="the folder of the pictures")


def register_files(args: argparse.Namespace) -> int:
    """Register two images in stages; write the displacement, the warped image and a picture.

    Returns:
      0, or 1 if the last stage did not converge or a stage moved the image out of view.
    """
    check_output_folder(args.output, [args.fixed, args.moving], RESULTS)
    (fixed, fixed_grid), (moving, moving_grid) = read_image(args.fixed), read_image(args.moving)
    check_parallel(fixed_grid, moving_grid, (str(args.fixed), str(args.moving)))
    mask = None if args.mask is None else placed_mask(args.mask, args.fixed, fixed_grid)
    similarity = None if args.similarity is None else SIMILARITIES[args.similarity]
    levels = None if args.levels is None else tuple(args.levels)
    model = _model_for(args, fixed_grid)
    names = [*args.stages, *(["model"] if model else []), *(["free-form"] if args.refine else [])]
    stages = [
        None if name == "model" else named_stage(name, similarity, args.spacing, args.bending, levels) for name in names
    ]
    first = named_stage(args.stages[0], similarity).similarity
    mapping: Map
    mapping, start = find_start(args.start, fixed, moving, fixed_grid, moving_grid, first, mask)
    print(f"start {start}", flush=True)
    warnings = []
    grids: dict[str, Any] = {"fixed_grid": fixed_grid, "moving_grid": moving_grid}
    for number, (name, stage) in enumerate(zip(names, stages, strict=True), 1):
        if stage is None:
            assert model is not None
            network, parameters, voxel_size, _ = model
            mapping = register_by_network(fixed, moving, network, parameters, mapping, voxel_size=voxel_size, **grids)
            print(name, end="  ")
            print_volume(volume_change(mapping.displacement(fixed_grid), fixed_grid), fixed_grid)
            continue
        (found,) = register_stages(fixed, moving, [stage], mask, mapping, **grids)
        mapping, status = found.map, found.status
        print(name, *(f"{measure} {float(value):.4g}" for measure, value in found.measures.items()), sep="  ")
        print(f"{name}  {status}", flush=True)
        if not status.in_view or (number == len(names) and not status.converged):
            warnings.append(f"warning: {name}: {status}; look at the result before you use it")
    args.output.mkdir(parents=True, exist_ok=True)
    moving = jnp.where(jnp.isnan(moving), args.fill, moving)
    warped = warp(moving, mapping, fixed_grid, moving_grid, fill=args.fill)
    write_displacement(args.output / "displacement.nii.gz", mapping, fixed_grid)
    write_image(args.output / "warped.nii.gz", warped, fixed_grid)
    save_picture(args.output / "registration.png", fixed, warped, mapping, fixed_grid)
    for name in RESULTS[3:]:
        (args.output / name).unlink(missing_ok=True)  # of an earlier run
    if linear_map(mapping) is not None and np.all(ras_to_lps(fixed_grid)[:2] == -1):
        write_transform(args.output / "affine.tfm", mapping)
    if args.inverse:
        write_displacement(args.output / "inverse.nii.gz", mapping.inverse(), moving_grid)
    written = [name for name in RESULTS if (args.output / name).exists()]
    print(f"{', '.join(written[:-1])} and {written[-1]} are in {args.output}")
    for warning in warnings:
        print(warning, file=sys.stderr)
    return 1 if warnings else 0


def _model_for(args: argparse.Namespace, grid: Grid) -> TrainedNetwork | None:
    """Read the network of ``--model``, and check that it suits the images; None without the option."""
    if args.model is None:
        if args.refine:
            raise ValueError("--refine refines the map of a network: name one with --model")
        return None
    model = load_network(args.model)
    if model.ndim != grid.ndim:
        raise ValueError(f"{args.model}: registers {model.ndim}-D images, and {args.fixed} is {grid.ndim}-D")
    return model


def attention_files(args: argparse.Namespace) -> None:
    """Draw four examples of registration by attention, and print their mean errors."""
    for name, error in draw_examples(args.output).items():
        print(f"{name}.png  mean error {error:.5f}")


def placed_mask(path: Path, fixed_path: Path, fixed_grid: Grid) -> jax.Array:
    """Read a mask and place it on the grid of the fixed image by its own affine.

    Args:
      path: the file of the mask.
      fixed_path: the file of the fixed image, named in the error.
      fixed_grid: the grid of the fixed image.

    Returns:
      The weights, (*fixed_grid.shape); 0 beyond the mask, and for NaN.

    Raises:
      ValueError: if the mask has another dimension or lies in another plane, or no weight is inside the fixed image.
    """
    mask, grid = read_image(path)
    check_parallel(fixed_grid, grid, (str(fixed_path), str(path)), same_plane=True)
    placed = resample(jnp.nan_to_num(mask.real), grid, fixed_grid)
    if not bool(jnp.any(placed > 0)):
        raise ValueError(f"{path}: no weight above 0 lies inside {fixed_path}: check the affines of both files")
    return placed
