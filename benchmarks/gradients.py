"""The errors of gradients, jvps and Hessian products, for every choice: python benchmarks/gradients.py

For every map, forward model, solver and adjoint, in double precision, the loss is a function of the reconstruction, and
its derivatives are taken with respect to the parameters, the k-space and the coil sensitivities. Every fixed point is
solved to 1e-12. The references are computed without the package's solvers and adjoints, at a fixed point that Newton's
method finds with a dense Jacobian: the gradient by the implicit function theorem with that Jacobian, the jvp as a
difference of losses, and the Hessian product as a difference of dense gradients. The errors are relative: of gradients
and Hessian products in the 2-norm over all leaves, of the jvp relative to the product of the norms of the gradient and
the direction. Implicit and Unrolled are exact, and pass below 1e-5. OneStep and Phantom are approximations: their
gradients and jvps are compared with the dense formula of the same approximation.

By default every pair of a map and a solver and of a map and a forward model occurs once, and so do 42 of the 49 pairs
of a solver and a forward model, with both exact adjoints, and with the approximate ones where the solver is Anderson.
``--all`` runs the whole product. A case takes about 10 seconds of one core, nearly all of them compilation.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

import deqjax as dj
from deqjax.physics import Blur, CompressedSensing, Inpainting, MaskedFourier, NonCartesian, PhaseModulated, Sense
from deqjax.pytree import real_view
from deqjax.solvers import Anderson, Broyden, JaxoptAnderson, JaxoptBroyden, JaxoptPicard, NewtonKrylov, Picard
from deqjax.types import MapArgs

BATCH, SIZE, STEPS = 2, (4, 4), 400
NET = dj.nets.DnCNN(layers=2, features=2, residual=False)
MAPS: dict[str, Any] = {
    "ProximalGradient": dj.maps.ProximalGradient(NET, step_size=0.8, learn_step_size=True),
    "Gradient": dj.maps.Gradient(NET, step_size=0.6, learn_step_size=True),
    "HalfQuadratic": dj.maps.HalfQuadratic(NET, penalty=0.3, learn_penalty=True, cg_steps=16),
    "ADMM": dj.maps.ADMM(NET, penalty=0.4, learn_penalty=True, cg_steps=16),
    "PrimalDual": dj.maps.PrimalDual(dj.priors.TotalVariation(), weight=0.05, learn_weight=True),
    "FISTA": dj.maps.FISTA(dj.priors.Wavelet(levels=2), weight=0.05, learn_weight=True),
}
SOLVERS: dict[str, Any] = {
    "Picard": Picard(max_steps=5 * STEPS, rtol=1e-12),
    "Anderson": Anderson(max_steps=STEPS, rtol=1e-12),
    "Broyden": Broyden(max_steps=STEPS, rtol=1e-12),
    "NewtonKrylov": NewtonKrylov(max_steps=STEPS, rtol=1e-12),
    "JaxoptPicard": JaxoptPicard(max_steps=5 * STEPS, rtol=1e-12),
    "JaxoptAnderson": JaxoptAnderson(ridge=1e-18, max_steps=STEPS, rtol=1e-12),
    "JaxoptBroyden": JaxoptBroyden(history=20, max_steps=STEPS, rtol=1e-12),
}
ADJOINTS: dict[str, Callable[[Any], Any]] = {
    "Implicit": lambda solver: dj.Implicit(solver, nan_above=float("inf")),
    "Unrolled": lambda _: dj.Unrolled(),
    "OneStep": lambda _: dj.OneStep(),
    "Phantom": lambda _: dj.Phantom(),
}
EXACT = ("Implicit", "Unrolled")


def draw(seed: int, *shape: int) -> jax.Array:
    parts = np.random.default_rng(seed).normal(size=(2, *shape))
    return jnp.asarray(parts[0] + 1j * parts[1])


def forward_model(name: str, smaps: jax.Array) -> Any:
    """A forward model of images of SIZE; only Sense and NonCartesian use the coil sensitivities (coil, y, x)."""
    mask = jnp.array([[1.0, 0.0, 1.0, 1.0]])
    if name == "MaskedFourier":
        return MaskedFourier(mask)
    if name == "Sense":
        return Sense(smaps, mask)
    if name == "PhaseModulated":
        return PhaseModulated(Sense(smaps, mask), jnp.exp(1j * jnp.arange(16.0).reshape(SIZE)))
    if name == "Blur":
        return Blur(jnp.array([[0.1, 0.2, 0.1], [0.2, 0.4, 0.0], [0.0, 0.0, 0.0]]))
    if name == "Inpainting":
        return Inpainting(jnp.array([[1.0, 0, 1, 1], [1, 1, 1, 0], [0, 1, 1, 1], [1, 1, 0, 1]]))
    if name == "CompressedSensing":
        return CompressedSensing(dj.physics.gaussian_matrix(jax.random.key(0), 12, SIZE))
    angles, radii = np.arange(5) * 2.4, np.linspace(-0.5, 0.4, 6)
    spokes = np.stack([np.outer(np.sin(angles), radii), np.outer(np.cos(angles), radii)], axis=-1)
    trajectory, density = jnp.asarray(4 * spokes), jnp.full((5, 6), 0.02)
    spectrum = dj.physics.toeplitz_spectrum(trajectory, density, SIZE, 1e-12)
    return NonCartesian(trajectory, smaps, density, spectrum, tolerance=1e-12)


MODELS = ("Sense", "MaskedFourier", "NonCartesian", "PhaseModulated", "Blur", "Inpainting", "CompressedSensing")


class Case:
    """A map with a forward model: its leaves, its arguments as a function of them, and the loss of a state."""

    def __init__(self, map_name: str, model: str) -> None:
        self.map, self.model = MAPS[map_name], model
        smaps = draw(2, 3, *SIZE)
        smaps = smaps / jnp.sqrt(jnp.sum(jnp.abs(smaps) ** 2, axis=0))
        params = self.map.init(jax.random.key(0))
        if "net" in params:
            large = jax.tree.map(lambda leaf: 100 * leaf if leaf.ndim == 4 else leaf + 0.1, params["net"])
            params["net"] = dj.nets.bound_norms(large, 0.9)
        params = jax.tree.map(lambda leaf: jnp.asarray(leaf, float), params)
        A = forward_model(model, smaps)
        self.leaves = {"params": params, "kspace": A.forward(draw(4, BATCH, *SIZE))}
        if "smaps" in str(A):
            self.leaves["smaps"] = smaps
        self.smaps = smaps
        self.direction = jax.tree.map(
            lambda leaf: draw(5, *leaf.shape) if jnp.iscomplexobj(leaf) else draw(5, *leaf.shape).real, self.leaves
        )

    def args(self, leaves: dict) -> MapArgs:
        A = forward_model(self.model, leaves.get("smaps", self.smaps))
        return MapArgs(leaves["params"], A, A.adjoint(leaves["kspace"]))

    def loss(self, state: Any) -> jax.Array:
        image = self.map.image(state)
        return jnp.sum((draw(6, *image.shape) * image).real) + jnp.sum(jnp.abs(image - 1) ** 2)

    def moved(self, h: float) -> dict:
        return jax.tree.map(lambda leaf, d: leaf + h * d, self.leaves, self.direction)


def dense(case: Case) -> Callable[[dict], dict[str, Any]]:
    """Return a function of the leaves: the loss, and the gradients with a dense Jacobian, exact and approximate."""
    start = jax.eval_shape(lambda leaves: case.map.start(case.args(leaves)), case.leaves)
    restore = real_view(jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), start))[1]

    def flat_map(x: jax.Array, leaves: dict) -> jax.Array:
        state = restore(x.reshape(BATCH, -1))
        return real_view(case.map(state, case.args(leaves)))[0].ravel()

    @jax.jit
    def value_and_gradients(leaves: dict) -> dict[str, Any]:
        x = real_view(case.map.start(case.args(leaves)))[0].ravel()
        x = jax.lax.fori_loop(0, 3000, lambda _, x: flat_map(x, leaves), x)
        eye = jnp.eye(x.size)
        jacobian = jax.jacfwd(flat_map)

        def newton(_: int, x: jax.Array) -> jax.Array:
            residual = flat_map(x, leaves) - x
            return x + jnp.linalg.lstsq(eye - jacobian(x, leaves), residual, rcond=1e-10)[0]

        x = jax.lax.fori_loop(0, 3, newton, x)
        J, v = jacobian(x, leaves), jax.grad(lambda x: case.loss(restore(x.reshape(BATCH, -1))))(x)
        exact = jnp.linalg.lstsq(eye - J.T, v, rcond=1e-10)[0]
        phantom = jax.lax.fori_loop(0, 5, lambda _, w: 0.5 * (v + J.T @ w) + 0.5 * w, v)
        through = jax.vjp(lambda leaves: flat_map(x, leaves), leaves)[1]
        gradients = {"exact": exact, "OneStep": v, "Phantom": phantom}
        found = {name: through(w)[0] for name, w in gradients.items()}
        residual = jnp.linalg.norm(flat_map(x, leaves) - x) / jnp.linalg.norm(x)
        return found | {"loss": case.loss(restore(x.reshape(BATCH, -1))), "residual": residual}

    return value_and_gradients


def flat(tree: Any) -> np.ndarray:
    """The real vector of a gradient; JAX gives the conjugate of a complex one, and so do all references."""
    return np.asarray(ravel_pytree(jax.tree.map(lambda leaf: jnp.stack([leaf.real, -leaf.imag]), tree))[0])


def error(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def rows(map_name: str, model: str, solvers: list[str], adjoints: list[str]) -> Iterator[dict[str, Any]]:
    """Yield the errors of every solver and adjoint for one map and one forward model."""
    case, h = Case(map_name, model), 1e-5
    reference = dense(case)
    here, up, down = (jax.device_get(reference(case.moved(s))) for s in (0.0, h, -h))
    direction = ravel_pytree(jax.tree.map(lambda leaf: jnp.stack([leaf.real, leaf.imag]), case.direction))[0]
    slope = float((up["loss"] - down["loss"]) / (2 * h))
    hessian = (flat(up["exact"]) - flat(down["exact"])) / (2 * h)
    for adjoint in adjoints:
        for name in solvers:
            solver = SOLVERS[name]

            def value(leaves: dict, solver: Any = solver, adjoint: str = adjoint) -> tuple[jax.Array, dj.Stats]:
                args = case.args(leaves)
                x, stats = dj.fixed_point(
                    case.map, case.map.start(args), args, solver=solver, adjoint=ADJOINTS[adjoint](solver)
                )
                return case.loss(x), stats

            start = time.perf_counter()
            derivatives = jax.jit(partial(jax.jvp, jax.value_and_grad(value, has_aux=True)))
            ((_, stats), gradient), ((jvp, _), product) = derivatives((case.leaves,), (case.direction,))
            expected = flat(here["exact" if adjoint in EXACT else adjoint])
            along = slope if adjoint in EXACT else float(expected @ direction)
            yield {
                "map": map_name,
                "model": model,
                "solver": name,
                "adjoint": adjoint,
                "converged": bool(stats.converged.all()),
                "gradient": error(flat(gradient), expected),
                "difference": abs(float(flat(gradient) @ direction) - along)
                / float(np.linalg.norm(expected) * np.linalg.norm(direction)),
                "jvp": abs(float(jvp) - along) / float(np.linalg.norm(expected) * np.linalg.norm(direction)),
                "hessian product": error(flat(product), hessian) if adjoint in EXACT else None,
                "from exact": error(flat(gradient), flat(here["exact"])),
                "seconds": time.perf_counter() - start,
            }


MEASURES = ("gradient", "difference", "jvp", "hessian product")


def markdown(found: list[dict[str, Any]]) -> str:
    """One line for each map and adjoint: the largest error over the forward models and solvers that converged."""
    titles = "| map | adjoint | cases | converged | gradient, dense | gradient, differences | jvp | Hessian product |"
    lines = [titles, "|---" * 8 + "|"]
    for name, adjoint in dict.fromkeys((row["map"], row["adjoint"]) for row in found):
        group = [row for row in found if (row["map"], row["adjoint"]) == (name, adjoint)]
        good = [row for row in group if row["converged"]]
        cells = [
            f"{max(values):.0e}" if (values := [row[key] for row in good if row[key] is not None]) else ""
            for key in MEASURES
        ]
        lines.append(f"| {name} | {adjoint} | {len(group)} | {len(good)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def selected(every: bool) -> Iterator[tuple[str, str, list[str], list[str]]]:
    """Yield the cases: a map, a forward model, solvers and adjoints."""
    maps, solvers = list(MAPS), list(SOLVERS)
    if every:
        yield from ((name, model, solvers, list(ADJOINTS)) for name in maps for model in MODELS)
        return
    for shift in range(len(solvers)):
        for index, name in enumerate(maps):
            solver = solvers[(index + shift) % len(solvers)]
            model = MODELS[(2 * index + shift) % len(MODELS)]
            yield name, model, [solver], list(ADJOINTS if solver == "Anderson" else EXACT)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--maps", nargs="+", choices=MAPS, default=list(MAPS), help="default: all")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS), help="default: all")
    parser.add_argument("--all", action="store_true", help="every combination: 1176 cases")
    parser.add_argument(
        "--json",
        type=Path,
        metavar="OUT",
        help="write the rows to this file; what it holds is not run again",
    )
    options = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    found: list[dict[str, Any]] = json.loads(options.json.read_text()) if options.json and options.json.exists() else []
    done = {(row["map"], row["model"], row["solver"], row["adjoint"]) for row in found}
    for name, model, solvers, adjoints in selected(options.all):
        wanted = {(name, model, solver, adjoint) for solver in solvers for adjoint in adjoints}
        if name not in options.maps or model not in options.models or wanted <= done:
            continue
        for row in rows(name, model, solvers, adjoints):
            found.append(row)
            print({key: f"{v:.1e}" if isinstance(v, float) else v for key, v in row.items()}, flush=True)
            if options.json:
                options.json.write_text(json.dumps(found, indent=1))
    print(markdown(found))
    wrong = [row for row in found if row["adjoint"] in EXACT and row["converged"]]
    wrong = [row for row in wrong if not all(row[key] < 1e-5 for key in MEASURES)]
    print(f"{len(found)} cases, {len(wrong)} converged ones above 1e-5")
    raise SystemExit(bool(wrong))


if __name__ == "__main__":
    main()
