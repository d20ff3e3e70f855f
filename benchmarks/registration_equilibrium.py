"""Registration as an equilibrium: NCC and map against the number of evaluations, and the error of the gradients.

    python benchmarks/registration_equilibrium.py --data=oasis2d_000_079.npz [--steps=N] [--denoiser]

It trains `LearnedDemons` twice for the same steps, with labels nowhere: once with the implicit gradient of the fixed
point, and once as a network of LAYERS layers through which the gradient is propagated. Both then take 5 to 100
evaluations on the pairs of the people of registration_attention.py that were held back. The images are aligned
affinely, and half as fine as in the file. The gradient of the NCC of the first pair along a random direction of the
trained weights is compared with central differences, in float64. ``--denoiser`` trains the denoiser of the field.
"""

import argparse
import time
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from registration_attention import AFFINE, APART, TRAINED

from deqjax.config import Phase, RunSettings
from deqjax.implicit import Implicit, Phantom, Unrolled
from deqjax.registration import Grid, LearnedDemons, Unsupervised, register, regularizers, similarities, warp
from deqjax.registration.measures import folded_fraction, volume_change
from deqjax.registration.nets.halving import halve, halved_grid
from deqjax.run import fit
from deqjax.run.registration_experiment import RegistrationConfig, registration_experiment
from deqjax.run.registration_images import Images
from deqjax.solvers import Broyden, Picard

LAYERS, DEPTHS = 10, (5, 10, 20, 33, 100)
EQUILIBRIUM = LearnedDemons(
    smoothing=4.0,
    decay=0.1,
    solver=Broyden(max_steps=40, rtol=1e-3),
    adjoint=Implicit(Broyden(max_steps=30, rtol=1e-2), nan_above=float("inf")),
)
LAYERED = EQUILIBRIUM.clone(solver=Picard(max_steps=LAYERS, rtol=0.0), adjoint=Unrolled())


def train(network, images, steps):
    objective = Unsupervised(similarities.LocalNCC(6.0), regularizers.Diffusion(0.25))
    config = RegistrationConfig(
        title="equilibrium",
        network=network,
        data=Images(align=False, voxel_size=2.0),
        run=RunSettings(ema=0.0, validate_every=steps),
        phase=(Phase("train", objective, steps, 1, learning_rate=1e-4, final_learning_rate=0.0),),
    )
    return fit(registration_experiment(config, images)).params["network"]


def at_depths(network, parameters, images, pairs, grid):
    """Print a row for each depth: NCC, folds, the residual, and the change of the map from the depth before."""
    earlier = None
    for depth in DEPTHS:
        deep = network.clone(solver=type(network.solver)(max_steps=depth, rtol=0.0), adjoint=None)

        def one(parameters, pair, deep=deep):
            found, variables = deep.apply(parameters, *pair, grid, mutable="intermediates")
            mapping, brain = found.exponential(), pair[0] > 0.05
            ncc = 1 - similarities.NCC()(pair[0], warp(pair[1], mapping, grid, grid), jnp.ones(grid.shape), grid)
            folded = folded_fraction(volume_change(mapping.vectors, grid), brain)
            return jnp.stack([ncc, folded, variables["intermediates"]["stats"][0].residual[0]]), mapping.vectors

        every = jax.jit(lambda parameters, pairs, one=one: jax.lax.map(partial(one, parameters), pairs))
        rows, vectors = every(parameters, (images[pairs[0]], images[pairs[1]]))
        ncc, folded, residual = np.mean(rows, axis=0)
        change = np.nan if earlier is None else float(jnp.mean(jnp.linalg.norm(vectors - earlier, axis=-1)))
        print(f"| {depth} | {ncc:.4f} | {100 * folded:.3f} % | {residual:.1e} | {change:.4f} |", flush=True)
        earlier = vectors


def errors_of_gradients(network, parameters, fixed, moving, grid):
    """Print the relative errors of the exact and of two approximate gradients along a random direction."""
    leaves, structure = jax.tree.flatten(parameters)
    random = np.random.RandomState(0)
    ways = [jnp.asarray(random.normal(0, 1, leaf.shape)) * (jnp.std(leaf) + 1e-3) for leaf in leaves]

    def loss(step, adjoint):
        moved = jax.tree.unflatten(structure, [leaf + step * way for leaf, way in zip(leaves, ways, strict=True)])
        tight = network.clone(solver=Broyden(max_steps=300, rtol=1e-10), adjoint=adjoint)
        warped = warp(moving, tight.apply(moved, fixed, moving, grid), grid, grid, order=3)
        return similarities.NCC()(fixed, warped, jnp.ones(grid.shape), grid)

    exact, h = Implicit(Broyden(max_steps=300), rtol=1e-8, nan_above=float("inf")), 1e-4
    value = jax.jit(lambda step: loss(step, exact))
    difference = float(value(h) - value(-h)) / (2 * h)
    for name, adjoint in {"implicit": exact, "phantom-1": Phantom(1, 1.0), "phantom-3": Phantom(3, 1.0)}.items():
        slope = float(jax.jit(jax.grad(lambda step, adjoint=adjoint: loss(step, adjoint)))(0.0))
        print(f"{name}: {slope:.6e}, central difference {difference:.6e}, error {abs(slope / difference - 1):.1e}")


def main(args):
    brains = jnp.asarray(np.load(args.data)["images"])
    full = Grid.of(brains.shape[1:])
    aligned = [brains[0], *(warp(b, register(brains[0], b, **AFFINE).map, full, full) for b in brains[1:])]
    images, grid = halve(jnp.moveaxis(jnp.stack(aligned), 0, -1), 2), Grid.of(halved_grid(full).shape, spacing=2.0)
    images = jnp.moveaxis(images, -1, 0)
    held_back = np.arange(TRAINED, len(images))
    pairs = held_back, np.roll(held_back, -APART)
    header = "| evaluations | NCC | folded | residual | change of the map, mm |\n|---|---|---|---|---|"
    for name, plain in {"equilibrium": EQUILIBRIUM, f"{LAYERS} layers": LAYERED, "untrained": EQUILIBRIUM}.items():
        network, cpu = plain.clone(denoiser=args.denoiser), time.process_time()
        if name == "untrained":
            parameters = network.init(jax.random.key(0), images[0], images[1], grid)
        else:
            parameters = train(network, np.asarray(images[:TRAINED]), args.steps)
        print(f"\n{name}, {time.process_time() - cpu:.0f} CPU s\n{header}", flush=True)
        at_depths(network, parameters, images, pairs, grid)
        if name == "equilibrium":
            trained = network, parameters
    with jax.enable_x64(True):
        network, parameters = trained
        given = parameters, images[pairs[0][0]], images[pairs[1][0]]
        wide, fixed, moving = jax.tree.map(lambda leaf: jnp.asarray(leaf, float), given)
        errors_of_gradients(network, wide, fixed, moving, Grid.of(grid.shape, spacing=2.0))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--denoiser", action="store_true", help="train the denoiser of the field instead")
    main(parser.parse_args())
