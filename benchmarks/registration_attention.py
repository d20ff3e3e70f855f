"""Train attention on 60 of 80 2-D brains and register the other 20: NCC, folds, seconds and equivariance.

    python benchmarks/registration_attention.py --data=oasis2d_000_079.npz [--steps=N] [--carl] [--turns]
    python benchmarks/registration_attention.py --memory [--carl] [--turns]

``--carl`` adds what the CARL framework adds, and ``--turns`` takes the mean of the features over quarter turns.
``--memory`` takes one training step on volumes of 80 x 96 x 112 voxels of 2 mm, and prints the largest memory of the
process. ``--picture=OUT.png`` draws the first pair.
It uses neither labels nor known displacements. The training images are aligned affinely to the first of them, and each
test pair is aligned affinely first.
"""

import argparse
import resource
import time
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from timing import timed

from deqjax.config import Phase, RunSettings
from deqjax.registration import (
    Grid,
    ImageAttention,
    Unsupervised,
    register,
    register_by_network,
    regularizers,
    similarities,
    transforms,
    warp,
)
from deqjax.registration.learning import PairBatch, RegistrationProblem
from deqjax.registration.measures import folded_fraction, volume_change
from deqjax.registration.nets.image_attention import CARL
from deqjax.run import fit
from deqjax.run.registration_experiment import RegistrationConfig, registration_experiment
from deqjax.run.registration_images import Images

ATTENTION = ImageAttention(passes=3)
AFFINE: dict[str, Any] = {"transform": transforms.Affine(), "similarity": similarities.NCC(), "levels": (4.0, 2.0)}
FREE_FORM: dict[str, Any] = {
    "transform": transforms.FreeForm(spacing=12.0),
    "similarity": similarities.NCC(),
    "regularizer": regularizers.Bending(weight=0.1),
}
TRAINED, APART = 60, 7
ANGLES = (15, 45, 90, 180)


def smooth_map(grid, random):
    """Make a random smooth map, about 3 voxels from the identity. It is a flow, so it has an inverse."""
    setting = transforms.Velocity(smoothing=12.0)
    parameters = random.normal(0, 1, (*grid.shape, 2))
    velocity = setting.map(jnp.asarray(parameters, float), grid).velocity
    return transforms.VelocityMap(3.0 * velocity / jnp.mean(jnp.linalg.norm(velocity, axis=-1)), grid)


def rotation(grid, degrees):
    """Make the rotation by an angle around the centre of the grid."""
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    matrix = jnp.array([[cosine, -sine], [sine, cosine]])
    return transforms.LinearMap(matrix, grid.centre() - matrix @ grid.centre())


def equivariance(fixed, moving, attend, grid, W, U):
    """Return means over the brain in voxels: the distances of Xi' and Xi from W^-1 o Xi o U, the sizes of W, U, Xi."""
    xi = attend(fixed, moving)
    deformed = attend(warp(fixed, U, grid, grid), warp(moving, W, grid, grid))
    points, brain = grid.points(), warp(fixed, U, grid, grid) > 0.05
    expected = W.inverse().apply_points(xi.apply_points(U.apply_points(points)))
    size = lambda vectors: float(jnp.mean(jnp.linalg.norm(vectors, axis=-1), where=brain))
    maps = (deformed.apply_points(points), xi.apply_points(points))
    return [size(found - expected) for found in maps] + [size(m.apply_points(points) - points) for m in (W, U, xi)]


def memory_of_volumes(network):
    grid = Grid.of((80, 96, 112), spacing=2.0)
    points, random = grid.points() - grid.centre(), np.random.RandomState(0)
    brain = jnp.exp(-(jnp.sum((points / jnp.array([60.0, 75.0, 85.0])) ** 2, -1) ** 4))
    fixed, moving = (brain * (1 + 0.1 * random.rand(*grid.shape)) for _ in range(2))
    parameters = jax.jit(network.init)(jax.random.key(0), fixed, moving, grid)
    objective = Unsupervised(similarities.LocalNCC(6.0)).bind(RegistrationProblem(network, grid))

    def loss(parameters, pair):
        return objective({"network": parameters}, {}, pair, jax.random.split(jax.random.key(0), 1), None)[0]

    began, pair = time.process_time(), PairBatch(fixed[None], moving[None])
    value, _ = jax.block_until_ready(jax.jit(jax.value_and_grad(loss))(parameters, pair))
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"one training step: loss {value:.4f}, {time.process_time() - began:.0f} CPU s, at most {largest:.2f} GiB")


def draw(path, panels):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3 * len(panels), 3.3), layout="constrained")
    for axes, (title, panel) in zip(figure.subplots(1, len(panels)), panels.items()):
        axes.imshow(panel, cmap="gray", vmin=0, vmax=1)
        axes.set_title(title)
        axes.set_axis_off()
    figure.savefig(path)


def main(args):
    attention = ATTENTION.clone(turns=args.turns, **CARL if args.carl else {})
    if args.memory:
        return memory_of_volumes(attention.clone(passes=1, radius=28.0, smoothing=8.0))
    brains = np.load(args.data)["images"]
    grid, cpu = Grid.of(brains.shape[1:]), time.process_time()
    aligned = [warp(b, register(brains[0], b, **AFFINE).map, grid, grid) for b in brains[1:TRAINED]]
    images = np.stack([brains[0], *aligned])
    config = RegistrationConfig(
        title="attention",
        network=attention.clone(passes=1),
        data=Images(align=False),
        run=RunSettings(ema=0.0, validate_every=args.steps),
        phase=(Phase("train", Unsupervised(), args.steps, 1, learning_rate=3e-3, final_learning_rate=0.0),),
    )
    fitted = fit(registration_experiment(config, images))
    parameters, history = fitted.params["network"], np.array([metrics["loss"] for metrics in fitted.history])
    print(
        f"trained {args.steps} steps in {time.process_time() - cpu:.0f} CPU s, alignment included; loss "
        f"{history[:20].mean():.4f} in the first 20, {history[-20:].mean():.4f} in the last",
        flush=True,
    )

    def methods(fixed, moving):
        affine, before = timed(lambda: register(fixed, moving, **AFFINE).map)
        attend = lambda: register_by_network(fixed, moving, attention, parameters, affine)
        attended, more = timed(attend)
        refine = lambda init: timed(lambda: register(fixed, moving, **FREE_FORM, init=init).map)
        refined, most = refine(attended)
        direct, alone = refine(affine)
        return {
            "nothing": (transforms.LinearMap(jnp.eye(2), jnp.zeros(2)), 0.0),
            "affine": (affine, before),
            "affine + attention": (attended, before + more),
            "affine + attention + free-form": (refined, before + more + most),
            "affine + free-form": (direct, before + alone),
        }

    ncc = lambda fixed, warped, mask: 1 - float(similarities.NCC()(fixed, warped, mask, grid))
    rows: dict[str, list[tuple[float, ...]]] = {}
    errors, random = [], np.random.RandomState(0)
    rotated: dict[int, list[float]] = {}
    held_back = range(TRAINED, len(brains))
    pairs = [(f, TRAINED + (f - TRAINED + APART) % len(held_back)) for f in held_back]
    methods(*(brains[k] for k in pairs[0]))  # This call compiles.
    for f, m in pairs:
        fixed, moving = jnp.asarray(brains[f]), jnp.asarray(brains[m])
        brain, panels = fixed > 0.05, {"fixed": fixed}
        for name, (mapping, seconds) in methods(fixed, moving).items():
            warped = warp(moving, mapping, grid, grid)
            volume = volume_change(mapping.displacement(grid), grid)
            values = ncc(fixed, warped, jnp.ones(grid.shape)), ncc(fixed, warped, brain.astype(float))
            rows.setdefault(name, []).append((*values, float(folded_fraction(volume, brain)), seconds))
            panels[name] = warped
            if name == "affine":
                aligned_moving = warped
        attend = lambda fixed, moving: register_by_network(fixed, moving, attention, parameters)
        error = partial(equivariance, fixed, aligned_moving, attend, grid)
        errors.append(error(smooth_map(grid, random), smooth_map(grid, random)))
        for degrees in ANGLES:
            rotated.setdefault(degrees, []).append(error(*[rotation(grid, degrees)] * 2)[0])
        print(f"{f} {m}: NCC", *(f"{name} {values[-1][0]:.4f}" for name, values in rows.items()), sep="  ", flush=True)
        if args.picture and f == pairs[0][0]:
            draw(args.picture, panels)
    print(f"{len(pairs)} held-back pairs\n| | NCC | NCC in the brain | folded | s per pair |\n|---|---|---|---|---|")
    for name, row in rows.items():
        mean, spread = np.mean(row, axis=0), np.std(row, axis=0)
        print(
            f"| {name} | {mean[0]:.4f} ± {spread[0]:.4f} | {mean[1]:.4f} ± {spread[1]:.4f} | "
            f"{100 * mean[2]:.2f} % | {mean[3]:.2f} |"
        )
    gain = np.array(rows["affine + attention"])[:, 0] - np.array(rows["affine"])[:, 0]
    print(
        f"gain of attention over affine: {gain.mean():.4f} ± {gain.std():.4f}, {np.sum(gain > 0)} of {len(gain)} pairs"
    )
    distance, unchanged, *sizes = np.mean(errors, axis=0)
    print(
        f"equivariance, voxels: Xi' is {distance:.2f} from W^-1 o Xi o U, Xi is {unchanged:.2f} from it; the coarse "
        f"step is {2**attention.halvings}, |W| {sizes[0]:.2f}, |U| {sizes[1]:.2f}, |Xi| {sizes[2]:.2f}"
    )
    for degrees, distances in rotated.items():
        print(f"both images rotated by {degrees} degrees: Xi' is {np.mean(distances):.3f} voxels from R^-1 o Xi o R")
    print(f"{time.process_time() - cpu:.0f} CPU s in all")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data")
    parser.add_argument("--carl", action="store_true", help="with points outside, a norm of the features, refinement")
    parser.add_argument("--turns", action="store_true", help="with the mean of the features over quarter turns")
    parser.add_argument("--memory", action="store_true", help="measure the memory of a training step in 3-D instead")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--picture", help="a file in which the first pair is drawn")
    main(parser.parse_args())
