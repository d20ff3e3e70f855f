"""Compare the default and the fast preset: NCC, folds, Dice, and CPU seconds with and without compilation.

    python benchmarks/registration_presets.py --data=oasis_trt_01_10_labelled.npz [--count 5]
    python benchmarks/registration_presets.py --volumes oasis_A.nii.gz oasis_B.nii.gz

``--data`` has `images` and perhaps `labels` (people, x, y), of which it registers person k + 3 to person k; the voxel
size counts as 1 mm. ``--volumes`` registers one pair.
"""

import argparse
import time

import jax
import jax.numpy as jnp
import numpy as np
from registration_populations import DEEP, correlation, mean_dice

from deqjax.registration import Grid, align_centres, read_image, warp, warp_labels
from deqjax.registration.stages import faster, named_stage, register_stages

STAGES = (("affine", "free-form"), ("affine", "syn"))


def measure(fixed, moving, grids, names, preset):
    """Register once; return the last result and the CPU seconds."""
    stages = [named_stage(name) for name in names]
    stages = [faster(stage, grids[0]) for stage in stages] if preset == "fast" else stages
    start = align_centres(jnp.asarray(fixed), jnp.asarray(moving), *grids)
    began = time.process_time()
    found = register_stages(fixed, moving, stages, init=start, fixed_grid=grids[0], moving_grid=grids[1])[-1]
    jax.block_until_ready(found.measures)
    return found, time.process_time() - began


def main(args):
    labels = None
    if args.volumes:
        (fixed, fixed_grid), (moving, moving_grid) = (read_image(path) for path in args.volumes)
        pairs, grids = [(fixed, moving)], (fixed_grid, moving_grid)
    else:
        data = np.load(args.data)
        images = data["images"].astype(np.float32)
        people = [(k, (k + 3) % len(images)) for k in range(args.count)]
        pairs, grids = [(images[a], images[b]) for a, b in people], (Grid.of(images.shape[1:]),) * 2
        if "labels" in data:
            labels = [(data["labels"][a].astype(np.int32), data["labels"][b].astype(np.int32)) for a, b in people]
    print("| | NCC | folded | Dice | deep | cortex | CPU s, first | CPU s, again |\n|" + "---|" * 8)
    for names in STAGES:
        for preset in ("default", "fast"):
            jax.clear_caches()
            _, first = measure(*pairs[0], grids, names, preset)
            rows = []
            for k, (fixed, moving) in enumerate(pairs):
                found, seconds = measure(fixed, moving, grids, names, preset)
                warped = warp(jnp.asarray(moving), found.map, *grids)
                row = [correlation(fixed, warped), 100 * float(found.measures["folded_fraction"]), *[np.nan] * 3]
                if labels is not None:
                    (truth, other), present = labels[k], np.unique(labels[k][1])
                    moved = np.asarray(warp_labels(other, found.map, *grids))
                    groups = present[present != 0], set(present) & set(DEEP), [v for v in present if v >= 1000]
                    row[2:] = [mean_dice(truth, moved, group) for group in groups]
                rows.append([*row, seconds])
            ncc, folded, every, deep, cortex, again = np.mean(rows, axis=0)
            print(
                f"| {' + '.join(names)}, {preset} | {ncc:.4f} | {folded:.3f} % | {every:.3f} | {deep:.3f} | "
                f"{cortex:.3f} | {first:.1f} | {again:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data")
    parser.add_argument("--volumes", nargs=2)
    parser.add_argument("--count", type=int, default=5, help="the number of pairs of --data")
    main(parser.parse_args())
