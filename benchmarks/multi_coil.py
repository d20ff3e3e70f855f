"""Models, CG-SENSE and total variation on measured coils: python benchmarks/multi_coil.py FILE.h5 [MODEL ...]

All methods get the same mask of random lines, which is seeded by the name of the file, and the same coil maps, which
ESPIRiT estimates from the calibration lines. CG-SENSE and total variation have the weight that is best on this very
slice, which favours them. PSNR and SSIM compare the magnitude with the root sum of squares of the full k-space, which
favours no coil maps.
"""

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp
from rich.console import Console
from rich.table import Table

import deqjax as dj

PENALTIES = (1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
WEIGHTS = (0.001, 0.003, 0.01, 0.02, 0.04, 0.08)


def add_slice_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that select a slice and its undersampling."""
    parser.add_argument("file", type=Path, help="a fastMRI file with several coils")
    parser.add_argument("--acceleration", type=float, default=4, help="default: 4")
    parser.add_argument("--center-fraction", type=float, default=0.08, help="default: 0.08")
    parser.add_argument("--slice", type=int, default=0, help="the number of the slice; default: 0")


def measure_slice(options: argparse.Namespace) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return the mask, the undersampled k-space (coil, y, x), and the root sum of squares of the full k-space."""
    kspace = jnp.asarray(dj.data.read_slice(options.file, options.slice).kspace)
    pattern = dj.masks.CartesianRandom(options.acceleration, options.center_fraction)
    mask = jnp.asarray(pattern(kspace.shape[-2:], options.file.name))
    return mask, mask * kspace, dj.physics.rss(dj.physics.ifft2c(kspace))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_slice_options(parser)
    parser.add_argument(
        "models",
        nargs="*",
        default=dj.models(),
        metavar="MODEL",
        help="names or model folders; default: the shipped ones",
    )
    options = parser.parse_args()
    mask, measured, target = measure_slice(options)
    A = dj.physics.Sense(dj.physics.espirit(measured, options.center_fraction, crop=0.0), mask)
    zero_filled = A.adjoint(measured)

    def scores(image: jax.Array) -> tuple[float, float]:
        magnitude = jnp.abs(image)
        return float(dj.metrics.psnr(magnitude, target)), float(dj.metrics.ssim(magnitude, target))

    table = Table(
        "method", "PSNR", "SSIM", "evaluations", "residual", title=f"{options.file.name}, {mask.mean():.3f} sampled"
    )

    def add_row(name: str, image: jax.Array, *cells: str) -> None:
        table.add_row(name, *(f"{value:.3f}" for value in scores(image)), *cells)

    add_row("zero-filled", zero_filled)
    sense = {penalty: A.regularised_inverse(zero_filled, penalty, 50) for penalty in PENALTIES}
    best = max(sense, key=lambda penalty: scores(sense[penalty]))
    add_row(f"CG-SENSE, penalty {best:g}", sense[best], "50")
    solver = dj.solvers.Anderson(max_steps=300, rtol=1e-3)
    recon = dj.Reconstructor(dj.maps.PrimalDual(dj.priors.TotalVariation(), learn_weight=True), solver)
    found = {weight: recon({"map": {"log_weight": jnp.log(weight)}}, A, measured) for weight in WEIGHTS}
    best = max(found, key=lambda weight: scores(found[weight][0]))
    image, stats = found[best]
    add_row(f"total variation, weight {best:g}", image, str(stats.num_steps), f"{float(stats.residual):.1e}")
    for name in options.models:
        learned, params = dj.load(name)
        variants = {name: learned}
        if learned.finish is not None:
            variants[f"{name}, before its finish"] = learned.replace(finish=None)
        for label, method in variants.items():
            image, stats = method(params, A, measured)
            add_row(label, image, str(stats.num_steps), f"{float(stats.residual):.1e}")
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
