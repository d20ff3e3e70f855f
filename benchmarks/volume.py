"""Time and memory of the total variation of a whole volume with several coils: python benchmarks/volume.py

The volume (z, y, x) is simulated from ellipsoids. It has birdcage coils, and a Poisson disc draws the sampled points in
(ky, kz); the readout along x is fully sampled. The command prints the number of evaluations, the time, the peak
resident memory of the process, and the PSNR.
"""

import argparse
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import deqjax as dj


def simulated_volume(shape: tuple[int, int, int]) -> np.ndarray:
    """Make nested ellipsoids with a smooth phase, (z, y, x) complex64."""
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, size, dtype=np.float32) for size in shape), indexing="ij")
    ellipsoids = [
        (1.0, 0.9, 0.85, 0.7, 0.0, 0.0),
        (-0.4, 0.8, 0.75, 0.6, 0.0, 0.0),
        (0.5, 0.3, 0.3, 0.15, -0.2, 0.2),
        (-0.3, 0.4, 0.2, 0.2, 0.3, -0.2),
        (0.3, 0.1, 0.08, 0.08, 0.4, 0.3),
    ]
    image = np.zeros(shape, np.float32)
    for value, depth, height, width, top, left in ellipsoids:
        image += value * ((z / depth) ** 2 + ((y - top) / height) ** 2 + ((x - left) / width) ** 2 < 1)
    return image * np.exp(1j * (0.5 * y + 0.8 * x * z)).astype(np.complex64)


def coil_maps(coils: int, shape: tuple[int, int, int]) -> np.ndarray:
    """Make birdcage coils that rotate slowly along z, (coil, z, y, x); their sum of squared magnitudes is 1."""
    flat = dj.data.birdcage_maps(coils, shape[1:])[:, None]
    mixing = 0.5 * np.linspace(-1, 1, shape[0], dtype=np.float32)[:, None, None]
    turned = np.cos(mixing) * flat + np.sin(mixing) * np.roll(flat, 1, axis=0)
    return turned / np.sqrt((abs(turned) ** 2).sum(axis=0))


def peak_memory() -> float:
    """Return the peak resident memory of this process in GiB (Linux)."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--shape", type=int, nargs=3, default=(64, 128, 128), metavar=("Z", "Y", "X"), help="default: 64 128 128"
    )
    parser.add_argument("--coils", type=int, default=8, help="number of coils; default: 8")
    parser.add_argument("--acceleration", type=float, default=6.0, help="in (ky, kz); default: 6")
    parser.add_argument(
        "--noise",
        type=float,
        default=0.01,
        help="standard deviation relative to the scale of the volume; default: 0.01",
    )
    parser.add_argument("--weight", type=float, default=0.005, help="weight of the total variation; default: 0.005")
    parser.add_argument("--max-steps", type=int, default=100, help="the largest number of evaluations; default: 100")
    parser.add_argument("--rtol", type=float, default=1e-3, help="relative residual at which it stops; default: 1e-3")
    options = parser.parse_args()
    shape = tuple(options.shape)

    truth = jnp.asarray(simulated_volume(shape))
    points = dj.masks.PoissonDisc(acceleration=options.acceleration, center_fraction=0.08)(shape[:2], seed=0)
    A = dj.physics.Sense(jnp.asarray(coil_maps(options.coils, shape)), jnp.asarray(points[..., None]), axes="zyx")
    level = options.noise * float(dj.EnergyScale()(truth, 3).scale.item())
    kspace = dj.physics.add_noise(jax.random.key(0), A.forward(truth), A.mask, level)

    prior = dj.priors.TotalVariation(dimensions=3)
    solver = dj.solvers.Anderson(max_steps=options.max_steps, rtol=options.rtol)
    recon = dj.Reconstructor(dj.maps.PrimalDual(prior, options.weight), solver)
    start = time.perf_counter()
    image, stats = jax.block_until_ready(recon({}, A, kspace))
    seconds = time.perf_counter() - start

    def psnr(found: jax.Array) -> float:
        return float(dj.metrics.psnr(jnp.abs(found), jnp.abs(truth)))

    print(f"volume {shape}, {options.coils} coils, acceleration {points.size / points.sum():.2f} in (ky, kz)")
    print(f"evaluations          {int(stats.num_steps)} (relative residual {float(stats.residual):.1e})")
    print(f"seconds              {seconds:.1f}, with compilation")
    print(f"peak resident memory {peak_memory():.2f} GiB")
    print(f"PSNR                 {psnr(image):.2f} dB; zero-filled {psnr(A.adjoint(kspace)):.2f} dB")


if __name__ == "__main__":
    main()
