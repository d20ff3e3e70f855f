"""Measure the evaluations and the CPU seconds of inverting the true displacement of the case deform3d.

    python benchmarks/registration_inverse.py path/to/registration_cases.py

The argument is the generator of the cases; see registration_cases.py in this folder. The plain step is
``v -> -u(y + v)``; `invert_points` takes Newton's step.
"""

import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
from registration_cases import load_generator

from deqjax.implicit import fixed_point
from deqjax.registration import Grid
from deqjax.registration.transforms import DisplacementMap, invert_points
from deqjax.solvers import Anderson, Picard


def invert_by_plain_steps(mapping, points, solver):
    step = lambda v, mapping: (points + v[0] - mapping.apply_points(points + v[0]))[None]
    v, stats = fixed_point(step, (points - mapping.apply_points(points))[None], mapping, solver=solver)
    return v[0], stats


def main(path):
    case = load_generator(path).load_case("deform3d")
    grid = Grid.of(case["fixed"].shape, case["spacing"])
    points = grid.points()
    mapping = DisplacementMap(jnp.asarray(np.moveaxis(case["phi"], 0, -1)) - points, grid)
    for name, invert in (("plain", invert_by_plain_steps), ("Newton", invert_points)):
        for solver in (Picard(), Anderson()):
            call = jax.jit(lambda mapping, points, invert=invert, solver=solver: invert(mapping, points, solver))
            jax.block_until_ready(call(mapping, points))
            start = time.process_time()
            v, stats = jax.block_until_ready(call(mapping, points))
            seconds = time.process_time() - start
            error = jnp.linalg.norm(mapping.apply_points(points + v) - points, axis=-1).max()
            print(
                f"{name:6} {type(solver).__name__:8} {int(stats.num_steps[0]):2} evaluations, residual "
                f"{float(stats.residual[0]):.1e}, {seconds:.2f} CPU s, largest error {float(error):.4f} mm",
                flush=True,
            )


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1])
