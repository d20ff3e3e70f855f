"""Apply trained networks to the 20 pairs of 2-D brains of registration_attention.py: NCC, folds and seconds.

    python benchmarks/registration_networks.py --data=path/to/oasis2d_000_079.npz [--model FOLDER ...] [--weights W ...]
    python benchmarks/registration_networks.py --data=path/to/oasis2d_000_079.npz --synthetic FOLDER

It measures the networks that come with deqjax and those of the folders, conditional ones with each weight of
``--weights``. The voxels of the file count as those of the training. ``--synthetic`` measures the error of a network on
synthetic warps of the 20 people, as `deqjax train registration/synthetic_warps` draws them.
"""

import argparse
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from registration_attention import AFFINE, APART, FREE_FORM, TRAINED
from registration_labels import apply, register_all, stage

from deqjax.registration import Grid, SyntheticWarps, load_network, models, regularizers, similarities, transforms, warp
from deqjax.registration.learning import PairBatch, RegistrationProblem
from deqjax.registration.measures import folded_fraction, volume_change


def error_on_synthetic_warps(folder, brains):
    network, parameters, _, _ = load_network(folder)
    objective = SyntheticWarps(size=(1.0, 4.0)).bind(RegistrationProblem(network, Grid.of(brains.shape[1:])))
    images, keys = brains[TRAINED:], jax.random.split(jax.random.key(1), len(brains) - TRAINED)
    metrics = jax.jit(lambda batch: objective({"network": parameters}, {}, batch, keys, None)[1])
    found = metrics(PairBatch(images, images))
    print(
        f"{len(images)} people: displacements of {found['size']:.3f} voxels, mean error {found['distance']:.3f} voxels"
    )


def main(args):
    brains = np.load(args.data)["images"]
    if args.synthetic:
        return error_on_synthetic_warps(args.synthetic, brains)
    grid, ncc = Grid.of(brains.shape[1:]), similarities.NCC()
    rows = {
        "nothing": lambda *_: transforms.LinearMap(jnp.eye(2), jnp.zeros(2)),
        "affine": partial(stage, AFFINE, None),
        "affine + free-form": partial(stage, FREE_FORM, "affine"),
    }
    for given in [*models(), *args.model]:
        name, (network, parameters, _, _) = Path(given).name, load_network(given)
        if getattr(network, "conditional", False):
            for weight in args.weights:
                given_weight: Any = network.clone(weight=weight)  # type: ignore[attr-defined]  # a Flax module
                rows[f"{name}, weight {weight}"] = partial(apply, (given_weight, parameters, None), None)
            continue
        trained = network, parameters, None
        rows[name] = partial(apply, trained, None)
        rows[f"affine + {name}"] = partial(apply, trained, "affine")
        rows[f"affine + {name} + free-form"] = partial(stage, FREE_FORM, f"affine + {name}")
    held_back = range(TRAINED, len(brains))
    pairs = [(f, TRAINED + (f - TRAINED + APART) % len(held_back)) for f in held_back]
    register_all(rows, *(jnp.asarray(brains[k]) for k in pairs[0]))  # This call compiles.
    results: dict[str, list[tuple[float, ...]]] = {}
    for pair in pairs:
        fixed, moving = (jnp.asarray(brains[k]) for k in pair)
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
    parser.add_argument("--weights", nargs="+", type=float, default=[0.05, 0.1, 0.2, 0.5, 0.8])
    parser.add_argument("--synthetic", metavar="FOLDER", help="measure this network on synthetic warps instead")
    main(parser.parse_args())
