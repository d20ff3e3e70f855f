"""One reconstruction with coil maps from several sources: python benchmarks/coil_maps.py MODEL FILE.h5 [--slice N]

MODEL is the folder of a model with learned maps (configs/learned_maps.toml). Its net and solver reconstruct the slice
with the low-resolution maps, with the maps that it learned to make of those, and with ESPIRiT's, all of them from the
same calibration lines. PSNR and SSIM are against the root sum of squares of the full k-space, which prefers none.
Roughness is the root mean square of the difference of neighbouring pixels of the maps, where there is signal.
"""

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp
from rich.console import Console
from rich.table import Table

import deqjax as dj


def roughness(smaps: jax.Array, signal: jax.Array) -> float:
    """Of maps (coil, y, x), over the neighbours that both have signal (y, x)."""
    energy = pairs = jnp.zeros(())
    for axis in (-2, -1):
        step = jnp.sum(jnp.abs(jnp.diff(smaps, axis=axis)) ** 2, axis=0)
        both = jnp.diff(signal.astype(int), axis=axis) == 0
        both &= jnp.take(signal, jnp.arange(signal.shape[axis] - 1), axis)
        energy, pairs = energy + jnp.sum(both * step), pairs + jnp.sum(both)
    return float(jnp.sqrt(energy / pairs))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a model folder with learned maps")
    parser.add_argument("file", type=Path)
    parser.add_argument("--acceleration", type=float, default=4)
    parser.add_argument("--center-fraction", type=float, default=0.08)
    parser.add_argument("--slice", type=int, default=0)
    options = parser.parse_args()
    kspace = jnp.asarray(dj.data.read_slice(options.file, options.slice).kspace)
    pattern = dj.masks.CartesianRandom(options.acceleration, options.center_fraction)
    mask = jnp.asarray(pattern(kspace.shape[-2:], options.file.name))
    measured = mask * kspace
    target = dj.physics.rss(dj.physics.ifft2c(kspace))
    signal = target > 0.1 * jnp.max(target)

    recon, params = dj.load(options.model)
    estimated = dj.physics.low_resolution_smaps(measured, options.center_fraction)
    sources = {
        "low resolution": estimated,
        "learned": recon.smaps(params["smaps"], estimated),
        "ESPIRiT": dj.physics.espirit(measured, options.center_fraction, crop=0.0),
    }
    table = Table(
        "maps", "PSNR", "SSIM", "evaluations", "residual", "roughness", "norm - 1, at most", title=options.file.name
    )
    without = recon.replace(smaps=None)
    for name, smaps in sources.items():
        image, stats = without(params, dj.physics.Sense(smaps, mask), measured)
        magnitude = jnp.abs(image)
        norm = float(jnp.max(jnp.where(signal, jnp.abs(dj.physics.rss(smaps) - 1), 0)))
        table.add_row(
            name,
            f"{float(dj.metrics.psnr(magnitude, target)):.2f}",
            f"{float(dj.metrics.ssim(magnitude, target)):.3f}",
            str(stats.num_steps),
            f"{float(stats.residual):.1e}",
            f"{roughness(smaps, signal):.4f}",
            f"{norm:.1e}",
        )
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
