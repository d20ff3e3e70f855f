"""The commands for many images: template, fuse, change."""

import argparse
import csv
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from deqjax.atomic_write import atomic_file
from deqjax.registration.files import read_array, read_image, read_labels, write_displacement, write_image
from deqjax.registration.populations import LabelChange, build_template, fuse_labels, label_changes, local_weights
from deqjax.registration.slices import check_parallel
from deqjax.registration.stages import STAGES, named_stage, register_stages
from deqjax.registration.starts import find_start
from deqjax.registration.warping import warp
from deqjax.run.image_files import distinct
from deqjax.run.outputs import check_output_file, check_output_folder
from deqjax.run.reconstruction_commands import add_command
from deqjax.run.transform_commands import read_result, warp_numbers


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add the commands for many images."""
    command = add_command(
        commands,
        "template",
        template_files,
        "build the mean image of a population or of a time series",
        """
        Build the template of images by turns of registration and averaging, and register every image to it. One file
        of a series (x, y, z, t) is registered to its mean. The folder OUT gets template.nii.gz, and for each image
        NAME_displacement.nii.gz, from the template to the image, and NAME_warped.nii.gz; for a series, the frames are
        numbered, and aligned.nii.gz is the aligned series.

        examples:
          deqjax template people/*.nii.gz out
          deqjax template cine.nii.gz out --stages rigid free-form --rounds 2
        """,
    )
    command.add_argument("images", type=Path, nargs="+", metavar="IMAGE")
    command.add_argument("output", type=Path, metavar="OUT", help="the folder of the results")
    _add_stages(command)
    command.add_argument("--rounds", type=int, default=8, help="at most so many rounds, by default 8; see --tolerance")
    command.add_argument(
        "--tolerance", type=float, default=5e-3, help="the relative change of the template that ends the rounds, 0.005"
    )
    command.add_argument("--like", type=Path, metavar="GRID", help="an image whose grid the template gets")

    command = add_command(
        commands,
        "fuse",
        fuse_files,
        "label an image by many labelled images",
        """
        Register every atlas to an image, warp its labels, and fuse them: each voxel gets the label with most votes.
        With --weights local, the votes of an atlas count by its local correlation with the image.

        example:
          deqjax fuse image.nii.gz labels.nii.gz --atlases a.nii.gz b.nii.gz --labels a_seg.nii.gz b_seg.nii.gz
        """,
    )
    command.add_argument("image", type=Path, metavar="IMAGE")
    command.add_argument("output", type=Path, metavar="OUT", help="the file of the labels")
    command.add_argument("--atlases", type=Path, nargs="+", required=True, metavar="FILE", help="their images")
    command.add_argument(
        "--labels", type=Path, nargs="+", required=True, metavar="FILE", help="their labels, in the same order"
    )
    command.add_argument("--weights", default="local", choices=["local", "majority"])
    _add_stages(command)

    command = add_command(
        commands,
        "change",
        change_file,
        "print the change of volume of every label between two scans",
        """
        Print a table with the volume of each label before and after, in mm^3 (mm^2 in 2-D), the change in percent and
        the mean of the logarithm of the Jacobian determinant. RESULT registers the second scan to the first, as in
        deqjax register FIRST SECOND OUT; LABELS are those of the first scan.

        example:
          deqjax change out labels.nii.gz --csv change.csv
        """,
    )
    command.add_argument("result", type=Path, metavar="RESULT", help="a folder of deqjax register or a transform file")
    command.add_argument("labels", type=Path, metavar="LABELS")
    command.add_argument("--csv", type=Path, metavar="FILE", help="write the table to a CSV file, too")


def _add_stages(command: argparse.ArgumentParser) -> None:
    command.add_argument("--stages", nargs="+", default=["affine", "syn"], choices=STAGES)
    command.add_argument(
        "--levels", nargs="+", type=float, metavar="MM", help="the voxel sizes in mm, from coarse to fine"
    )


def template_files(args: argparse.Namespace) -> None:
    """Build the template of files, or of the frames of one series."""
    series = len(args.images) == 1
    if series:
        frames, grid = read_array(args.images[0])
        if frames.ndim == grid.ndim:
            raise ValueError(f"{args.images[0]}: one image of shape {frames.shape}: give a series or several images")
        images, grids = list(np.moveaxis(np.asarray(frames, np.float32), -1, 0)), [grid] * frames.shape[-1]
        names = [f"frame_{number:03d}" for number in range(len(images))]
    else:
        read = [read_image(path) for path in args.images]
        images, grids = [image for image, _ in read], [grid for _, grid in read]
        names = distinct([path.name.split(".")[0] for path in args.images])
        for path, one in zip(args.images, grids, strict=True):
            check_parallel(grids[0], one, (str(args.images[0]), str(path)))
    files = [f"{name}_{kind}.nii.gz" for name in names for kind in ("displacement", "warped")]
    check_output_folder(args.output, args.images, ["template.nii.gz", "aligned.nii.gz", *files])
    stages = [named_stage(name, levels=None if args.levels is None else tuple(args.levels)) for name in args.stages]
    like = None if args.like is None else read_array(args.like)[1]
    template = build_template(images, stages, args.rounds, grid=like, grids=grids, tolerance=args.tolerance)
    for number, (shift, change) in enumerate(zip(template.shifts, template.changes, strict=True), 1):
        print(f"round {number}  mean displacement {float(shift):.4f} mm  change of the template {float(change):.4f}")
    args.output.mkdir(parents=True, exist_ok=True)
    write_image(args.output / "template.nii.gz", template.image, template.grid)
    warped = template.warped(images, grids)
    for name, mapping, image in zip(names, template.maps, warped, strict=True):
        write_displacement(args.output / f"{name}_displacement.nii.gz", mapping, template.grid)
        if not series:
            write_image(args.output / f"{name}_warped.nii.gz", image, template.grid)
    if series:
        write_image(args.output / "aligned.nii.gz", jnp.stack(warped, axis=-1), template.grid)
    print(f"template.nii.gz and the maps of {len(names)} images are in {args.output}")


def fuse_files(args: argparse.Namespace) -> None:
    """Register labelled images to an image, and fuse their labels."""
    if len(args.atlases) != len(args.labels):
        raise ValueError(f"{len(args.atlases)} atlases and {len(args.labels)} label files: give one for each atlas")
    check_output_file(args.output, [args.image, *args.atlases, *args.labels])
    fixed, grid = read_image(args.image)
    stages = [named_stage(name, levels=None if args.levels is None else tuple(args.levels)) for name in args.stages]
    images, labels = [], []
    for image_file, label_file in zip(args.atlases, args.labels, strict=True):
        (moving, moving_grid), (numbers, label_grid) = read_image(image_file), read_labels(label_file)
        check_parallel(grid, moving_grid, (str(args.image), str(image_file)))
        check_parallel(moving_grid, label_grid, (str(image_file), str(label_file)), same_plane=True)
        start, _ = find_start(None, fixed, moving, grid, moving_grid, stages[0].similarity)
        found = register_stages(fixed, moving, stages, init=start, fixed_grid=grid, moving_grid=moving_grid)[-1]
        print(f"{image_file}  {found.status}", flush=True)
        images.append(warp(moving, found.map, grid, moving_grid))
        labels.append(warp_numbers(numbers, found.map, grid, label_grid))
    weights = local_weights(fixed, jnp.stack(images), grid) if args.weights == "local" else None
    write_image(args.output, fuse_labels(np.stack(labels), weights), grid)
    print(f"the labels of {len(labels)} atlases, fused by {args.weights} votes, are in {args.output}")


def change_file(args: argparse.Namespace) -> None:
    """Print the change of volume of every label, and write it to a CSV file on request."""
    if args.csv is not None:
        check_output_file(args.csv, [args.labels, args.result], (".csv",))
    labels, grid = read_labels(args.labels)
    changes = label_changes(read_result(args.result), labels, grid)
    for change in changes:
        volumes = f"before {change.before:.6g}  after {change.after:.6g}  change {change.percent:+.3f} %"
        jacobian = f"mean log Jacobian {change.mean_log_jacobian:+.5f}  folded {100 * change.folded:.3f} %"
        print(f"label {change.label}  {volumes}  {jacobian}")
    if args.csv is not None:
        with atomic_file(args.csv, overwrite=True) as temporary, open(temporary, "w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(LabelChange._fields)
            writer.writerows(changes)
