"""The noise map against repeated noise: python benchmarks/noise_map.py --data=FILES

Slices at 4x get complex noise. The linearised noise map (32 probes) of each is compared with the standard deviation
over solves of 200 further draws of the same noise, which start at the solution and run to a small residual. Printed are
the median over the pixels of the ratio of both, their correlation, and the seconds that both take, with compilation.
"""

import argparse
import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from timing import timed

import deqjax as dj
from deqjax.data import Slices, list_files
from deqjax.masks import CartesianRandom
from deqjax.physics import complex_noise
from deqjax.reconstruct import Reconstructor, equilibrium
from deqjax.run.volumes import undersample
from deqjax.solvers import solve
from deqjax.types import Params
from deqjax.uncertainty import noise_deviation

BATCH = 8
RTOL = 1e-4


@partial(jax.jit, static_argnums=(0, 6))
def repeated_deviation(
    recon: Reconstructor,
    params: Params,
    A: dj.physics.MaskedFourier,
    kspace: jax.Array,
    sigma: float,
    key: jax.Array,
    draws: int,
) -> jax.Array:
    """Return the standard deviation of the image (y, x) over solves of k-space (y, x) with further noise."""
    state = equilibrium(recon, params, A, A.adjoint(kspace)[None]).state
    first = jax.tree.map(lambda leaf: jnp.repeat(leaf, BATCH, axis=0), state)

    def solve_batch(key: jax.Array) -> jax.Array:
        noisy = kspace + A.mask * complex_noise(key, jnp.broadcast_to(kspace, (BATCH, *kspace.shape)), sigma)
        args, units = recon.arguments(params, A, A.adjoint(noisy))
        found, _ = solve(lambda state: recon.map(state, args), first, recon.solver)
        return units.undo(recon.image(params, found, args))

    images = jax.lax.map(solve_batch, jax.random.split(key, draws // BATCH)).reshape(-1, *kspace.shape)
    return jnp.sqrt(jnp.sum(jnp.abs(images - images.mean(axis=0)) ** 2, axis=0) / (len(images) - 1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="fully sampled files with one coil")
    parser.add_argument("--model", default="brain-small", help="the name of a model, or a model folder")
    parser.add_argument("--slices", type=int, default=6, help="number of slices, evenly spread over the files")
    parser.add_argument("--size", type=int, default=128, help="the resolution to which slices are reduced")
    parser.add_argument("--noise", type=float, nargs="*", default=[0.01], help="relative to the energy scale")
    parser.add_argument("--draws", type=int, default=200, help="number of repeated solves, a multiple of 8")
    parser.add_argument("--probes", type=int, default=32)
    options = parser.parse_args()
    recon, params = dj.load(options.model)
    exact = recon.replace(solver=dataclasses.replace(recon.solver, rtol=RTOL))  # type: ignore[type-var]
    slices = Slices(list_files(options.data), crop=(options.size, options.size), crop_mode="resolution")
    mask = jnp.asarray(CartesianRandom(4, 0.08)((options.size, options.size), 0))
    for level in options.noise:
        rows = []
        for i in np.linspace(0, len(slices) - 1, options.slices).round().astype(int):
            keys = jax.random.split(jax.random.key(int(i)), 3)
            measured = undersample(jnp.asarray(slices.example(i))[None], mask, level, None, keys[0])
            A, kspace = dj.physics.MaskedFourier(mask), measured.kspace[0]
            sigma = level * float(dj.EnergyScale()(measured.target).scale[0, 0, 0])
            given = (exact, params, A, kspace, sigma)
            found, seconds = timed(partial(noise_deviation, *given, keys[1], probes=options.probes))
            reference, many = timed(partial(repeated_deviation, *given, keys[2], options.draws))
            rows.append((float(jnp.median(found / reference)), np.corrcoef(found.ravel(), reference.ravel())[0, 1]))
            path, number = slices.index[i]
            print(
                f"{path.stem} slice {number}: ratio {rows[-1][0]:.3f}, correlation {rows[-1][1]:.3f}; "
                f"map {seconds:.0f} s, {options.draws} solves {many:.0f} s",
                flush=True,
            )
        lowest, highest = np.min(rows, axis=0), np.max(rows, axis=0)
        print(
            f"noise {level:.0%}: median ratio {lowest[0]:.3f} to {highest[0]:.3f}, correlation {lowest[1]:.3f} to "
            f"{highest[1]:.3f}"
        )


if __name__ == "__main__":
    main()
