"""Compare the time of one program for 16 pairs of 2-D brains with 16 separate programs, and check that they agree.

    python benchmarks/registration_pairs.py path/to/oasis2d_000_079.npz

Every separate program is compiled anew, as in a loop over pairs without a shared compilation. The column "shared
program" is the same loop after `register` has compiled its program.
"""

import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from timing import timed

from deqjax.registration import register, register_pairs, regularizers, similarities, transforms

PAIRS = 16
AFFINE: dict[str, Any] = {"transform": transforms.Affine(), "similarity": similarities.NCC(), "levels": (4.0, 2.0)}
FREE_FORM = AFFINE | {"transform": transforms.FreeForm(spacing=16.0), "regularizer": regularizers.Bending(weight=1.0)}


def register_separately(fixed, moving, settings):
    found = []
    for f, m in zip(fixed, moving):
        jax.clear_caches()
        found.append(jax.block_until_ready(register(f, m, **settings)))
    return found


def main(path):
    brains = np.load(path)["images"]
    fixed, moving = brains[:PAIRS], brains[PAIRS : 2 * PAIRS]
    print("transform   at once  one program, s  again, s  separate programs, s  speed-up  shared program, s  apart")
    for name, given in (("affine", AFFINE), ("free-form", FREE_FORM)):
        loop, apart = timed(lambda given=given: register_separately(fixed, moving, given))
        _, shared = timed(lambda given=given: [register(f, m, **given).measures for f, m in zip(fixed, moving)])
        for at_once in (1, PAIRS):
            jax.clear_caches()
            call = lambda given=given, at_once=at_once: register_pairs(fixed, moving, **given, at_once=at_once)
            (many, first), (_, again) = timed(call), timed(call)
            stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *[found.map for found in loop])
            differences = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), many.map, stacked)
            print(
                f"{name:11} {at_once:7} {first:15.2f} {again:9.2f} {apart:21.2f} {apart / first:9.1f} {shared:18.2f}  "
                f"{max(jax.tree.leaves(differences)):.1e}",
                flush=True,
            )


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1])
