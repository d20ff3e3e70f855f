"""The commands of transforms: warp, points, invert, compose, jacobian, overlap."""

import argparse
import csv
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from deqjax.atomic_write import atomic_file
from deqjax.registration.files import read_array, read_displacement, read_labels, write_image
from deqjax.registration.grid import Grid
from deqjax.registration.landmarks import read_points
from deqjax.registration.measures import dice, folded_fraction, sd_log_jacobian, volume_change
from deqjax.registration.slices import check_parallel
from deqjax.registration.transform_files import SUFFIXES, read_transform, write_transform
from deqjax.registration.transforms import Composite, DisplacementMap, linear_map
from deqjax.registration.types import Map
from deqjax.registration.warping import resample, same_voxels, warp, warp_labels
from deqjax.run.outputs import check_output_file
from deqjax.run.reconstruction_commands import add_command


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add the commands of transforms."""
    command = add_command(
        commands,
        "warp",
        warp_file,
        "warp an image or labels by a transform",
        """
        Warp a moving image, or every image of a series (x, y, z, t), by the result of a registration. RESULT is a
        folder of deqjax register, or a transform file: .nii.gz, .h5, .tfm, .mat or .txt, see deqjax.registration.
        The result lies on the grid of the displacement, or on that of --like. Use --labels for labels: they keep
        their numbers.

        examples:
          deqjax warp out moving.nii.gz warped.nii.gz
          deqjax warp out labels.nii.gz warped_labels.nii.gz --labels
          deqjax warp out/affine.tfm ct.nii.gz warped_ct.nii.gz --like fixed.nii.gz --fill -1000
        """,
    )
    _add_result(command)
    command.add_argument("moving", type=Path, metavar="IMAGE")
    command.add_argument("output", type=Path, metavar="OUT")
    _add_like(command)
    command.add_argument(
        "--order", type=int, default=1, choices=[0, 1, 3], help="0: nearest voxel, 1: linear, 3: cubic B-splines"
    )
    command.add_argument("--labels", action="store_true", help="the image holds labels: each voxel gets one of them")
    add_fill(command)

    command = add_command(
        commands,
        "points",
        points_file,
        "map points of a CSV file by a transform",
        """
        Map points of the fixed image to points of the moving image. The CSV file has a header with the columns x, y
        and, in 3-D, z, in RAS mm; other columns are copied. A point that the inverse does not find is nan.

        examples:
          deqjax points out landmarks.csv mapped.csv
          deqjax points out/affine.tfm itk_points.csv mapped.csv --lps
        """,
    )
    _add_result(command)
    command.add_argument("points", type=Path, metavar="POINTS")
    command.add_argument("output", type=Path, metavar="OUT", help="the CSV file of the mapped points")
    command.add_argument("--inverse", action="store_true", help="map points of the moving image to the fixed image")
    command.add_argument("--lps", action="store_true", help="both files have points in LPS mm, as ITK and ANTs")

    command = add_command(
        commands,
        "invert",
        invert_file,
        "write the inverse of a transform",
        """
        Write the transform from points of the moving image to points of the fixed image. The suffix of OUT chooses the
        format. The inverse of a displacement is a displacement on the same grid, or on that of --like; voxels at which
        there is no inverse are nan, and the exit code is then 1.

        examples:
          deqjax invert out inverse.nii.gz --like moving.nii.gz
          deqjax invert out/affine.tfm inverse.tfm
        """,
    )
    _add_result(command)
    command.add_argument("output", type=Path, metavar="OUT")
    _add_like(command)

    command = add_command(
        commands,
        "compose",
        compose_files,
        "join transforms to one",
        """
        Write the transform that applies A to a point, then B, and so on. The suffix of OUT chooses the format: .h5
        keeps the parts, .nii.gz holds the displacement on the grid of A or of --like, and the others hold linear
        transforms.

        example:
          deqjax compose day_to_person person_to_template day_to_template.h5
        """,
    )
    command.add_argument("results", type=Path, nargs="+", metavar="RESULT", help="folders or transform files")
    command.add_argument("output", type=Path, metavar="OUT")
    _add_like(command)

    command = add_command(
        commands,
        "jacobian",
        jacobian_file,
        "write the change of volume by a transform",
        """
        Write the Jacobian determinant of a transform at every voxel, and print how much of it folds.

        example:
          deqjax jacobian out jacobian.nii.gz
        """,
    )
    _add_result(command)
    command.add_argument("output", type=Path, metavar="OUT")
    _add_like(command)

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


def add_fill(command: argparse.ArgumentParser) -> None:
    """Add the option of the value beyond the moving image."""
    command.add_argument(
        "--fill", type=float, default=0.0, metavar="X", help="the value beyond the moving image: -1000 for air in CT"
    )


def _add_result(command: argparse.ArgumentParser) -> None:
    command.add_argument("result", type=Path, metavar="RESULT", help="a folder of deqjax register or a transform file")


def _add_like(command: argparse.ArgumentParser) -> None:
    command.add_argument("--like", type=Path, metavar="GRID", help="an image whose grid the output gets")


def read_result(path: Path) -> Map:
    """Read the map of a transform file, or of a folder that deqjax register has written.

    Raises:
      ValueError: if the folder holds no displacement, or as `deqjax.registration.read_transform`.
    """
    if not path.is_dir():
        return read_transform(path)
    if not (path / "displacement.nii.gz").is_file():
        raise ValueError(f"{path}: not a folder of deqjax register: it has no displacement.nii.gz")
    return read_transform(path / "displacement.nii.gz")


def output_grid(mapping: Map, result: Path, like: Path | None) -> Grid:
    """Return the grid of an output: that of the image ``like``, or that of the displacement that is applied first.

    Raises:
      ValueError: if there is neither.
    """
    if like is not None:
        return read_array(like)[1]
    first = mapping.maps[0] if isinstance(mapping, Composite) else mapping
    if not isinstance(first, DisplacementMap):
        raise ValueError(f"{result}: does not say on which grid the output lies: give an image with --like")
    return first.grid


def warp_file(args: argparse.Namespace) -> None:
    """Warp an image, a series of images, or labels by a transform."""
    check_output_file(args.output, [args.moving, args.result])
    mapping, result, image_path = _transform_and_image(args.result, args.moving)
    grid = output_grid(mapping, result, args.like)
    moving, moving_grid = read_labels(image_path) if args.labels else read_array(image_path)
    check_parallel(grid, moving_grid, (str(args.like or result), str(image_path)))
    if args.labels:
        write_image(args.output, warp_numbers(moving, mapping, grid, moving_grid), grid)
        return
    whole = args.order == 0 and args.fill % 1 == 0 and moving.dtype.kind in "biu" and np.abs(moving).max() < 2**24
    image = jnp.asarray(moving) if np.iscomplexobj(moving) else jnp.asarray(np.asarray(moving, np.float32))
    image = jnp.where(jnp.isnan(image), args.fill, image)
    warped = warp(image, mapping, grid, moving_grid, args.order, fill=args.fill)
    write_image(args.output, np.asarray(warped, np.int32) if whole else warped, grid)


def _transform_and_image(first: Path, second: Path) -> tuple[Map, Path, Path]:
    """Read the transform, and return the paths of transform and image, also if they are given in the order of 0.2."""
    try:
        return read_result(first), first, second
    except ValueError as error:
        try:
            mapping = read_result(second)
        except (ValueError, OSError):
            raise error from None
    print(f"{second} is the transform and {first} the image; the order is RESULT IMAGE OUT", file=sys.stderr)
    return mapping, second, first


def warp_numbers(labels: np.ndarray, mapping: Map, grid: Grid, moving_grid: Grid) -> np.ndarray:
    """Warp labels of 64 bits, which do not fit into the integers of JAX; see `deqjax.registration.warp_labels`."""
    values, number = np.unique(np.append(labels.ravel(), 0), return_inverse=True)
    number, background = number.ravel()[:-1].reshape(labels.shape), int(np.searchsorted(values, 0))
    number = np.where(number == background, 0, number + (number < background)).astype(np.int32)
    values = np.concatenate([[0], np.delete(values, background)])
    return values[np.asarray(warp_labels(number, mapping, grid, moving_grid))]


def points_file(args: argparse.Namespace) -> None:
    """Map the points of a CSV file by a transform."""
    check_output_file(args.output, [args.points, args.result], (".csv",))
    mapping = read_result(args.result)
    mapping = mapping.inverse() if args.inverse else mapping
    points, table = read_points(args.points)
    axes = [name for name in ("x", "y", "z") if name in table[0]]
    flip = np.array([-1.0, -1.0, 1.0])[: len(axes)] if args.lps else np.ones(len(axes))
    try:
        mapped = np.asarray(mapping.apply_points(jnp.asarray(points * flip, float))) * flip
    except (TypeError, ValueError) as error:
        raise ValueError(f"{args.points}: {len(axes)}-D points do not fit {args.result}") from error
    with atomic_file(args.output, overwrite=True) as temporary, open(temporary, "w", newline="") as file:
        writer = csv.DictWriter(file, [name for name in table[0] if name], lineterminator="\n", extrasaction="ignore")
        writer.writeheader()
        for row, point in zip(table, mapped, strict=True):
            writer.writerow(row | {name: f"{value:.6g}" for name, value in zip(axes, point, strict=True)})


def invert_file(args: argparse.Namespace) -> int:
    """Write the inverse of a transform.

    Returns:
      0, or 1 if some voxels have no inverse.
    """
    check_output_file(args.output, [args.result], SUFFIXES)
    mapping = read_result(args.result)
    inverse = mapping.inverse()
    if linear_map(inverse) is not None and args.like is None:
        write_transform(args.output, inverse)
        return 0
    grid = output_grid(mapping, args.result, args.like)
    field = DisplacementMap(inverse.displacement(grid), grid)
    write_transform(args.output, field)
    lost = float(jnp.mean(jnp.isnan(field.vectors).any(axis=-1)))
    if lost > 0:
        print(f"warning: {100 * lost:.3f} % of the voxels have no inverse and are nan", file=sys.stderr)
    return int(lost > 0)


def compose_files(args: argparse.Namespace) -> None:
    """Write the composition of transforms, the first of which is applied first."""
    check_output_file(args.output, args.results, SUFFIXES)
    maps = [read_result(path) for path in args.results]
    mapping = Composite(tuple(maps))
    field = args.output.name.endswith((".nii", ".nii.gz"))
    write_transform(args.output, mapping, output_grid(maps[0], args.results[0], args.like) if field else None)


def jacobian_file(args: argparse.Namespace) -> None:
    """Write the change of volume by a transform at every voxel."""
    check_output_file(args.output, [args.result])
    mapping = read_result(args.result)
    grid = output_grid(mapping, args.result, args.like)
    volume = volume_change(mapping.displacement(grid), grid)
    write_image(args.output, volume, grid)
    print_volume(volume, grid)


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
        print_volume(volume_change(mapping.vectors, mapping.grid), mapping.grid)


def print_volume(volume: jax.Array, grid: Grid) -> None:
    """Print how much of a map folds, and how much its change of volume varies."""
    everywhere = jnp.ones(grid.shape, bool)
    folded, spread = folded_fraction(volume, everywhere), sd_log_jacobian(volume, everywhere)
    print(f"folded {100 * float(folded):.3f} %  sd of log volume change {float(spread):.4f}")
