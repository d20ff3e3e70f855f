"""One reconstruction with coil maps from several sources: python benchmarks/coil_maps.py MODEL FILE.h5 [--slice N]

The network and the solver of MODEL reconstruct the slice with low-resolution maps and with the maps of ESPIRiT. If the
model refines coil maps (configs/learned_maps.toml), it is also run with the maps that it computes from the
low-resolution ones. All maps are estimated from the same calibration lines. PSNR and SSIM are relative to the root sum
of squares of the full k-space, which favours no coil maps. Roughness is the root mean square of the difference between
neighbouring pixels of the maps, over the pixels with signal.
"""

import argparse

import jax
import jax.numpy as jnp
from multi_coil import add_slice_options, measure_slice
from rich.console import Console
from rich.table import Table

import deqjax as dj


def roughness(smaps: jax.Array, signal: jax.Array) -> float:
    """Measure the roughness of maps (coil, y, x) over the pairs of neighbours that both have signal (y, x)."""
    energy = pairs = jnp.zeros(())
    for maps, inside in ((smaps, signal), (smaps.swapaxes(-1, -2), signal.T)):
        both = inside[:, 1:] & inside[:, :-1]
        step = jnp.sum(jnp.abs(jnp.diff(maps)) ** 2, axis=0)
        energy, pairs = energy + jnp.sum(both * step), pairs + jnp.sum(both)
    return float(jnp.sqrt(energy / pairs))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", metavar="MODEL", help="a name or a model folder")
    add_slice_options(parser)
    options = parser.parse_args()
    mask, measured, target = measure_slice(options)
    signal = target > 0.1 * jnp.max(target)

    recon, params = dj.load(options.model)
    estimated = dj.physics.low_resolution_smaps(measured, options.center_fraction)
    sources = {
        "low resolution": estimated,
        "ESPIRiT": dj.physics.espirit(measured, options.center_fraction, crop=0.0),
    }
    if recon.smaps is not None:
        sources["learned"] = recon.smaps(params["smaps"], estimated)
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
