"""Evaluations and seconds of every solver on affine, learned and total-variation maps: python benchmarks/solvers.py

There are 20 affine maps of 100 unknowns with normal matrices, 20 with non-normal matrices, the map of the model
brain-small and total variation (``PrimalDual``), the last two on four simulated slices at 4x. Every solver solves all
images of a problem to three tolerances. The table has the number of images that converge, the sum of their evaluations
of f, in which an image that does not converge counts with the largest number, and the seconds of the whole batch: the
median over the rounds, in which the solvers take turns.
"""

import argparse
import json
import statistics
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from timing import timed

import deqjax as dj
from deqjax.solvers import Anderson, Broyden, JaxoptAnderson, JaxoptBroyden, JaxoptPicard, NewtonKrylov, Picard, solve
from deqjax.types import MapArgs, Solver

TOLERANCES = (1e-2, 1e-3, 1e-4)
SOLVERS: dict[str, Any] = {
    "Picard": Picard(),
    "Anderson, history 5, ridge 1e-2": Anderson(history=5, ridge=1e-2),
    "Anderson, history 10, ridge 1e-4": Anderson(history=10, ridge=1e-4),
    "Broyden": Broyden(),
    "NewtonKrylov": NewtonKrylov(),
    "jaxopt FixedPointIteration": JaxoptPicard(),
    "jaxopt AndersonAcceleration": JaxoptAnderson(),
    "jaxopt Broyden": JaxoptBroyden(),
}


class Problem(NamedTuple):
    """A batch of fixed points ``x = f(x, args)``."""

    f: Callable
    x0: Any
    args: Any


def affine(normal: bool) -> Problem:
    """``f(x) = M x + b`` with spectra from -0.3 or -0.9 to 0.5 ... 0.995, real or with complex pairs.

    The non-normal matrices have a random strictly upper triangle besides, in their Schur basis.
    """
    n, rng, matrices = 100, np.random.default_rng(0), []
    for largest in (0.5, 0.9, 0.97, 0.99, 0.995):
        for smallest in (-0.3, -0.9):
            for rotations in (False, True):
                core = np.diag(np.concatenate([[smallest, largest], rng.uniform(smallest, largest, n - 2)]))
                for i in range(2, n, 2) if rotations else ():
                    angle, radius = rng.uniform(0, np.pi), rng.uniform(0, largest)
                    turn = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
                    core[i : i + 2, i : i + 2] = radius * np.array(turn)
                if not normal:
                    core += np.triu(rng.normal(size=(n, n)), 2) * 0.5 / np.sqrt(n)
                basis = np.linalg.qr(rng.normal(size=(n, n)))[0]
                matrices.append(basis @ core @ basis.T)
    args = jnp.asarray(np.stack(matrices), jnp.float32), jnp.asarray(rng.normal(size=(20, n)), jnp.float32)
    times = partial(jnp.einsum, "bij,bj->bi", precision="highest")
    return Problem(lambda x, args: times(args[0], x) + args[1], jnp.zeros((20, n)), args)


def reconstruction(recon: dj.Reconstructor, params: Any) -> Problem:
    """The map of a method on four simulated slices, in its units."""
    kspace = jnp.asarray(dj.data.phantom_volume(0, (4, 64, 64), noise=0.01).kspace)
    A = dj.physics.MaskedFourier(jnp.asarray(dj.masks.CartesianRandom(4, 0.08)((64, 64), seed=0)))
    zero_filled = A.adjoint(A.mask * kspace)
    units = recon.normalisation(zero_filled)
    args = MapArgs(params.get("map", {}), units.forward_model(A), units.apply(zero_filled))
    return Problem(recon.map, recon.first_state(params, args), args)


PROBLEMS: dict[str, Callable[[], Problem]] = {
    "affine, normal": lambda: affine(normal=True),
    "affine, non-normal": lambda: affine(normal=False),
    "brain-small": lambda: reconstruction(*dj.load("brain-small")),
    "total variation": lambda: reconstruction(
        dj.Reconstructor(dj.maps.PrimalDual(dj.priors.TotalVariation(), weight=0.02)), {}
    ),
}


@partial(jax.jit, static_argnums=(0, 1))
def run(f: Callable, solver: Solver, x0: Any, args: Any) -> tuple[Any, dj.Stats]:
    return solve(lambda x: f(x, args), x0, solver)


def measure(problem: Problem, solvers: dict[str, Any], rounds: int, max_steps: int) -> Iterator[dict[str, Any]]:
    """Yield one row for each solver and tolerance."""
    for rtol in TOLERANCES:
        calls = {
            name: partial(run, problem.f, type(solver)(**(vars(solver) | {"rtol": rtol, "max_steps": max_steps})))
            for name, solver in solvers.items()
        }
        stats = {name: jax.block_until_ready(call(problem.x0, problem.args))[1] for name, call in calls.items()}
        seconds: dict[str, list[float]] = {name: [] for name in calls}
        for _ in range(rounds):
            for name, call in calls.items():
                seconds[name].append(timed(lambda call=call: call(problem.x0, problem.args))[1])
        for name, found in stats.items():
            yield {
                "solver": name,
                "rtol": rtol,
                "converged": int(found.converged.sum()),
                "images": found.converged.size,
                "evaluations": int(found.num_steps.sum()),
                "seconds": statistics.median(seconds[name]) if rounds else None,
            }


def markdown(rows: list[dict[str, Any]]) -> str:
    """One line for each solver and three columns for each tolerance."""
    titles = [f"{rtol:.0e}: converged | evaluations | seconds" for rtol in TOLERANCES]
    lines = [f"| solver | {' | '.join(titles)} |", "|---" * (1 + 3 * len(TOLERANCES)) + "|"]
    for name in dict.fromkeys(row["solver"] for row in rows):
        cells = []
        for row in (row for row in rows if row["solver"] == name):
            cells += [f"{row['converged']} of {row['images']}", str(row["evaluations"])]
            cells.append("" if row["seconds"] is None else f"{row['seconds']:.3g}")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", nargs="+", choices=PROBLEMS, default=list(PROBLEMS), help="default: all")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of the timing; 0 for none")
    parser.add_argument("--max-steps", type=int, default=200, help="the largest number of evaluations of an image")
    parser.add_argument("--json", type=Path, metavar="OUT", help="also write the rows to this file")
    options = parser.parse_args()
    found = {}
    for name in options.problems:
        found[name] = list(measure(PROBLEMS[name](), SOLVERS, options.rounds, options.max_steps))
        print(f"\n{name}\n\n{markdown(found[name])}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
