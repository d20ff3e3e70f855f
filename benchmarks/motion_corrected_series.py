"""Motion-corrected reconstruction of a cine: python benchmarks/motion_corrected_series.py --series=FILE.npz

    python benchmarks/motion_corrected_series.py --series=FILE.npz [--acceleration 4] [--rounds 4] [--crop 128]

The file holds frames (t, y, x). Each frame is undersampled by its own mask, and noise of 1 % of the scale is added. A
fifth of the measured lines is held out. The table shows, for every method, the ratio of signal to error of the lines
held out, which a site without full data can measure as well, and the PSNR and SSIM of the frames against the truth.
The results go to runs/motion_corrected_series.json.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.table import Table

from deqjax import masks
from deqjax.classical_methods import classical_method
from deqjax.data import crop_image, energy_scale
from deqjax.maps import PrimalDual
from deqjax.metrics import psnr, ssim
from deqjax.motion_correction import reconstruct_series
from deqjax.objectives import NoMotion
from deqjax.objectives.motion import Motion
from deqjax.physics import MaskedFourier, fft2c
from deqjax.priors import TotalVariation
from deqjax.reconstruct import Reconstructor
from deqjax.run.without_targets import decibel, hold_out
from deqjax.solvers import Anderson
from deqjax.types import ForwardModel

OUT = Path("runs/motion_corrected_series.json")
CENTER_FRACTION = 0.08


def frame_by_frame(A: ForwardModel, kspace: jnp.ndarray) -> tuple[jnp.ndarray, bool]:
    frames, stats = classical_method("total-variation")({}, A, kspace)
    return frames, bool(stats.converged)


def in_space_and_time(A: ForwardModel, kspace: jnp.ndarray) -> tuple[jnp.ndarray, bool]:
    method = Reconstructor(PrimalDual(TotalVariation(dimensions=3), weight=0.02), Anderson(max_steps=300, rtol=1e-3))
    frames, stats = method({}, A, kspace)
    return frames, bool(stats.converged)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", required=True, help="an .npz file with frames (t, y, x)")
    parser.add_argument("--acceleration", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=4, help="rounds of image and motion")
    parser.add_argument("--crop", type=int, default=128, help="the size of the window in the centre")
    options = parser.parse_args()
    with np.load(options.series) as file:
        truth = crop_image(file["frames"], (options.crop, options.crop)).astype(np.complex64)
    shape, rng = truth.shape[1:], np.random.default_rng(0)
    pattern = masks.CartesianRandom(options.acceleration, CENTER_FRACTION)
    measured = np.stack([pattern(shape, t) for t in range(len(truth))])
    held_out = np.stack([hold_out(mask, CENTER_FRACTION, t) for t, mask in enumerate(measured)])
    noise = rng.normal(size=(2, *truth.shape)) * 0.01 * energy_scale(np.abs(truth) ** 2) / np.sqrt(2)
    kspace = np.asarray(fft2c(jnp.asarray(truth))) + noise[0] + 1j * noise[1]
    A = MaskedFourier(jnp.asarray(measured - held_out), "tyx")
    seen = jnp.asarray((measured - held_out) * kspace, jnp.complex64)

    def corrected(A: ForwardModel, kspace: jnp.ndarray, motion: Motion | None = None) -> tuple[jnp.ndarray, bool]:
        found = reconstruct_series(A, kspace, motion, rounds=options.rounds)
        return found.frames, all(bool(stats.converged) for stats in found.stats)

    methods: dict[str, Callable] = {
        "zero-filled": lambda A, kspace: (A.adjoint(kspace), True),
        "total variation, frame by frame": frame_by_frame,
        "total variation in space and time": in_space_and_time,
        "motion-corrected": corrected,
        "the same without motion": lambda A, kspace: corrected(A, kspace, NoMotion()),
    }
    table = Table("method", "held-out SNR, dB", "PSNR, dB", "SSIM", "converged", "CPU seconds")
    results = {}
    for name, method in methods.items():
        start = time.process_time()
        frames, converged = method(A, seen)
        predicted = np.asarray(fft2c(frames))
        images, limit = jnp.abs(frames), float(np.abs(truth).max())
        results[name] = {
            "held-out SNR": decibel(np.sum(np.abs(held_out * (predicted - kspace)) ** 2), _energy(held_out * kspace)),
            "PSNR": float(psnr(images, np.abs(truth), limit)),
            "SSIM": float(ssim(images, np.abs(truth), limit)),
            "converged": converged,
            "CPU seconds": time.process_time() - start,
        }
        row = results[name]
        numbers = (f"{row['held-out SNR']:.2f}", f"{row['PSNR']:.2f}", f"{row['SSIM']:.3f}")
        table.add_row(name, *numbers, str(converged), f"{row['CPU seconds']:.0f}")
        OUT.parent.mkdir(parents=True, exist_ok=True)
        OUT.write_text(json.dumps(vars(options) | {"results": results}))
    Console(width=120).print(table)


def _energy(kspace: np.ndarray) -> float:
    return float(np.sum(np.abs(kspace) ** 2))


if __name__ == "__main__":
    main()
