"""Register the six cases with known answers and print how far each map is from the truth.

    python benchmarks/registration_cases.py path/to/registration_cases.py [case ...]

The first argument is the generator of the cases: a file with ``load_case(name)`` and ``evaluate(case, phi)``.
"""

import importlib.util
import resource
import sys
import time
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp

from deqjax.registration import Grid, align_centres, optimizers, register, regularizers, similarities, transforms

Case = dict[str, Any]
Stage = dict[str, Any]

AFFINE: Stage = {"transform": transforms.Affine(), "mask": None}
AFFINE_3D: Stage = AFFINE | {"levels": (8.0, 4.0)}
FREE_3D: Stage = {"transform": transforms.FreeForm(spacing=16.0), "regularizer": regularizers.Bending(weight=0.1)}
FREE_2D: Stage = FREE_3D | {"transform": transforms.FreeForm(spacing=12.0), "order": 3}
DENSE: Stage = {"transform": transforms.Dense(smoothing=8.0), "optimizer": optimizers.GaussNewton(steps=5, products=6)}
LOCAL: Stage = {
    "transform": transforms.FreeForm(spacing=16.0),
    "regularizer": regularizers.Bending(weight=1.0),
    "similarity": similarities.LocalNCC(width=6.0),
}
CASES: dict[str, tuple[str, list[Stage]]] = {
    "affine2d": ("affine2d", [AFFINE]),
    "deform2d": ("deform2d", [FREE_2D]),
    "affine3d": ("affine3d", [AFFINE_3D]),
    "deform3d": ("deform3d", [FREE_3D]),
    "deform3d, dense": ("deform3d", [DENSE]),
    "both3d": ("both3d", [AFFINE_3D, FREE_3D]),
    "deform3d_int": ("deform3d_int", [LOCAL]),
}


def load_generator(path: str) -> ModuleType:
    """Import the generator of the cases from a file."""
    spec = importlib.util.spec_from_file_location("cases", path)
    assert spec is not None
    assert spec.loader is not None
    cases = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(cases)
    return cases


def run(case: Case, stages: list[Stage]) -> jax.Array:
    """Register a case in stages, each initialised by the map of the one before; affine stages use the entire head."""
    fixed, moving, grid = case["fixed"], case["moving"], Grid.of(case["fixed"].shape, case["spacing"])
    mapping: Any = None if "mask" not in stages[0] else align_centres(fixed, moving, grid, grid)
    for stage in stages:
        settings = {"mask": case["mask"], "init": mapping, "fixed_grid": grid, "moving_grid": grid} | stage
        mapping = register(fixed, moving, **settings).map
    return jnp.moveaxis(grid.points() + mapping.displacement(grid), -1, 0)


def measured(call: Any, case: Case, stages: list[Stage]) -> tuple[Any, float, float]:
    """Return the mapped points that ``call(case, stages)`` computes, its seconds and its CPU seconds."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    phi = jax.block_until_ready(call(case, stages))
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
    return phi, seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main(path: str, *names: str) -> None:
    cases = load_generator(path)
    print("case               before   after    95 %  folded   dice      s  CPU s compile s")
    for name in names or CASES:
        case, stages = cases.load_case(CASES[name][0]), CASES[name][1]
        grid = Grid.of(case["fixed"].shape, case["spacing"])
        before = cases.evaluate(case, jnp.moveaxis(grid.points(), -1, 0))["tre_mean"]
        first, with_compilation, _ = measured(run, case, stages)
        phi, seconds, cpu = measured(run, case, stages)
        assert bool(jnp.all(first == phi)), f"{name}: two runs gave different results"
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
