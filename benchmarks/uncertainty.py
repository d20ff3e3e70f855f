"""The coverage of error bars: python benchmarks/uncertainty.py MODEL [--data=FILES] [--other=FILES] [--keep=FOLDER]

First, the scores in calibration.toml are split at random, which needs no data. The slices of --data were not in the
training. They are undersampled as the config of the model says and reconstructed with the evidence about their errors.
In 200 random splits, one part calibrates and the other tests. The table shows, for the learned scale of the model and
for simpler ones:

* images: the share of the test images of which at most 10 % of the pixels lie outside their intervals (0.90 is asked
  for; n calibration images give ceil(0.9 (n + 1)) / (n + 1) in expectation),
* pixels: the share of their pixels inside,
* width: the mean width of the intervals relative to the energy scale,
* rank: the rank correlation of the scale with the error, the mean over the images.

The second table applies calibration.toml of the model to the slices of --other, of other people. --keep stores what was
computed in a folder, and uses it the next time.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats import spearmanr
from timing import median_timed

import deqjax as dj
from deqjax import model_folders
from deqjax.data import Batch, Slices, estimate_noise, list_files
from deqjax.metrics import psnr
from deqjax.objectives import Acquisition
from deqjax.run.calibration import acquired_examples
from deqjax.uncertainty import Calibration, Evidence, Example, conformal_quantile, gather, image_score, scores_of
from deqjax.uncertainty.scale import FLOOR

ALPHA = DELTA = 0.1
PARTS = (15, 19)
"""How many of the images calibrate. With 9, 19 or 29 the formula gives a coverage of exactly 0.9."""

SPLITS, MANY_SPLITS = 200, 20000
OBJECT = 0.1
"""The object is where the target is above this fraction of its maximum."""

Scale = Callable[[Evidence], np.ndarray]


def baselines() -> dict[str, Scale]:
    """Return the scales with which the learned one is compared; a floor keeps them from being 0."""

    def floored(evidence: Evidence, values: jax.Array) -> np.ndarray:
        return np.asarray(values + FLOOR * evidence.scale)

    return {
        "constant": lambda one: floored(one, jnp.ones(one.image.shape) * one.scale),
        "|x - zero-filled|": lambda one: floored(one, jnp.abs(one.image - one.zero_filled)),
        "gradient of |x|": lambda one: floored(one, jnp.hypot(*jnp.gradient(jnp.abs(one.image), axis=(1, 2)))),
        "noise map": lambda one: floored(one, one.noise),
        "resampled lines": lambda one: floored(one, one.resampling),
    }


def reconstructed(options: argparse.Namespace, files: str, stride: int = 1) -> list[Example]:
    """Reconstruct slices with their evidence, or read what was kept of them."""
    recon, params = dj.load(options.model)
    config, slices = model_folders.load_config(options.model), Slices(list_files(files))
    chosen = range(0, len(slices), stride)
    return [one for one, _ in acquired_examples(recon, params, config, slices, chosen, options.keep)]


def error_of(example: Example) -> np.ndarray:
    return np.abs(np.abs(np.asarray(example.evidence.image[0])) - example.target)


class Judged(NamedTuple):
    """A scale on every calibration image."""

    scores: np.ndarray
    """The factor that each image needs, (image,)."""

    widths: np.ndarray
    """The mean width of the intervals for a factor of 1, relative to the energy scale, (image,)."""

    ratios: list[np.ndarray]
    """The sorted quotients of error and scale of the pixels of each image."""

    rank: float
    """The mean rank correlation of scale and error."""


def judge(scale: Scale, examples: Sequence[Example]) -> Judged:
    errors, expected = [error_of(one) for one in examples], [scale(one.evidence)[0] for one in examples]
    units = np.array([float(one.evidence.scale[0, 0, 0]) for one in examples])
    ranks = [spearmanr(u.ravel(), e.ravel()).statistic if np.ptp(u) else 0.0 for u, e in zip(expected, errors)]
    return Judged(
        scores=np.array([image_score(error, u, ALPHA) for error, u in zip(errors, expected)]),
        widths=2 * np.array([u.mean() for u in expected]) / units,
        ratios=[np.sort((error / u).ravel()) for error, u in zip(errors, expected)],
        rank=float(np.mean(ranks)),
    )


def split_table(judged: Mapping[str, Judged], part: int) -> None:
    """Print coverage, width and rank correlation over random splits with ``part`` calibration images."""
    total = len(next(iter(judged.values())).scores)
    print(f"{part} images calibrate, {total - part} test; expected {conformal_rank(part) / (part + 1):.3f}")
    for name, (scores, widths, ratios, correlation) in judged.items():
        rng, rows = np.random.default_rng(0), []
        for _ in range(SPLITS):
            order = rng.permutation(total)
            factor, test = conformal_quantile(scores[order[:part]], DELTA), order[part:]
            inside = [np.searchsorted(ratios[i], factor, side="right") / ratios[i].size for i in test]
            rows.append((np.mean(scores[test] <= factor), np.mean(inside), factor * widths[test].mean()))
        images, pixels, width = np.mean(rows, axis=0)
        print(f"  {name:18} images {images:.3f}, pixels {pixels:.3f}, width {width:.3f}, rank {correlation:.2f}")


def covered(scores: np.ndarray, part: int, splits: int = SPLITS) -> tuple[float, float]:
    """Return the share of test images with a score up to the quantile, over random splits, and its standard error."""
    rng, found = np.random.default_rng(0), []
    for _ in range(splits):
        order = rng.permutation(len(scores))
        found.append(np.mean(scores[order[part:]] <= conformal_quantile(scores[order[:part]], DELTA)))
    return float(np.mean(found)), float(np.std(found) / np.sqrt(splits))


def stored_splits(calibration: Calibration) -> None:
    """Print the coverage over many splits of the scores in calibration.toml, beside that of the formula."""
    for part in PARTS:
        expected = conformal_rank(part) / (part + 1)
        for splits in (SPLITS, MANY_SPLITS):
            (images, error), (bounds, bounds_error) = (
                covered(np.array(scores), part, splits) for scores in (calibration.scores, calibration.psnr_scores)
            )
            print(
                f"{part} images calibrate, {splits} splits: expected {expected:.3f}; images {images:.3f} +- "
                f"{error:.3f}, PSNR above its bound {bounds:.3f} +- {bounds_error:.3f}"
            )


def conformal_rank(part: int) -> int:
    """Return which of the sorted scores the conformal quantile is."""
    return int(np.ceil((part + 1) * (1 - DELTA) - 1e-9))


def applied(options: argparse.Namespace, examples: Sequence[Example], label: str) -> None:
    """Print how calibration.toml of the model covers slices."""
    calibration = model_folders.load_calibration(options.model)
    assert calibration is not None
    rows = []
    for example in examples:
        bounds, target = calibration.bounds(example.evidence), example.target
        inside = (bounds.low[0] <= target) & (target <= bounds.high[0])
        true = float(psnr(np.abs(np.asarray(example.evidence.image[0])), target))
        in_object = inside[target > OBJECT * target.max()].mean()
        bound = float(bounds.psnr_at_least[0])
        rows.append((np.mean(~inside) <= ALPHA, inside.mean(), in_object, bound <= true, true - bound))
    images, pixels, in_object, bounded, margin = np.mean(rows, axis=0)
    print(
        f"{label}, {len(rows)} slices: images {images:.2f}, pixels {pixels:.3f}, pixels of the object {in_object:.3f}; "
        f"PSNR above its bound {bounded:.2f}, by {margin:.1f} dB on average"
    )


def cost(options: argparse.Namespace, examples: Sequence[Example]) -> None:
    """Print what the error bars take, in evaluations and in seconds, relative to the reconstruction alone."""
    steps = np.array([int(one.evidence.stats.num_steps[0]) for one in examples])
    products = np.array([int(one.evidence.products[0]) for one in examples])
    ratio = (steps + products) / steps
    print(
        f"evaluations: {steps.mean():.1f} for the images, {products.mean():.1f} more for the error bars; together "
        f"{ratio.mean():.2f} reconstructions ({ratio.min():.2f} to {ratio.max():.2f})"
    )
    recon, params = dj.load(options.model)
    config = model_folders.load_config(options.model)
    kspace = Slices(list_files(options.data)).example(0)
    batch = Batch(kspace[None], config.mask(kspace.shape, (config.seed, 0))[None])
    measured = Acquisition(config.data.noise, config.mask.calibration_fraction)(batch, jax.random.key(0)[None])
    _, alone = median_timed(lambda: recon(params, measured.A, measured.kspace), 3)
    sigma = estimate_noise(np.asarray(measured.kspace[0]), np.asarray(batch.mask[0]))
    _, both = median_timed(lambda: gather(recon, params, measured.A, measured.kspace, sigma, jax.random.key(0)), 3)
    print(f"seconds for one slice: {alone:.2f} for the image, {both:.2f} with the evidence ({both / alone:.2f} times)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="the name of a model, or a model folder")
    parser.add_argument("--data", help="fully sampled files of the calibration; without them only the scores are split")
    parser.add_argument("--other", nargs="*", default=[], metavar="FILES", help="files of other people")
    parser.add_argument("--stride", type=int, default=1, help="of --other, take every n-th slice")
    parser.add_argument("--keep", type=Path, help="a folder for what was computed")
    options = parser.parse_args()
    calibration = model_folders.load_calibration(options.model)
    if calibration is None:
        raise SystemExit(f"{options.model}: has no calibration; run deqjax calibrate first")
    stored_splits(calibration)
    if options.data is None:
        return
    examples = reconstructed(options, options.data)
    scales: dict[str, Scale] = {"learned": calibration.scale, **baselines()}
    judged = {name: judge(scale, examples) for name, scale in scales.items()}
    psnr_scores = np.array([scores_of(one, calibration.scale, ALPHA)[1] for one in examples])
    for part in PARTS:
        split_table(judged, part)
        print(f"  the PSNR is above its bound in {covered(psnr_scores, part)[0]:.3f} of the test images")
    applied(options, examples, "the calibration slices themselves")
    for files in options.other:
        applied(options, reconstructed(options, files, options.stride), files)
    cost(options, examples)


if __name__ == "__main__":
    main()
