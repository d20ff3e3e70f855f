"""Attack the bounds of certificates: python benchmarks/certificates.py [--val=FILES --models MODEL ...]

It draws 1,040 random problems (net, mask, measurement) with proved Lipschitz constants from 0.5 to 0.99, one and
several coils. Iterates of several origins in single and double precision are certified, and compared with solutions
that are themselves certified to be far more accurate. A table shows for every L how many certified distances were too
small, and how much larger than the true distance they are. A second table does the same for the bound on the error of
gradients, with dense solutions of the adjoint equation, and a third one counts how many images of maps that do not
contract are certified.

With ``--val`` it compares models instead: what each proves, and its quality at 4x. The masks are seeded by the file
names. The distance is that of a volume to the volume of fixed points, before the finish, relative to the norm of the
volume. The PSNR column is the largest change of the PSNR of the fixed point that this distance allows.
"""

import argparse
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.table import Table

import deqjax as dj
from deqjax import maps, nets
from deqjax.certificates import finish_image, reconstruct_certified
from deqjax.distance import can_contract
from deqjax.pytree import real_view
from deqjax.reconstruction import load_method
from deqjax.types import MapArgs

CONSTANTS = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.99)
EXPANDING = (1.0001, 1.01, 1.1, 2.0)
SHAPE, BATCH, COILS = (12, 16), 40, 3
CHAIN = nets.LipschitzDnCNN(layers=3, features=6)
POTENTIALS = {L: nets.ConvexPotential(layers=3, features=8, patch=2, bound=L) for L in (0.5, 0.9, 0.99)}
"""The constant of a chain is that of its kernels, so that all of them are one program; a potential is compiled anew."""

SOLVER = dj.solvers.Anderson(max_steps=300, rtol=1e-10, ridge=1e-10)


def complex_normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.normal(size=shape) + 1j * rng.normal(size=shape)


def random_params(net: Any, contraction: float, rng: np.random.Generator) -> dict:
    """Draw parameters with which a net proves a Lipschitz constant: kernels at their bound, and random biases."""
    norm = contraction ** (1 / net.layers) if net is CHAIN else 1.0
    fresh = rng.uniform() < 0.5  # fresh kernels are isometries, so that the chain attains its bound

    def draw(leaf: jax.Array) -> jax.Array:
        if leaf.ndim != 4:
            return jnp.asarray(0.2 * rng.normal(size=leaf.shape), leaf.dtype)
        kernel = leaf if fresh else jnp.asarray(rng.normal(size=leaf.shape), leaf.dtype)
        return kernel * (norm / norm_bound(kernel) * (1 - 1e-5))

    return jax.tree.map(draw, maps.HalfQuadratic(net).init(jax.random.key(0)))


norm_bound = jax.jit(nets.operator_norm_bound)


def random_problem(coils: int, rng: np.random.Generator) -> tuple[Any, jax.Array]:
    """Draw a forward model with one mask for each image, and what it measures."""
    mask = (rng.uniform(size=(BATCH, 1, SHAPE[1])) < rng.uniform(0.2, 0.8, size=(BATCH, 1, 1))).astype(np.float32)
    mask[..., SHAPE[1] // 2] = 1
    smaps = complex_normal(rng, BATCH, coils, *SHAPE)
    smaps /= np.sqrt((np.abs(smaps) ** 2).sum(axis=1, keepdims=True))
    single = coils == 1
    A = (
        dj.physics.MaskedFourier(jnp.asarray(mask))
        if single
        else dj.physics.Sense(jnp.asarray(smaps), jnp.asarray(mask))
    )
    size = 10.0 ** rng.uniform(-3, 3, size=(BATCH, 1, 1))
    return A, A.forward(jnp.asarray(size * complex_normal(rng, BATCH, *SHAPE)))


def iterates(recon: Any, params: Any, A: Any, kspace: jax.Array, solved: np.ndarray, rng: Any) -> Iterator[np.ndarray]:
    """Images of several origins: noise, a perturbed solution in double precision, solvers in single precision."""
    size = np.abs(solved).max(axis=(1, 2), keepdims=True)
    noise = complex_normal(rng, *solved.shape)
    yield size * noise
    yield solved + size * 10.0 ** rng.uniform(-8, -1, size=size.shape) * noise
    yield solved.astype(np.complex64)
    with jax.enable_x64(False):
        single = jax.tree.map(lambda leaf: np.asarray(leaf).astype(_single(leaf)), (params, A, kspace))
        for steps in (3, 12):
            yield np.asarray(recon.replace(solver=dj.solvers.Anderson(max_steps=steps))(*single)[0])


def _single(leaf: Any) -> Any:
    return np.complex64 if np.iscomplexobj(leaf) else np.float32


def distances(a: Any, b: Any) -> np.ndarray:
    return np.linalg.norm(np.asarray(a - b).reshape(len(a), -1), axis=1)


def attack_distances() -> dict[float, list[np.ndarray]]:
    """Return the certified and the true distances of all iterates, for every L."""
    rng = np.random.default_rng(0)
    found: dict[float, list[np.ndarray]] = {}
    with jax.enable_x64(True):
        for contraction in CONSTANTS:
            found[contraction] = []
            for net in (CHAIN, *([POTENTIALS[contraction]] if contraction in POTENTIALS else [])):
                for coils in (1, COILS):
                    recon = dj.Reconstructor(maps.HalfQuadratic(net, penalty=0.5, cg_steps=60), SOLVER)
                    drawn = random_params(net, contraction, rng)
                    params = {"map": jax.tree.map(lambda leaf: leaf.astype(jnp.float64), drawn)}
                    A, kspace = random_problem(coils, rng)
                    solved = np.asarray(recon(params, A, kspace)[0])
                    reference = dj.certify(recon, params, A, kspace, solved)
                    assert reference.certified.all()
                    for image in iterates(recon, params, A, kspace, solved, rng):
                        certificate = dj.certify(
                            recon, params, A, kspace, image, contraction=reference.contraction.max()
                        )
                        assert certificate.certified.all()
                        true = distances(image, solved) + reference.distance  # the truth is at most this, and at
                        least = distances(image, solved) - reference.distance  # least this
                        found[contraction].append(np.stack([certificate.distance, true, least]))
            print(summary(contraction, found[contraction]), flush=True)
    return found


def summary(contraction: float, parts: list[np.ndarray]) -> list[str]:
    """Return one row: L, problems, certificates, violations, and the certified over the true distance."""
    certified, true, least = np.concatenate(parts, axis=1)
    ratio = (certified / true)[least > 0.9 * true]  # where the true distance is known well
    low, middle, high = np.quantile(ratio, (0.0, 0.5, 1.0))
    problems = 2 * BATCH * (2 if contraction in POTENTIALS else 1)
    counts = [str(problems), str(certified.size), str((certified < least).sum())]
    return [f"{contraction:g}", *counts, f"{low:.2f}", f"{middle:.1f}", f"{high:.0f}"]


def attack_gradients(draws: int = 20) -> list[list[str]]:
    """Return for every L how often the bound on the error of a gradient was violated, and how loose it is."""
    rng, shape, rows = np.random.default_rng(1), (4, 3), []
    adjoint = dj.Implicit(dj.solvers.Anderson(max_steps=4), nan_above=float("inf"))
    iteration = maps.HalfQuadratic(CHAIN)
    f = lambda x, given: iteration(x, given[0]) + given[1]
    flat = lambda image: np.asarray(real_view(image)[0], float)

    @jax.jit
    def solve(args: MapArgs, v: jax.Array) -> tuple:
        def loss(offset: jax.Array, probe: Any) -> tuple:
            x, _ = dj.fixed_point(f, args.zero_filled, (args, offset), adjoint=adjoint, probe=probe)
            return jnp.sum((jnp.conj(v) * x).real), x

        (w, backward), x = jax.grad(loss, (0, 1), has_aux=True)(0 * v, dj.backward_probe(len(v)))
        start, restore = real_view(x)
        product = lambda u: real_view(jax.jvp(partial(iteration, args=args), (x,), (restore(u),))[1])[0]
        columns = jax.lax.map(lambda unit: product(jnp.broadcast_to(unit, start.shape)), jnp.eye(start.shape[1]))
        return jnp.conj(w), backward, columns, iteration.lipschitz(args)

    for contraction in CONSTANTS:
        params = random_params(CHAIN, contraction, rng)
        A = dj.physics.MaskedFourier(jnp.array([[1.0, 0.0, 0.0]]))
        v = jnp.asarray(complex_normal(rng, draws, *shape), jnp.complex64)
        w, backward, columns, proved = solve(MapArgs(params, A, A.adjoint(A.forward(v))), v)
        transposed = np.asarray(columns, float).transpose(1, 0, 2)  # J^T for each image
        exact = np.linalg.solve(np.eye(transposed.shape[1]) - transposed, flat(v)[..., None])[..., 0]
        true = np.linalg.norm(flat(w) - exact, axis=1) / np.linalg.norm(exact, axis=1)
        limit = np.asarray(dj.gradient_error_bound(backward, proved))
        ratio = np.median(limit / true)
        violations = int((true > limit).sum())
        rows.append([f"{contraction:g}", str(draws), str(violations), f"{np.median(true):.1e}", f"{ratio:.1f}"])
    return rows


def attack_bad_maps(draws: int = 5) -> list[list[str]]:
    """Return for chains whose norms multiply to more than 1 how many of their images are certified; none may be."""
    rng, rows = np.random.default_rng(2), []
    recon = dj.Reconstructor(maps.HalfQuadratic(CHAIN, penalty=0.5))
    for constant in EXPANDING:
        found: list[np.ndarray] = []
        for _ in range(draws):
            A, kspace = random_problem(1, rng)
            params = {"map": random_params(CHAIN, constant, rng)}
            found.append(np.asarray(dj.certify(recon, params, A, kspace, A.adjoint(kspace)).certified))
        rows.append([f"{constant:g}", str(draws * BATCH), str(np.sum(found))])
    return rows


def compare(model: str, files: list) -> list[list[str]]:
    """Return a row for a model, and before it one for its fixed point before the finish if that is certified."""
    method = load_method(model)
    results: list[dict] = [measure(method.recon, method.params, path) for path in files]
    known = "L" in results[0]
    steps = f"{np.mean([result['steps'] for result in results]):.1f}"
    largest = [max(result[key] for result in results) for key in ("L", "distance", "change") if known]
    proof = [f"{largest[0]:.3f}", f"{largest[1]:.1e}", f"{largest[2]:.2g}"] if known else ["none"] * 3
    rows = []
    for name in ("fixed point", "image") if "fixed point" in results[0] else ("image",):
        psnr, ssim = np.mean([result[name] for result in results], axis=0)
        label = f"{model}, before the finish" if name == "fixed point" else model
        rows.append([label, f"{psnr:.2f}", f"{ssim:.3f}", steps, *proof])
    return rows


def measure(recon: Any, params: Any, path: Any) -> dict[str, Any]:
    """Return quality, evaluations, proved L, relative distance and PSNR change of a volume at 4x."""
    scan = dj.data.read_volume(path)
    mask = jnp.asarray(dj.masks.CartesianRandom(4, 0.08)(scan.kspace.shape[-2:], scan.name))
    A, bare = dj.physics.MaskedFourier(mask), recon.replace(finish=None)
    certifiable, proved, squared = can_contract(recon.map), None, 0.0
    images: list[np.ndarray] = []
    fixed: list[np.ndarray] = []
    steps: list[np.ndarray] = []
    for first in range(0, len(scan.kspace), 5):
        kspace = mask * jnp.asarray(scan.kspace[first : first + 5])
        image, stats, certificate = reconstruct_certified(bare if certifiable else recon, params, A, kspace, proved)
        if certificate is not None:
            assert certificate.certified.all()
            squared, proved = squared + float((certificate.distance**2).sum()), float(certificate.contraction.max())
            fixed.append(np.asarray(image))
            image = image if recon.finish is None else finish_image(recon, params, A, kspace, image)
        images.append(np.asarray(image))
        steps.append(np.asarray(stats.num_steps))
    target = np.abs(np.asarray(dj.physics.ifft2c(jnp.asarray(scan.kspace))))

    def quality(parts: list[np.ndarray]) -> tuple[float, float]:
        magnitude = np.abs(np.concatenate(parts))
        return float(dj.metrics.psnr(magnitude, target)), float(dj.metrics.ssim(magnitude, target))

    found: dict[str, Any] = {"image": quality(images), "steps": np.concatenate(steps).mean()}
    if not certifiable:
        return found
    volume, distance = np.concatenate(fixed), np.sqrt(squared)
    error = np.linalg.norm(np.abs(volume) - target)
    change = -20 * np.log10(1 - distance / error) if distance < error else np.inf
    found |= {"L": proved, "distance": distance / np.linalg.norm(volume), "change": change}
    return found | ({} if recon.finish is None else {"fixed point": quality(fixed)})


def show(title: str, columns: Sequence[str], rows: list[list[str]]) -> None:
    table = Table(*columns, title=title, title_justify="left")
    for row in rows:
        table.add_row(*row)
    Console(width=140).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--val", default="", help="fully sampled single-coil volumes: compare models on them instead")
    parser.add_argument("--models", nargs="+", default=["total-variation", "brain-small", "brain-certified"])
    options = parser.parse_args()
    if options.val:
        files = dj.data.list_files(options.val)
        columns = ("method", "PSNR", "SSIM", "evaluations", "proved L", "distance", "PSNR change, dB")
        show(
            "guarantee against quality, 4x", columns, [row for model in options.models for row in compare(model, files)]
        )
        return
    rows = [summary(*item) for item in attack_distances().items()]
    columns = ("L", "problems", "certificates", "violations", "smallest ratio", "median", "largest")
    show("certified over true distance", columns, rows)
    gradients = ("L", "draws", "violations", "median error", "median of bound / error")
    show("gradients", gradients, attack_gradients())
    show("maps that do not contract", ("L", "images", "certified"), attack_bad_maps())


if __name__ == "__main__":
    main()
