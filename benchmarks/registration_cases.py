"""Register the six cases with known answers and print how far each map is from the truth.

    python benchmarks/registration_cases.py path/to/registration_cases.py [case ...]

The argument is the generator of the cases: a file with ``load_case(name)`` and ``evaluate(case, phi)``.
"""

import importlib.util
import resource
import sys
import time

import jax
import jax.numpy as jnp

from deqjax.registration import Grid, align_centres, optimisers, register, regularisers, similarities, transforms

AFFINE = {"transform": transforms.Affine(), "mask": None}
AFFINE_3D = AFFINE | {"levels": (8.0, 4.0)}
FREE_2D = {"transform": transforms.FreeForm(spacing=12.0), "regulariser": regularisers.Bending(weight=0.1), "order": 3}
FREE_3D = {"transform": transforms.FreeForm(spacing=16.0), "regulariser": regularisers.Bending(weight=0.1)}
DENSE = {"transform": transforms.Dense(smoothing=8.0), "optimiser": optimisers.GaussNewton(steps=5, products=6)}
LOCAL = {
    "transform": transforms.FreeForm(spacing=16.0),
    "regulariser": regularisers.Bending(weight=1.0),
    "similarity": similarities.LocalNCC(width=6.0),
}
CASES = {
    "affine2d": ("affine2d", [AFFINE]),
    "deform2d": ("deform2d", [FREE_2D]),
    "affine3d": ("affine3d", [AFFINE_3D]),
    "deform3d": ("deform3d", [FREE_3D]),
    "deform3d, dense": ("deform3d", [DENSE]),
    "both3d": ("both3d", [AFFINE_3D, FREE_3D]),
    "deform3d_int": ("deform3d_int", [LOCAL]),
}


def run(case, stages):
    """Register a case stage by stage, each stage's map the init of the next; affine maps use the whole head."""
    fixed, moving, grid = case["fixed"], case["moving"], Grid.of(case["fixed"].shape, case["spacing"])
    map = None if "mask" not in stages[0] else align_centres(fixed, moving, grid, grid)
    for stage in stages:
        given = {"mask": case["mask"], "init": map, "fixed_grid": grid, "moving_grid": grid} | stage
        map = register(fixed, moving, **given).map
    return jnp.moveaxis(grid.points() + map.displacement(grid), -1, 0)


def measure(case, stages):
    before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    phi = jax.block_until_ready(run(case, stages))
    after = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    cpu = after[1].ru_utime + after[1].ru_stime - before[1].ru_utime - before[1].ru_stime
    return phi, after[0] - before[0], cpu


def main(path, *names):
    spec = importlib.util.spec_from_file_location("cases", path)
    cases = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(cases)
    print("case               before   after    95 %  folded   dice      s  CPU s compile s")
    for name in names or CASES:
        case = cases.load_case(CASES[name][0])
        grid = Grid.of(case["fixed"].shape, case["spacing"])
        before = cases.evaluate(case, jnp.moveaxis(grid.points(), -1, 0))["tre_mean"]
        first, with_compilation, _ = measure(case, CASES[name][1])
        phi, seconds, cpu = measure(case, CASES[name][1])
        assert bool(jnp.all(first == phi)), f"{name}: two runs gave different numbers"
        found = cases.evaluate(case, phi)
        print(
            f"{name:17} {before:7.3f} {found['tre_mean']:7.4f} {found['tre_p95']:7.3f} {found['fold_pct']:6.2f}% "
            f"{found['dice_gm']:6.3f} {seconds:6.1f} {cpu:6.1f} {with_compilation - seconds:9.1f}",
            flush=True,
        )


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(*sys.argv[1:])
