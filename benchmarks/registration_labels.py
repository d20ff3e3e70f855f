"""Compare registrations by manual labels: the Dice overlap over all ordered pairs of people, folds and seconds.

    python benchmarks/registration_labels.py --data=oasis_trt_01_10_labelled.npz [--model FOLDER ...] [--pairs=N]
    python benchmarks/registration_labels.py --data=oasis_trt_01_10_labelled.npz --people 5 6 7 8 9 [--without ROW ...]

The file has `images` and `labels` (people, x, y) with voxels of 1 mm. A label counts if everybody has at least 20
voxels of it. No label is used for training. The windows and the smoothing of two rows of SyN were chosen by the labels
of people 0 to 4. ANTs (antspyx) joins in where it is installed. A conditional network has a row for each weight.
"""

import argparse
import importlib.util
import itertools
from functools import partial
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from timing import timed

from deqjax.registration import (
    Grid,
    load_network,
    models,
    optimizers,
    register,
    register_by_network,
    regularizers,
    similarities,
    transforms,
    warp,
    warp_labels,
)
from deqjax.registration.measures import folded_fraction, volume_change
from deqjax.registration.stages import named_stage

DEEP = (4, 43, 10, 49, 11, 50, 12, 51)
"""Ventricles, thalamus, caudate nucleus and putamen, left and right; the labels of the cortex are above 1000."""
LEAST, MARGIN = 20, 16
WEIGHTS = (0.05, 0.1, 0.2, 0.5, 0.8)
"""The weights of the penalty with which conditional networks are measured."""
AFFINE: dict[str, Any] = {"transform": transforms.Affine(), "similarity": similarities.NCC(), "levels": (4.0, 2.0)}
NCC: dict[str, Any] = {
    "transform": transforms.FreeForm(spacing=12.0),
    "similarity": similarities.NCC(),
    "regularizer": regularizers.Bending(weight=0.1),
}
LOCAL: dict[str, Any] = {
    "transform": transforms.FreeForm(spacing=12.0),
    "similarity": similarities.LocalNCC(width=4.0),
    "regularizer": regularizers.Bending(weight=1.0),
}


def read(path):
    """Read the images, divided by 1000, and the labels, without the empty margin that all have."""
    with np.load(path) as file:
        images, labels = file["images"].astype(np.float32) / 1000, file["labels"].astype(np.int32)
    for axis in (1, 2):
        filled = np.flatnonzero(np.any(images > 0.02, axis=tuple({0, 1, 2} - {axis})))
        kept = np.arange(max(filled[0] - MARGIN, 0), min(filled[-1] + MARGIN, images.shape[axis]))
        images, labels = images.take(kept, axis), labels.take(kept, axis)
    return images, labels


def common_labels(labels):
    """Return the labels of which everybody has at least LEAST voxels."""
    counts = [dict(zip(*np.unique(image, return_counts=True))) for image in labels]
    return [value for value in counts[0] if value and all(count.get(value, 0) >= LEAST for count in counts)]


def overlaps(fixed, warped, values):
    """Return the Dice overlap of each label."""
    masks = {value: (fixed == value, warped == value) for value in values}
    return {value: 2 * np.sum(a & b) / (np.sum(a) + np.sum(b)) for value, (a, b) in masks.items()}


def syn(window: float, total_smoothing: float) -> dict[str, Any]:
    """Return the settings of SyN with windows of a width in mm and a smoothing of the velocity in voxels."""
    return vars(named_stage("syn", window=window)) | {"optimizer": optimizers.SyN(total_smoothing=total_smoothing)}


def stage(settings, start, fixed, moving, maps):
    return register(fixed, moving, **settings, init=maps.get(start)).map


def apply(trained, start, fixed, moving, maps, passes=1):
    network, parameters, voxel_size = trained
    settings: dict[str, Any] = {"voxel_size": voxel_size, "passes": passes}
    return register_by_network(fixed, moving, network, parameters, maps.get(start), **settings)


def trained_networks(folders, weights):
    """Return the networks of the package and of the folders, with their parameters and voxel sizes, by name."""
    found = {}
    for given in [*models(), *folders]:
        name, (network, *rest) = Path(given).name, load_network(given)[:3]
        conditional = getattr(network, "conditional", False)
        for weight in weights if conditional else [None]:
            clone: Any = network.clone(weight=weight) if conditional else network  # type: ignore[attr-defined]
            found[f"{name}, weight {weight}" if conditional else name] = (clone, *rest)
    return found


def methods(networks, passes):
    """Return the functions ``(fixed, moving, earlier maps) -> map`` of all rows."""
    rows = {
        "nothing": lambda *_: transforms.LinearMap(jnp.eye(2), jnp.zeros(2)),
        "affine": partial(stage, AFFINE, None),
        "affine + free-form (NCC)": partial(stage, NCC, "affine"),
        "affine + free-form": partial(stage, LOCAL, "affine"),
        "affine + syn": partial(stage, vars(named_stage("syn")), "affine"),
        "affine + syn (16 mm, 0.5)": partial(stage, syn(16.0, 0.5), "affine"),
        "affine + syn (10 mm, 1.0)": partial(stage, syn(10.0, 1.0), "affine"),
    }
    for name, trained in networks.items():
        rows[f"affine + {name}"] = partial(apply, trained, "affine")
        if passes > 1:
            rows[f"affine + {name}, {passes} passes"] = partial(apply, trained, "affine", passes=passes)
        rows[f"affine + {name} + free-form"] = partial(stage, LOCAL, f"affine + {name}")
    return rows


def kept(rows, without):
    """Return the rows whose names contain none of the texts."""
    return {name: find for name, find in rows.items() if not any(text in name for text in without)}


def register_all(rows, fixed, moving):
    """Return the map of every row, and the seconds with those of the maps from which it starts."""
    maps: dict[str, Any] = {}
    spent: dict[str, float] = {}
    for name, find in rows.items():
        maps[name], seconds = timed(partial(find, fixed, moving, maps))
        spent[name] = seconds + spent.get(name.rpartition(" + ")[0], 0.0)
    return maps, spent


def main(args):
    images, labels = read(args.data)
    values, grid = common_labels(labels), Grid.of(images.shape[1:])
    cortex = [value for value in values if value > 1000]
    print(f"{len(images)} people, {images.shape[1:]} voxels, {len(values)} labels, {len(cortex)} of the cortex")
    rows = kept(methods(trained_networks(args.model, args.weights), args.passes), args.without)
    peers = {"ANTs SyN": ants_syn} if importlib.util.find_spec("ants") else {}
    pairs = list(itertools.permutations(args.people or range(len(images)), 2))
    pairs = pairs[:: max(len(pairs) // args.pairs, 1)] if args.pairs else pairs
    results: dict[str, list[tuple[float, ...]]] = {}

    def record(name, fixed, moved, warped, displacement, seconds):
        dice, mask = overlaps(labels[fixed], np.asarray(moved), values), images[fixed] > 0.05
        mean = lambda chosen: float(np.mean([dice[value] for value in chosen]))
        folded = 100 * float(folded_fraction(volume_change(displacement, grid), jnp.asarray(mask)))
        ncc = float(np.corrcoef(images[fixed][mask], np.asarray(warped)[mask])[0, 1])
        results.setdefault(name, []).append((mean(values), mean(DEEP), mean(cortex), ncc, folded, seconds))

    register_all(rows, *(jnp.asarray(images[k]) for k in pairs[0]))  # This call compiles.
    for number, (f, m) in enumerate(pairs, 1):
        fixed, moving = jnp.asarray(images[f]), jnp.asarray(images[m])
        maps, spent = register_all(rows, fixed, moving)
        for name, found in maps.items():
            moved, warped = warp_labels(labels[m], found, grid, grid), warp(moving, found, grid, grid)
            record(name, f, moved, warped, found.displacement(grid), spent[name])
        for name, find in peers.items():
            (displacement, moved, warped), seconds = timed(partial(find, images[f], images[m], labels[m]))
            record(name, f, moved, warped, jnp.asarray(displacement), seconds)
        print(f"{number} of {len(pairs)} pairs", end="\r", flush=True)
    print("| | Dice, all | deep | cortex | NCC in the brain | folded | seconds |\n|---|---|---|---|---|---|---|")
    for name, row in results.items():
        mean = np.mean(row, axis=0)
        numbers = " | ".join(f"{value:.3f}" for value in mean[:4])
        print(f"| {name} | {numbers} | {mean[4]:.3f} % | {mean[5]:.2f} |")


def ants_syn(fixed, moving, labels):
    """Register by an affine map and SyN with cross-correlation."""
    import ants

    one, other = ants.from_numpy(fixed), ants.from_numpy(moving)
    found = ants.registration(one, other, "SyNCC", verbose=False)
    apply = lambda image, how: ants.apply_transforms(one, ants.from_numpy(image), found["fwdtransforms"], how).numpy()
    points = np.moveaxis(np.indices(fixed.shape), 0, -1).astype(np.float32)
    moved = np.stack([apply(points[..., axis], "linear") for axis in range(fixed.ndim)], -1)
    return moved - points, apply(labels.astype(np.float32), "genericLabel").astype(int), apply(moving, "linear")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--model", nargs="*", default=[], help="model folders of other trained networks")
    parser.add_argument("--weights", nargs="+", type=float, default=WEIGHTS, help="of conditional networks")
    parser.add_argument("--without", nargs="+", default=[], help="leave out the rows whose names contain any of these")
    parser.add_argument("--passes", type=int, default=1, help="apply the networks this many times in other rows")
    parser.add_argument("--pairs", type=int, default=0, help="about how many of the ordered pairs; 0 for all of them")
    parser.add_argument("--people", type=int, nargs="+", help="the pairs of these people, from 0; everybody by default")
    main(parser.parse_args())
