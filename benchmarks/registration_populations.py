"""Symmetric registration of 2-D brains, a template of people, and label fusion: NCC, folds, Dice, CPU seconds.

    python benchmarks/registration_populations.py --pairs=oasis2d_000_079.npz
    python benchmarks/registration_populations.py --labels=oasis_trt_01_10_labelled.npz [--count 3]
    python benchmarks/registration_populations.py --template=oasis_trt_01_10_labelled.npz
    python benchmarks/registration_populations.py --fusion=oasis_trt_01_10_labelled.npz [--targets 0 4 8]

``--pairs`` needs an array ``images``; it registers the 20 pairs of benchmarks/registration_attention.py. The others
need ``images`` and ``labels`` at 1 mm. ``--labels`` registers person k + 3 to person k, down to 1 mm, by each stage
after the affine one; the other two register down to 2 mm.
"""

import argparse
import time

import jax
import jax.numpy as jnp
import numpy as np

from deqjax.registration import Grid, register_pairs, similarities, transforms, warp, warp_labels
from deqjax.registration.measures import folded_fraction, smallest_jacobian, volume_change
from deqjax.registration.populations import build_template, fuse_labels, local_weights
from deqjax.registration.stages import named_stage, register_stages

LEVELS = (8.0, 4.0, 2.0)
DEEP = (4, 43, 10, 49, 11, 50, 12, 51)
"""Lateral ventricles, thalamus, caudate and putamen."""
SYN = named_stage("syn")


def register_many(fixed, moving, levels=None):
    """Register pairs by an affine map, then SyN; return one map for each pair."""
    affine = register_pairs(fixed, moving, transforms.Affine(), similarities.NCC(), levels=(levels or (4.0, 2.0))[:2])
    settings = SYN.transform, SYN.similarity, None, levels
    found = register_pairs(fixed, moving, *settings, init=affine.map, optimizer=SYN.optimizer)
    return [jax.tree.map(lambda leaf, k=k: leaf[k], found.map) for k in range(len(fixed))]


def overlap_of_stages(path, count):
    data = np.load(path)
    images, labels = data["images"].astype(np.float32), data["labels"].astype(np.int32)
    grid, pairs = Grid.of(images.shape[1:]), [(k, (k + 3) % len(images)) for k in range(count)]
    fixed, moving = (images[[pair[side] for pair in pairs]] for side in (0, 1))
    affine = register_pairs(fixed, moving, transforms.Affine(), similarities.NCC(), levels=(4.0, 2.0)).map
    stages = {
        "affine": None,
        "syn": SYN,
        "free-form, local NCC": named_stage("free-form"),
        "free-form, NCC": named_stage("free-form", similarities.NCC()),
    }
    for name, stage in stages.items():
        maps = affine
        if stage is not None:
            settings = stage.transform, stage.similarity, stage.regularizer
            maps = register_pairs(fixed, moving, *settings, init=affine, optimizer=stage.optimizer).map
        rows = []
        for k, (a, b) in enumerate(pairs):
            one = jax.tree.map(lambda leaf, k=k: leaf[k], maps)
            warped = np.asarray(warp_labels(labels[b], one, grid, grid))
            volume = volume_change(one.displacement(grid), grid)
            present = [label for label in np.unique(labels[b]) if label != 0 and (labels[b] == label).sum() >= 20]
            groups = present, set(present) & set(DEEP), [label for label in present if label >= 1000]
            overlaps = (mean_dice(labels[a], warped, group) for group in groups)
            rows.append((*overlaps, float(folded_fraction(volume, jnp.ones(grid.shape, bool)))))
        every, deep, cortex, folded = np.mean(rows, 0)
        print(f"{name}: Dice {every:.3f}  deep {deep:.3f}  cortex {cortex:.3f}  folded {folded:.3%}", flush=True)


def correlation(a, b, inside=None):
    a, b = np.asarray(a), np.asarray(b)
    inside = np.ones(a.shape, bool) if inside is None else inside
    return np.corrcoef(a[inside], b[inside])[0, 1]


def pairs_of_brains(path):
    images = np.load(path)["images"].astype(np.float32)[-20:]
    fixed, moving, grid = images, np.roll(images, -7, axis=0), Grid.of(images.shape[1:])
    rows, started = [], time.process_time()
    maps = jax.block_until_ready(register_many(fixed, moving))
    seconds = time.process_time() - started
    for one, a, b in zip(maps, fixed, moving, strict=True):
        warped, vectors = warp(b, one, grid, grid), one.displacement(grid)
        folded = folded_fraction(volume_change(vectors, grid), jnp.ones(grid.shape, bool))
        row = correlation(a, warped), correlation(a, warped, a > 0.05), float(folded)
        rows.append((*row, float(smallest_jacobian(vectors, grid))))
    mean, spread = np.mean(rows, 0), np.std(rows, 0)
    print(f"NCC {mean[0]:.4f} ± {spread[0]:.4f}  in the brain {mean[1]:.4f} ± {spread[1]:.4f}  folded {mean[2]:.2%}")
    print(f"smallest Jacobian of all pairs {np.min(rows, 0)[3]:.3f}  {seconds:.1f} CPU seconds with compilation")


def template_of_people(path):
    images = np.load(path)["images"].astype(np.float32)
    stages, started = [named_stage("affine", levels=LEVELS), named_stage("syn", levels=LEVELS)], time.process_time()
    template = build_template(images, stages)
    for number, (shift, change) in enumerate(zip(template.shifts, template.changes, strict=True), 1):
        print(f"round {number}: mean displacement {shift:.4f} mm before its removal, template changed by {change:.4f}")
    smallest = min(float(smallest_jacobian(one.vectors, template.grid)) for one in template.maps)
    shift = float(template.mean_displacement().mean())
    print(f"mean displacement to the template {shift:.4f} mm, smallest Jacobian of all maps {smallest:.3f}")
    again = [register_stages(template.image, image, stages)[-1].map.displacement(template.grid) for image in images]
    shift = jnp.linalg.norm(sum(again) / len(again), axis=-1)
    print(f"registered to it afresh: {float(shift.mean()):.4f} mm, {time.process_time() - started:.0f} CPU seconds")


def fusion_of_people(path, targets):
    data = np.load(path)
    images, labels = data["images"].astype(np.float32), data["labels"].astype(np.int32)
    grid = Grid.of(images.shape[1:])
    for target in targets:
        others = [k for k in range(len(images)) if k != target]
        maps = register_many(np.repeat(images[target][None], len(others), 0), images[others], LEVELS)
        warped = np.stack([warp_labels(labels[k], one, grid, grid) for k, one in zip(others, maps, strict=True)])
        atlases = jnp.stack([warp(images[k], one, grid, grid) for k, one in zip(others, maps, strict=True)])
        single = [mean_dice(labels[target], one) for one in warped]
        fused = fuse_labels(warped), fuse_labels(warped, local_weights(images[target], atlases, grid))
        majority, local = (mean_dice(labels[target], one) for one in fused)
        print(
            f"target {target}  single {np.mean(single):.4f}, the best {max(single):.4f}  majority {majority:.4f}  "
            f"local weights {local:.4f}",
            flush=True,
        )


def mean_dice(truth, found, labels=None):
    """Return the mean Dice of some labels, or of all, with at least 20 voxels in the truth."""
    numbers = np.unique(truth[truth != 0]) if labels is None else labels
    numbers = [label for label in numbers if (truth == label).sum() >= 20]
    overlap = lambda a, b: 2 * (a & b).sum() / (a.sum() + b.sum())
    return np.mean([overlap(truth == label, found == label) for label in numbers])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", metavar="NPZ")
    parser.add_argument("--labels", metavar="NPZ")
    parser.add_argument("--count", type=int, default=3, help="the number of pairs of --labels")
    parser.add_argument("--template", metavar="NPZ")
    parser.add_argument("--fusion", metavar="NPZ")
    parser.add_argument("--targets", type=int, nargs="+", default=[0, 4, 8])
    given = parser.parse_args()
    if given.pairs:
        pairs_of_brains(given.pairs)
    if given.labels:
        overlap_of_stages(given.labels, given.count)
    if given.template:
        template_of_people(given.template)
    if given.fusion:
        fusion_of_people(given.fusion, given.targets)
