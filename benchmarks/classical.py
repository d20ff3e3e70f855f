"""Classical reconstruction compared with sigpy: python benchmarks/classical.py CASE.py [FILE.h5 ...]

CASE.py is a Python file with a function ``sense_case()``. The files are fully sampled multi-coil scans, which are
undersampled here by a Poisson disc. ESPIRiT is compared first, then total variation and l1-wavelet with the objective,
the weight and 100 iterations of sigpy. deqjax takes as many evaluations as it needs to reach the final objective of
sigpy and the PSNR of sigpy minus 0.05 dB. The times are medians of several calls. The step size and the history of
Anderson were chosen on these cases.
"""

import argparse
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import sigpy.mri as mr
from rich.console import Console
from rich.table import Table
from timing import median_timed

import deqjax as dj
from deqjax.data import crop_kspace, read_volume
from deqjax.types import Params, Prior

STEPS = (15, 20, 25, 30, 35, 40, 50, 70, 100, 200)
CURVE = (5, 10, 20, 40, 70, 100)
ITERATIONS = 100
PRIORS: dict[str, tuple[Prior, Callable[..., Any]]] = {
    "total variation": (dj.priors.TotalVariation(isotropic=False), mr.app.TotalVariationRecon),
    "l1-wavelet": (dj.priors.Wavelet(moments=4, levels=5), mr.app.L1WaveletRecon),
}


def cases(generator: str, files: list[str]) -> dict[str, dict[str, np.ndarray]]:
    """Read the cases, each with image, smaps, mask and kspace. The largest pixel of an image is close to 1."""
    spec = importlib.util.spec_from_file_location("sense_case", generator)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = {"phantom, 8 coils": module.sense_case()}
    for path in files:
        kspace = read_volume(path, (0, 0)).kspace[0]
        kspace = kspace / np.abs(dj.physics.rss(dj.physics.ifft2c(jnp.asarray(kspace)))).max()
        smaps = np.asarray(dj.physics.espirit(jnp.asarray(kspace), 24 / max(kspace.shape[-2:])))
        mask = np.abs(mr.poisson(kspace.shape[-2:], 4, calib=(24, 24), seed=0, dtype=np.float32))
        image = np.asarray(dj.physics.combine_coils(dj.physics.ifft2c(jnp.asarray(kspace)), jnp.asarray(smaps)))
        found[Path(path).stem] = {"image": image, "smaps": smaps, "mask": mask, "kspace": kspace * mask, "full": kspace}
    return found


def make_method(prior: Prior, shape: tuple[int, ...], evaluations: int) -> dj.Reconstructor:
    """Use FISTA if the wavelets are orthonormal, that is if every level halves the sizes, and primal-dual otherwise."""
    if isinstance(prior, dj.priors.Wavelet) and all(size % 2**prior.levels == 0 for size in shape[-2:]):
        picard = dj.solvers.Picard(max_steps=evaluations + 1, rtol=0.0)
        return dj.Reconstructor(dj.maps.FISTA(prior, learn_weight=True), picard)
    anderson = dj.solvers.Anderson(history=8, ridge=1e-3, max_steps=evaluations + 1, rtol=0.0)
    return dj.Reconstructor(dj.maps.PrimalDual(prior, learn_weight=True, step_size=0.35), anderson)


def objective(prior: Prior, weight: float, A: dj.physics.Sense, kspace: jax.Array, image: np.ndarray) -> float:
    """Compute ``1/2 ||A x - y||^2 + weight g(x)``."""
    misfit = A.forward(jnp.asarray(image)) - kspace
    return float(0.5 * jnp.sum(jnp.abs(misfit) ** 2) + weight * prior.value(jnp.asarray(image)))


def compare(name: str, case: dict[str, np.ndarray], weight: float, repeats: int) -> dict[str, Any]:
    """Compare one prior on one case: the iterations of sigpy, and the evaluations that reach the same objective."""
    prior, app = PRIORS[name]
    smaps, kspace = jnp.asarray(case["smaps"]), jnp.asarray(case["kspace"])
    A = dj.physics.Sense(smaps, jnp.asarray(case["mask"]))
    scale = float(dj.EnergyScale()(A.adjoint(kspace)).scale[0, 0])
    # The weight of deqjax is relative to the scale of the data.
    params: Params = {"map": {"log_weight": jnp.log(weight / scale)}}

    def theirs(iterations: int) -> np.ndarray:
        return app(case["kspace"], case["smaps"], lamda=weight, max_iter=iterations, show_pbar=False).run()

    def ours(evaluations: int) -> jax.Array:
        recon = make_method(prior, case["mask"].shape, evaluations)
        return recon(params, A, kspace)[0]

    value = lambda image: objective(prior, weight, A, kspace, np.asarray(image))
    psnr = lambda image: float(dj.metrics.psnr(jnp.abs(jnp.asarray(image)), jnp.abs(jnp.asarray(case["image"]))))
    sigpy_image, sigpy_seconds = median_timed(lambda: theirs(ITERATIONS), repeats)
    goal, decibels = value(sigpy_image), psnr(sigpy_image)
    good = lambda image: value(image) <= goal and psnr(image) >= decibels - 0.05
    needed = next((n for n in STEPS if good(ours(n))), None)  # each number is compiled separately
    steps = needed or STEPS[-1]
    image, took = median_timed(lambda: ours(steps), repeats)
    curve = [(took * n / steps, value(ours(n))) for n in CURVE]
    theirs_curve = [(sigpy_seconds * n / ITERATIONS, value(theirs(n))) for n in CURVE]
    return {
        "sigpy seconds": sigpy_seconds,
        "sigpy PSNR": decibels,
        "evaluations": needed,
        "seconds": took,
        "PSNR": psnr(image),
        "curves": {"deqjax": curve, "sigpy": theirs_curve},
    }


def compare_espirit(kspace: np.ndarray, repeats: int) -> tuple[float, float]:
    """Time ESPIRiT with a calibration square of 24 lines in deqjax and in sigpy, on the central square of k-space."""
    side = min(kspace.shape[-2:])
    kspace = crop_kspace(kspace, (side, side))
    _, ours = median_timed(lambda: dj.physics.espirit(jnp.asarray(kspace), 24 / side), repeats)
    _, theirs = median_timed(lambda: mr.app.EspiritCalib(kspace, crop=0.95, show_pbar=False).run(), repeats)
    return ours, theirs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("generator", metavar="CASE.py", help="a Python file with sense_case()")
    parser.add_argument("files", nargs="*", metavar="FILE.h5", help="fully sampled multi-coil files")
    parser.add_argument("--weight", type=float, default=0.005, help="weight of the prior; default: 0.005")
    parser.add_argument("--repeats", type=int, default=5, help="calls of which the median is taken; default: 5")
    parser.add_argument("--picture", type=Path, metavar="OUT.png", help="draw the objective over the time")
    options = parser.parse_args()
    console = Console(width=120)
    curves: dict[tuple[str, str], dict[str, list[tuple[float, float]]]] = {}
    table = Table("case", "work", "sigpy (s)", "deqjax (s)", "sigpy / deqjax", "evaluations", "sigpy dB", "deqjax dB")
    for case_name, case in cases(options.generator, options.files).items():
        ours, theirs = compare_espirit(case.get("full", case["kspace"]), options.repeats)
        table.add_row(case_name, "ESPIRiT", f"{theirs:.2f}", f"{ours:.2f}", f"{theirs / ours:.1f}")
        for name in PRIORS:
            row = compare(name, case, options.weight, options.repeats)
            curves[case_name, name] = row["curves"]
            ratio = f"{row['sigpy seconds'] / row['seconds']:.1f}" if row["evaluations"] else "not reached"
            table.add_row(
                case_name,
                name,
                f"{row['sigpy seconds']:.2f}",
                f"{row['seconds']:.2f}",
                ratio,
                str(row["evaluations"] or f"> {STEPS[-1]}"),
                f"{row['sigpy PSNR']:.2f}",
                f"{row['PSNR']:.2f}",
            )
    console.print(table)
    if options.picture:
        draw(curves, options.picture)


def draw(curves: dict[tuple[str, str], dict[str, list[tuple[float, float]]]], path: Path) -> None:
    """Draw the relative excess of the objective over its lowest value, over the time in seconds."""
    from matplotlib.figure import Figure

    rows = len(PRIORS)
    figure = Figure(figsize=(3.6 * len(curves) / rows, 2.8 * rows), layout="constrained")
    panels = figure.subplots(rows, len(curves) // rows, squeeze=False).T.flat  # one column per case, one row per prior
    for axes, (title, sides) in zip(panels, curves.items()):
        least = min(value for points in sides.values() for _, value in points)
        for side, points in sides.items():
            axes.loglog([t for t, _ in points], [value / least - 1 + 1e-6 for _, value in points], "o-", label=side)
        axes.set_title(", ".join(title), fontsize="medium")
        axes.set(xlabel="seconds", ylabel="objective / least - 1")
        axes.xaxis.set_minor_formatter("")
        axes.legend()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
