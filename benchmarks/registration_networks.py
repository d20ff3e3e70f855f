"""Apply trained networks to the 20 pairs of 2-D brains of registration_attention.py: NCC, folds and seconds.

    python benchmarks/registration_networks.py --data=path/to/oasis2d_000_079.npz [--model FOLDER ...] [--weights W ...]
        [--without ROW ...] [--passes N] [--moved]
    python benchmarks/registration_networks.py --data=path/to/oasis2d_000_079.npz --synthetic FOLDER

It measures the networks that come with deqjax and those of the folders, conditional ones with each weight of
``--weights``. The voxels of the file count as those of the training. ``--moved`` first rotates the moving images by up
to 15 degrees, and shifts them by up to 10 voxels along each axis. ``--synthetic`` measures the error of a network, in
voxels, on synthetic warps of the 20 people, as `deqjax train registration/synthetic_warps` draws them, and on shifts by
3 voxels.
"""

import argparse
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from registration_attention import AFFINE, APART, FREE_FORM, TRAINED
from registration_labels import LOCAL, WEIGHTS, apply, kept, register_all, stage, trained_networks

from deqjax.registration import Grid, SyntheticWarps, load_network, regularizers, similarities, transforms, warp
from deqjax.registration.measures import folded_fraction, volume_change

DEGREES, SHIFT = 15.0, 10.0


def random_motion(grid, random):
    """Draw a rotation by up to DEGREES about the centre, and a shift by up to SHIFT along each axis."""
    angle, shift = np.deg2rad(random.uniform(-DEGREES, DEGREES)), random.uniform(-SHIFT, SHIFT, 2)
    return transforms.Rigid().map(jnp.asarray([angle, *shift], float), grid)


def errors_on_synthetic_warps(given, brains):
    """Print the errors on known displacements of people whom the network has not seen: random warps, and shifts."""
    grid, drawn = Grid.of(brains.shape[1:]), SyntheticWarps(size=(1.0, 4.0))
    network, parameters, _, _ = load_network(given)
    rows = {
        "nothing": lambda *_: transforms.LinearMap(jnp.eye(2), jnp.zeros(2)),
        "free-form, local NCC": partial(stage, LOCAL | {"levels": (4.0, 2.0, 1.0)}, None),
        "network": partial(apply, (network, parameters, None), None),
        "network, 2 passes": partial(apply, (network, parameters, None), None, passes=2),
    }
    results: dict[str, list[list[float]]] = {name: [] for name in rows}
    for number, key in enumerate(jax.random.split(jax.random.key(1), len(brains) - TRAINED)):
        moving, (map_key, contrast_key) = jnp.asarray(brains[TRAINED + number]), jax.random.split(key)
        angle = 2 * np.pi * number / (len(brains) - TRAINED)
        direction = jnp.asarray([np.cos(angle), np.sin(angle)], float)
        numbers: dict[str, list[float]] = {name: [] for name in rows}
        for true in (drawn.draw_map(map_key, grid), transforms.Translation().map(3.0 * direction, grid)):
            warped = warp(moving, true, grid, grid)
            inside = warped > drawn.foreground * jnp.max(warped)
            maps, _ = register_all(rows, drawn.draw_contrast(contrast_key, warped), moving)
            for name, found in maps.items():
                error = found.displacement(grid) - true.displacement(grid)
                length, along = jnp.linalg.norm(error, axis=-1), error @ direction
                numbers[name] += [float(jnp.mean(length, where=inside)), float(jnp.mean(length))]
                numbers[name] += [float(jnp.mean(along, where=inside))]
        for name, row in numbers.items():
            results[name].append(row)
    print("| | error in the object | everywhere | error of shifts by 3 voxels | along the shift |\n" + "|---" * 5 + "|")
    for name, people in results.items():
        warps, everywhere, _, shifts, _, along = np.mean(people, axis=0)
        print(f"| {name} | {warps:.3f} | {everywhere:.3f} | {shifts:.3f} | {along:+.3f} |")


def main(args):
    brains = np.load(args.data)["images"]
    if args.synthetic:
        return errors_on_synthetic_warps(args.synthetic, brains)
    grid, ncc = Grid.of(brains.shape[1:]), similarities.NCC()
    rows = {
        "nothing": lambda *_: transforms.LinearMap(jnp.eye(2), jnp.zeros(2)),
        "affine": partial(stage, AFFINE, None),
        "affine + free-form": partial(stage, FREE_FORM, "affine"),
    }
    for name, (network, parameters, _) in trained_networks(args.model, args.weights).items():
        trained = network, parameters, None
        rows[name] = partial(apply, trained, None)
        if args.passes > 1:
            rows[f"{name}, {args.passes} passes"] = partial(apply, trained, None, passes=args.passes)
        if not getattr(network, "conditional", False):
            rows[f"affine + {name}"] = partial(apply, trained, "affine")
            rows[f"affine + {name} + free-form"] = partial(stage, FREE_FORM, f"affine + {name}")
    rows = kept(rows, args.without)
    held_back = range(TRAINED, len(brains))
    pairs = [(f, TRAINED + (f - TRAINED + APART) % len(held_back)) for f in held_back]
    register_all(rows, *(jnp.asarray(brains[k]) for k in pairs[0]))  # This call compiles.
    results: dict[str, list[tuple[float, ...]]] = {}
    random = np.random.default_rng(0)
    for pair in pairs:
        fixed, moving = (jnp.asarray(brains[k]) for k in pair)
        if args.moved:
            moving = warp(moving, random_motion(grid, random), grid, grid)
        brain = fixed > 0.05
        maps, seconds = register_all(rows, fixed, moving)
        for name, found in maps.items():
            warped = warp(moving, found, grid, grid)
            everywhere, inside = (1 - float(ncc(fixed, warped, mask, grid)) for mask in (jnp.ones(grid.shape), brain))
            folded = 100 * float(folded_fraction(volume_change(found.displacement(grid), grid), brain))
            rough = float(regularizers.Diffusion()(found.displacement(grid), grid))
            results.setdefault(name, []).append((everywhere, inside, folded, seconds[name], rough))
    print("| | NCC | NCC in the brain | folded | seconds per pair | mean squared slope |\n" + "|---" * 6 + "|")
    for name, row in results.items():
        mean, spread = np.mean(row, axis=0), np.std(row, axis=0)
        numbers = " | ".join(f"{mean[k]:.4f} ± {spread[k]:.4f}" for k in (0, 1))
        print(f"| {name} | {numbers} | {mean[2]:.3f} % | {mean[3]:.2f} | {mean[4]:.4f} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--model", nargs="*", default=[], help="model folders of other trained networks")
    parser.add_argument("--weights", nargs="+", type=float, default=WEIGHTS, help="of conditional networks")
    parser.add_argument("--without", nargs="+", default=[], help="leave out the rows whose names contain any of these")
    parser.add_argument("--passes", type=int, default=1, help="apply the networks this many times in other rows")
    parser.add_argument("--moved", action="store_true", help="rotate and shift the moving images at random first")
    parser.add_argument("--synthetic", metavar="FOLDER", help="measure this network on synthetic warps instead")
    main(parser.parse_args())
