"""What compaction saves, and what a budget costs in quality: python benchmarks/anytime.py [--model NAME] [--size N]

16 phantoms, 2 to 8 times undersampled with 0 to 3 % of noise, are reconstructed as one batch, with and without a
budget. The first table has the evaluations of the map, times the images for which each is computed, and the seconds of
the second call. The second table has the mean PSNR of the best iterate over the number of evaluations.
"""

import argparse
import time
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.table import Table

import deqjax as dj
from deqjax.metrics import psnr
from deqjax.types import MapArgs, Params, State

BUDGETS = (3, 5, 8, 12, 20, 35, 60, 100)
ROWS: list[int] = []


@dataclass(frozen=True)
class Counted:
    """A map that notes the number of images of every evaluation."""

    map: Any

    def init(self, key: jax.Array) -> Params:
        return self.map.init(key)

    def start(self, args: MapArgs) -> State:
        return self.map.start(args)

    def image(self, state: State) -> jax.Array:
        return self.map.image(state)

    def __call__(self, state: State, args: MapArgs) -> State:
        rows = jax.tree.leaves(state)[0].shape[0]
        jax.debug.callback(lambda _: ROWS.append(rows), args.zero_filled[0, 0, 0])
        return self.map(state, args)


def mixed(count: int, size: int) -> tuple[dj.physics.MaskedFourier, jax.Array, np.ndarray]:
    """Make the forward model, the noisy k-space and the targets of a batch of mixed difficulty."""
    scan = dj.data.phantom_volume(seed=1, shape=(count, size, size))
    full = np.asarray(scan.kspace).reshape(count, size, size)
    rng, masks = np.random.default_rng(0), []
    for index in range(count):
        acceleration = 2 + 6 * index / (count - 1)
        masks.append(dj.masks.CartesianRandom(acceleration, min(0.08, 0.32 / acceleration))((size, size), index))
    noise = rng.normal(size=full.shape) + 1j * rng.normal(size=full.shape)
    level = 0.03 * rng.uniform(size=(count, 1, 1)) * np.abs(full).std(axis=(1, 2), keepdims=True)
    mask = np.stack(masks).reshape(count, 1, size).astype(np.float32)
    target = np.abs(np.asarray(dj.physics.ifft2c(jnp.asarray(full))))
    kspace = jnp.asarray(mask * (full + level * noise), jnp.complex64)
    return dj.physics.MaskedFourier(jnp.asarray(mask)), kspace, target


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="brain-small", help="a model (deqjax models)")
    parser.add_argument("--size", type=int, default=128, help="pixels along each axis")
    options = parser.parse_args()
    recon, params = dj.load(options.model)
    A, kspace, target = mixed(16, options.size)

    table = Table("", "evaluations", "of the sum of their own", "seconds", title=f"16 images of {options.size} pixels")
    for name, method in (("one batch", lambda recon: recon), ("compaction", lambda recon: recon.with_budget())):
        method(recon)(params, A, kspace)
        began = time.perf_counter()
        _, stats = jax.block_until_ready(method(recon)(params, A, kspace))
        seconds = time.perf_counter() - began
        ROWS.clear()
        jax.block_until_ready(method(recon.replace(map=Counted(recon.map)))(params, A, kspace))
        jax.effects_barrier()
        own = int(np.sum(stats.num_steps))
        table.add_row(name, str(sum(ROWS)), f"{sum(ROWS) / own:.2f}", f"{seconds:.1f}")
    Console(width=100).print(table)

    table = Table("evaluations", "PSNR", "converged", title="the best iterate within a budget")
    for budget in BUDGETS:
        image, stats = recon.with_budget(max_steps=budget)(params, A, kspace)
        quality = [psnr(np.abs(x), y, float(y.max())) for x, y in zip(np.asarray(image), target)]
        table.add_row(str(budget), f"{np.mean(quality):.2f}", f"{int(np.sum(stats.converged))} of 16")
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
