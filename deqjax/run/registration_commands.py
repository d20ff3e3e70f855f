"""The commands of registration: register, attention."""

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from deqjax.registration.attention.line_examples import draw_examples
from deqjax.registration.field_uncertainty import field_deviation
from deqjax.registration.files import read_image, write_displacement, write_image
from deqjax.registration.grid import Grid
from deqjax.registration.inputs import Images
from deqjax.registration.itk_transforms import ras_to_lps
from deqjax.registration.landmarks import Landmarks, read_points
from deqjax.registration.measures import volume_change
from deqjax.registration.network_maps import register_by_network
from deqjax.registration.pictures import save_picture
from deqjax.registration.similarities import MIND, MSE, NCC, NGF, LocalNCC, MutualInformation, WeightedSum
from deqjax.registration.slices import check_parallel
from deqjax.registration.stages import STAGES, WINDOW, Stage, faster, named_stage, register_stages
from deqjax.registration.starts import STARTS, find_start
from deqjax.registration.trained_networks import TrainedNetwork, load_network
from deqjax.registration.transform_files import write_transform
from deqjax.registration.transforms import linear_map
from deqjax.registration.types import Map, Similarity, has_curvature
from deqjax.registration.warping import resample, same_voxels, warp
from deqjax.run.outputs import check_output_folder
from deqjax.run.reconstruction_commands import add_command
from deqjax.run.transform_commands import add_fill, print_volume

SIMILARITIES: dict[str, Similarity] = {
    "mse": MSE(),
    "ncc": NCC(),
    "local-ncc": LocalNCC(WINDOW),
    "mi": MutualInformation(),
    "ngf": NGF(),
    "mind": MIND(),
}

RESULTS = (
    "displacement.nii.gz",
    "warped.nii.gz",
    "registration.png",
    "affine.tfm",
    "inverse.nii.gz",
    "deviation.nii.gz",
)
"""The names of the files that register writes."""

DEVIATION_STAGES = ("rigid", "affine", "free-form")
"""The stages whose uncertainty can be estimated."""


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
          deqjax register t1.nii.gz other_t1.nii.gz out --channel t2.nii.gz other_t2.nii.gz local-ncc 0.5
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
    command.add_argument("--passes", type=int, default=1, help="how often to apply the model")
    command.add_argument("--refine", action="store_true", help="after the model, add a free-form stage")
    command.add_argument(
        "--similarity",
        choices=list(SIMILARITIES),
        help="by default ncc for rigid and affine, and local-ncc for the other stages",
    )
    command.add_argument(
        "--window",
        type=float,
        metavar="MM",
        help=f"the width of the windows of local-ncc; by default {WINDOW:g}",
    )
    command.add_argument(
        "--preset",
        choices=["default", "fast"],
        default="default",
        help="fast: without the finest level, unless --levels names it, and with fewer steps of syn",
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
    command.add_argument(
        "--moving-mask", type=Path, metavar="FILE", help="0 where the moving image does not count; it moves with it"
    )
    command.add_argument(
        "--channel",
        nargs=4,
        action="append",
        default=[],
        metavar=("FIXED", "MOVING", "SIMILARITY", "WEIGHT"),
        help="another pair of images of the same two objects, such as T2 beside T1, the similarity that compares them, "
        "and its weight; the weight of the first pair is 1. Repeat the option for more pairs",
    )
    command.add_argument(
        "--landmarks",
        nargs=2,
        type=Path,
        metavar=("FIXED.csv", "MOVING.csv"),
        help="corresponding points, one in each row, with the columns x, y[, z] in RAS mm; not for syn",
    )
    command.add_argument(
        "--landmark-weight",
        type=float,
        default=Landmarks.weight,
        metavar="WEIGHT",
        help="the weight of the mean squared distance of the landmarks, in 1/mm^2 (default %(default)s)",
    )
    add_fill(command)
    command.add_argument("--inverse", action="store_true", help="write inverse.nii.gz on the grid of the moving image")
    command.add_argument(
        "--deviation",
        action="store_true",
        help="write deviation.nii.gz, the standard deviation of the displacement of the last stage in mm, if its "
        "noise is independent; for rigid, affine and free-form with mse, ncc or local-ncc",
    )
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
    moving_mask = None if args.moving_mask is None else placed_mask(args.moving_mask, args.moving, moving_grid) > 0.5
    masked = moving if moving_mask is None else jnp.where(moving_mask, moving, jnp.nan)
    channels = [_read_channel(channel, args, fixed_grid, moving_grid) for channel in args.channel]
    landmarks = (
        None if args.landmarks is None else _read_landmarks(args.landmarks[0], args.landmarks[1], args.landmark_weight)
    )
    similarity, window = _similarity(args), WINDOW if args.window is None else args.window
    levels = None if args.levels is None else tuple(args.levels)
    model = _model_for(args, fixed_grid)
    names = [*args.stages, *(["model"] if model else []), *(["free-form"] if args.refine else [])]
    named = lambda name: named_stage(name, similarity, args.spacing, args.bending, levels, window)
    stages = [None if name == "model" else named(name) for name in names]
    stages = [None if stage is None else _with_channels(stage, channels) for stage in stages]
    if args.preset == "fast":
        stages = [None if stage is None else faster(stage, fixed_grid) for stage in stages]
    if landmarks is not None and "syn" in names:
        raise ValueError("--landmarks: syn has no landmark term; use affine, free-form or dense")
    if args.deviation and not (names[-1] in DEVIATION_STAGES and stages[-1] and has_curvature(stages[-1].similarity)):
        raise ValueError("--deviation needs a last stage rigid, affine or free-form, with mse, ncc or local-ncc")
    first = named(args.stages[0]).similarity
    mapping: Map
    mapping, start = find_start(args.start, fixed, masked, fixed_grid, moving_grid, first, mask)
    print(f"start {start}", flush=True)
    warnings = []
    grids: dict[str, Any] = {"fixed_grid": fixed_grid, "moving_grid": moving_grid}
    images: tuple[Images, Images] = (fixed, moving)
    if channels:
        images = [fixed, *(one for one, _, _, _ in channels)], [moving, *(other for _, other, _, _ in channels)]
    given: dict[str, Any] = grids | {"moving_mask": moving_mask, "landmarks": landmarks}
    for number, (name, stage) in enumerate(zip(names, stages, strict=True), 1):
        if stage is None:
            assert model is not None
            network, parameters, voxel_size, _ = model
            settings: dict[str, Any] = grids | {"voxel_size": voxel_size, "passes": args.passes}
            mapping = register_by_network(fixed, moving, network, parameters, mapping, **settings)
            print(name, end="  ")
            print_volume(volume_change(mapping.displacement(fixed_grid), fixed_grid), fixed_grid)
            continue
        init = mapping
        (found,) = register_stages(*images, [stage], mask, init, **given)
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
    if args.deviation:
        assert stage is not None
        deviation, grid = field_deviation(found, *images, stage, mask, init, **given)
        write_image(args.output / "deviation.nii.gz", jnp.linalg.norm(deviation, axis=-1), grid)
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
    if args.passes < 1:
        raise ValueError(f"--passes must be at least 1; it is {args.passes}")
    if args.model is None:
        if args.refine:
            raise ValueError("--refine refines the map of a network: name one with --model")
        if args.passes > 1:
            raise ValueError("--passes is how often a network is applied: name one with --model")
        return None
    model = load_network(args.model)
    if model.ndim != grid.ndim:
        raise ValueError(f"{args.model}: registers {model.ndim}-D images, and {args.fixed} is {grid.ndim}-D")
    return model


Channel = tuple[jax.Array, jax.Array, Similarity, float]
"""The fixed and the moving image, their similarity, and its weight."""


def _with_channels(stage: Stage, channels: list[Channel]) -> Stage:
    measures, weights = [measure for _, _, measure, _ in channels], [weight for _, _, _, weight in channels]
    both = WeightedSum((stage.similarity, *measures), (1.0, *weights))
    return replace(stage, similarity=both) if channels else stage


def _similarity(args: argparse.Namespace) -> Similarity | None:
    """Return the similarity that the arguments name, or None for that of each stage."""
    if args.window is None or args.similarity is None:
        return None if args.similarity is None else SIMILARITIES[args.similarity]
    if args.similarity != "local-ncc":
        raise ValueError(f"--window {args.window:g} is for local-ncc, and the similarity is {args.similarity}")
    return LocalNCC(args.window)


def _read_channel(channel: list[str], args: argparse.Namespace, fixed_grid: Grid, moving_grid: Grid) -> Channel:
    """Read a ``--channel``: its images, on the grids of the first pair and NaN beyond them, similarity and weight."""
    *paths, similarity, weight = channel
    if similarity not in SIMILARITIES:
        raise ValueError(f"--channel: there is no similarity {similarity!r}: choose from {', '.join(SIMILARITIES)}")
    try:
        number = float(weight)
    except ValueError:
        raise ValueError(f"--channel: the weight {weight!r} is not a number") from None
    images = []
    for path, beside, target in zip(paths, (args.fixed, args.moving), (fixed_grid, moving_grid), strict=True):
        image, grid = read_image(Path(path))
        check_parallel(target, grid, (str(beside), path), same_plane=True)
        if not same_voxels(grid, target):
            inside = resample(jnp.ones(grid.shape), grid, target) > 0.99
            image = jnp.where(inside, resample(image, grid, target), jnp.nan)
        images.append(image)
    return images[0], images[1], SIMILARITIES[similarity], number


def _read_landmarks(fixed: Path, moving: Path, weight: float) -> Landmarks:
    sides = [read_points(path)[0] for path in (fixed, moving)]
    if sides[0].shape != sides[1].shape:
        raise ValueError(
            f"{fixed} has points of shape {sides[0].shape} and {moving} of shape {sides[1].shape}: each row of one "
            "corresponds to the same row of the other"
        )
    return Landmarks(jnp.asarray(sides[0], float), jnp.asarray(sides[1], float), weight)


def attention_files(args: argparse.Namespace) -> None:
    """Draw four examples of registration by attention, and print their mean errors."""
    for name, error in draw_examples(args.output).items():
        print(f"{name}.png  mean error {error:.5f}")


def placed_mask(path: Path, image_path: Path, image_grid: Grid) -> jax.Array:
    """Read a mask and place it on the grid of its image by its own affine.

    Args:
      path: the file of the mask.
      image_path: the file of the image, named in the error.
      image_grid: the grid of the image.

    Returns:
      The weights, (*image_grid.shape); 0 beyond the mask, and for NaN.

    Raises:
      ValueError: if the mask has another dimension or lies in another plane, or no weight is inside the image.
    """
    mask, grid = read_image(path)
    check_parallel(image_grid, grid, (str(image_path), str(path)), same_plane=True)
    placed = resample(jnp.nan_to_num(mask.real), grid, image_grid)
    if not bool(jnp.any(placed > 0)):
        raise ValueError(f"{path}: no weight above 0 lies inside {image_path}: check the affines of both files")
    return placed
