"""The commands of registration: register, warp, jacobian, overlap, attention."""

import argparse
import os
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from deqjax.registration.attention.line_examples import draw_examples
from deqjax.registration.files import (
    read_array,
    read_displacement,
    read_image,
    read_labels,
    write_displacement,
    write_image,
)
from deqjax.registration.grid import Grid
from deqjax.registration.measures import dice, folded_fraction, sd_log_jacobian, volume_change
from deqjax.registration.network_maps import register_by_network
from deqjax.registration.pictures import save_picture
from deqjax.registration.registering import register
from deqjax.registration.regularizers import Bending
from deqjax.registration.similarities import MIND, MSE, NCC, NGF, LocalNCC, MutualInformation
from deqjax.registration.slices import check_parallel
from deqjax.registration.starts import STARTS, find_start
from deqjax.registration.trained_networks import TrainedNetwork, load_network
from deqjax.registration.transforms import Affine, Dense, FreeForm, Rigid
from deqjax.registration.types import Map, Similarity, Transform
from deqjax.registration.warping import resample, same_voxels, warp, warp_labels
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
        displacement.nii.gz, the warped moving image warped.nii.gz, and the picture registration.png. The affine of
        every file places it in the world, that of the mask too. NaN voxels do not count. The exit code is 1 if the
        last stage did not converge or the image left the view; the results are written nevertheless.

        examples:
          deqjax register fixed.nii.gz moving.nii.gz out
          deqjax register fixed.nii.gz moving.nii.gz out --stages affine free-form --similarity local-ncc
          deqjax register fixed.nii.gz moving.nii.gz out --model voxelmorph-brain-2d --refine
        """,
    )
    command.add_argument("fixed", type=Path, metavar="FIXED")
    command.add_argument("moving", type=Path, metavar="MOVING")
    command.add_argument("output", type=Path, metavar="OUT", help="the folder of the results")
    command.add_argument("--stages", nargs="+", default=["affine"], choices=["rigid", "affine", "free-form", "dense"])
    command.add_argument(
        "--model",
        metavar="NAME",
        help="after the stages, apply a trained network: its name (deqjax models) or its model folder",
    )
    command.add_argument("--refine", action="store_true", help="after the model, add a free-form stage")
    command.add_argument("--similarity", default="ncc", choices=list(SIMILARITIES))
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
    _add_fill(command)
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
        Warp a moving image, or every image of a series (x, y, z, t), by a displacement that deqjax register has
        written. Use --labels for labels: they keep their numbers.

        examples:
          deqjax warp moving.nii.gz out/displacement.nii.gz warped.nii.gz
          deqjax warp labels.nii.gz out/displacement.nii.gz warped_labels.nii.gz --labels
          deqjax warp ct.nii.gz out/displacement.nii.gz warped_ct.nii.gz --fill -1000
        """,
    )
    command.add_argument("moving", type=Path, metavar="MOVING")
    command.add_argument("displacement", type=Path, metavar="DISPLACEMENT")
    command.add_argument("output", type=Path, metavar="OUT")
    command.add_argument(
        "--order", type=int, default=1, choices=[0, 1, 3], help="0: nearest voxel, 1: linear, 3: cubic B-splines"
    )
    command.add_argument("--labels", action="store_true", help="the image holds labels: each voxel gets one of them")
    _add_fill(command)

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
        Print the Dice overlap of every label in two label images. If their grids differ, the affines place the second
        image on the grid of the first.

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
        Draw four examples of registration by attention with known answers, and print their mean errors. Each picture
        shows the two functions, their feature maps, the attention matrix, and what is found with its closed form.

        example:
          deqjax attention pictures
        """,
    )
    command.add_argument("output", type=Path, metavar="OUT", help="the folder of the pictures")


def _add_fill(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--fill", type=float, default=0.0, metavar="X", help="the value beyond the moving image: -1000 for air in CT"
    )


def register_files(args: argparse.Namespace) -> int:
    """Register two images in stages; write the displacement, the warped image and a picture.

    Returns:
      0, or 1 if the last stage did not converge or a stage moved the image out of view.
    """
    _check_output_folder(args.output, [args.fixed, args.moving])
    (fixed, fixed_grid), (moving, moving_grid) = read_image(args.fixed), read_image(args.moving)
    check_parallel(fixed_grid, moving_grid, (str(args.fixed), str(args.moving)))
    mask = None if args.mask is None else placed_mask(args.mask, args.fixed, fixed_grid)
    similarity = SIMILARITIES[args.similarity]
    stages: dict[str, Transform] = {
        "rigid": Rigid(),
        "affine": Affine(),
        "free-form": FreeForm(args.spacing),
        "dense": Dense(args.spacing / 2),
    }
    model = _model_for(args, fixed_grid)
    mapping: Map
    mapping, start = find_start(args.start, fixed, moving, fixed_grid, moving_grid, similarity, mask)
    print(f"start {start}", flush=True)
    warnings = []
    names = [*args.stages, *(["model"] if model else []), *(["free-form"] if args.refine else [])]
    for number, name in enumerate(names, 1):
        if name == "model" and model is not None:
            grids: dict[str, Any] = {"fixed_grid": fixed_grid, "moving_grid": moving_grid}
            network, parameters, voxel_size, _ = model
            mapping = register_by_network(fixed, moving, network, parameters, mapping, voxel_size=voxel_size, **grids)
            print(name, end="  ")
            _print_volume(volume_change(mapping.displacement(fixed_grid), fixed_grid), fixed_grid)
            continue
        found = register(
            fixed,
            moving,
            stages[name],
            similarity,
            Bending(args.bending) if name == "free-form" else None,
            None if args.levels is None else tuple(args.levels),
            mask,
            mapping,
            fixed_grid=fixed_grid,
            moving_grid=moving_grid,
        )
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
    print(f"displacement.nii.gz, warped.nii.gz and registration.png are in {args.output}")
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


def warp_file(args: argparse.Namespace) -> None:
    """Warp an image, a series of images, or labels by a displacement."""
    _check_output_file(args.output, [args.moving, args.displacement])
    mapping = read_displacement(args.displacement)
    moving, moving_grid = read_labels(args.moving) if args.labels else read_array(args.moving)
    check_parallel(mapping.grid, moving_grid, (str(args.displacement), str(args.moving)))
    if args.labels:
        # The labels are numbered, because numbers of 64 bits do not fit into the integers of JAX.
        values, number = np.unique(np.append(moving.ravel(), 0), return_inverse=True)
        number, background = number.ravel()[:-1].reshape(moving.shape), int(np.searchsorted(values, 0))
        number = np.where(number == background, 0, number + (number < background)).astype(np.int32)
        values = np.concatenate([[0], np.delete(values, background)])
        write_image(
            args.output, values[np.asarray(warp_labels(number, mapping, mapping.grid, moving_grid))], mapping.grid
        )
        return
    whole = args.order == 0 and args.fill % 1 == 0 and moving.dtype.kind in "biu" and np.abs(moving).max() < 2**24
    image = jnp.asarray(moving) if np.iscomplexobj(moving) else jnp.asarray(np.asarray(moving, np.float32))
    image = jnp.where(jnp.isnan(image), args.fill, image)
    warped = warp(image, mapping, mapping.grid, moving_grid, args.order, fill=args.fill)
    write_image(args.output, np.asarray(warped, np.int32) if whole else warped, mapping.grid)


def jacobian_file(args: argparse.Namespace) -> None:
    """Write the change of volume by a displacement at every voxel."""
    _check_output_file(args.output, [args.displacement])
    mapping = read_displacement(args.displacement)
    volume = volume_change(mapping.vectors, mapping.grid)
    write_image(args.output, volume, mapping.grid)
    _print_volume(volume, mapping.grid)


def overlap_files(args: argparse.Namespace) -> None:
    """Print the Dice overlap of every label in two label images."""
    (fixed, fixed_grid), (warped, warped_grid) = read_labels(args.fixed_labels), read_labels(args.warped_labels)
    names = str(args.fixed_labels), str(args.warped_labels)
    check_parallel(fixed_grid, warped_grid, names, same_plane=True)
    values, numbers = np.unique(np.concatenate([[0], fixed.ravel(), warped.ravel()]), return_inverse=True)
    numbers = numbers.ravel()[1:].astype(np.int32)
    zero = int(np.searchsorted(values, 0))
    fixed_numbers, warped_numbers = (
        numbers[: fixed.size].reshape(fixed.shape),
        numbers[fixed.size :].reshape(warped.shape),
    )
    if not same_voxels(fixed_grid, warped_grid):
        if not np.any(resample(jnp.ones(warped.shape, jnp.int32), warped_grid, fixed_grid, order=0)):
            raise ValueError(f"{names[0]} and {names[1]} do not overlap in the world: check their affines")
        # One is added, so that what lies beyond the image is 0 after resampling.
        placed = np.asarray(resample(jnp.asarray(warped_numbers + 1), warped_grid, fixed_grid, order=0))
        warped_numbers = np.where(placed > 0, placed - 1, zero)
        print(f"{names[1]} lies on another grid: its affine places it on that of {names[0]}, nearest voxels")
    for number in sorted({*np.unique(fixed_numbers), *np.unique(warped_numbers)} - {zero}):
        value = float(dice(jnp.asarray(fixed_numbers), jnp.asarray(warped_numbers), number))
        print(f"label {values[number]}  dice {value:.4f}")
    if args.displacement is not None:
        mapping = read_displacement(args.displacement)
        _print_volume(volume_change(mapping.vectors, mapping.grid), mapping.grid)


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


def _check_output_file(path: Path, inputs: list[Path]) -> None:
    """Check, before the work, that a NIfTI file can be written and does not replace an input."""
    if not path.name.endswith((".nii", ".nii.gz")):
        raise ValueError(f"{path}: the output is a NIfTI file: give a name that ends in .nii or .nii.gz")
    if path.is_dir():
        raise ValueError(f"{path}: is a folder: give the name of a file")
    if path.resolve() in [given.resolve() for given in inputs]:
        raise ValueError(f"{path}: is also an input: choose another name for the output")
    _check_output_folder(path.parent, [])


def _check_output_folder(folder: Path, inputs: list[Path]) -> None:
    """Check, before the work, that a folder exists or can be made, that it is writable, and replaces no input."""
    existing = next(parent for parent in (folder.resolve(), *folder.resolve().parents) if parent.exists())
    if not existing.is_dir():
        raise ValueError(f"{folder}: {existing} is a file: choose another folder for the results")
    if not os.access(existing, os.W_OK):
        raise ValueError(f"{folder}: {existing} is not writable: choose another folder for the results")
    results = [(folder / name).resolve() for name in ("displacement.nii.gz", "warped.nii.gz", "registration.png")]
    for path in inputs:
        if path.resolve() in results:
            raise ValueError(f"{path}: would be replaced by a result: choose another folder than {folder}")


def _print_volume(volume: jax.Array, grid: Grid) -> None:
    everywhere = jnp.ones(grid.shape, bool)
    folded, spread = folded_fraction(volume, everywhere), sd_log_jacobian(volume, everywhere)
    print(f"folded {100 * float(folded):.3f} %  sd of log volume change {float(spread):.4f}")
