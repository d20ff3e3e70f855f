"""Count the evaluations that inverting the true field of the case deform3d takes, and their CPU seconds.

    python benchmarks/registration_inverse.py path/to/registration_cases.py

The argument is the generator of the cases, see registration_cases.py beside this file. The plain step is
``v -> -u(y + v)``, `invert_points` takes Newton's.
"""

import importlib.util
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np

from deqjax.implicit import fixed_point
from deqjax.registration import Grid
from deqjax.registration.transforms import DisplacementMap, invert_points
from deqjax.solvers import Anderson, Picard


def plain(map, points, solver):
    step = lambda v, map: (points + v[0] - map.apply_points(points + v[0]))[None]
    v, stats = fixed_point(step, (points - map.apply_points(points))[None], map, solver=solver)
    return v[0], stats


def main(path):
    spec = importlib.util.spec_from_file_location("cases", path)
    cases = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(cases)
    case = cases.load_case("deform3d")
    grid = Grid.of(case["fixed"].shape, case["spacing"])
    points = grid.points()
    map = DisplacementMap(jnp.asarray(np.moveaxis(case["phi"], 0, -1)) - points, grid)
    for name, invert in (("plain", plain), ("Newton", invert_points)):
        for solver in (Picard(), Anderson()):
            call = jax.jit(lambda map, points, invert=invert, solver=solver: invert(map, points, solver))
            jax.block_until_ready(call(map, points))
            start = time.process_time()
            v, stats = jax.block_until_ready(call(map, points))
            seconds = time.process_time() - start
            gap = jnp.linalg.norm(map.apply_points(points + v) - points, axis=-1).max()
            print(
                f"{name:6} {type(solver).__name__:8} {int(stats.num_steps[0]):2} evaluations, residual "
                f"{float(stats.residual[0]):.1e}, {seconds:.2f} CPU s, largest error {float(gap):.4f} mm",
                flush=True,
            )


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1])
