"""No certified distance is smaller than the distance to a reference solution of far higher accuracy."""

import dataclasses
import re
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import deqjax as dj
from deqjax import maps, nets
from deqjax.distance import LARGEST
from deqjax.pytree import real_view
from deqjax.types import BoundedMap, MapArgs

SHAPE, BATCH, COILS, DRAWS = (8, 10), 25, 3, 4
CHAIN = nets.LipschitzDnCNN(layers=3, features=6)
CONVEX = nets.ConvexPotential(layers=3, features=6, bound=0.95)
REFERENCE = dj.solvers.Anderson(max_steps=120, rtol=1e-9, ridge=1e-10)
FEW = dj.solvers.Anderson(max_steps=4)


class Row(NamedTuple):
    """A map with a proved bound, and the number of coils."""

    map: Any
    coils: int


ROWS = {
    "proximal gradient, one coil": Row(maps.ProximalGradient(CONVEX, step_size=1.8), 1),
}
MORE = {
    "half-quadratic, several coils, inexact inverse": Row(
        maps.HalfQuadratic(CHAIN, learn_penalty=True, cg_steps=3), COILS
    ),
    "half-quadratic, one coil, anchor": Row(maps.HalfQuadratic(CHAIN, learn_penalty=True, anchor=0.1), 1),
    "half-quadratic, several coils, convex": Row(maps.HalfQuadratic(CONVEX, penalty=0.5), COILS),
    "gradient, several coils": Row(maps.Gradient(CHAIN, learn_step_size=True), COILS),
    "ridge": Row(maps.HalfQuadratic(nets.ConvexRidge(features=5, kernel_size=5, bound=0.99), penalty=0.5), 1),
}
every_row = pytest.mark.parametrize(
    "row",
    [
        *(pytest.param(row, id=name) for name, row in ROWS.items()),
        *(pytest.param(row, id=name, marks=pytest.mark.slow) for name, row in MORE.items()),
    ],
)


def complex_normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64)


def random_params(iteration: Any, bound: float, rng: np.random.Generator, scale: Any) -> dict:
    """Random kernels that use the bound, with random biases. The bound of the chain is the product of its norms."""
    params = init(iteration)
    net = params["net"]
    sharp = rng.uniform() < 0.5  # fresh kernels are isometries, so that the net attains its bound
    chain = isinstance(iteration.net, nets.LipschitzDnCNN)
    for path, leaf in jax.tree_util.tree_leaves_with_path(net):
        if leaf.ndim == 4:
            norm = bound ** (1 / CHAIN.layers) if chain else 1.0
            kernel = leaf if sharp else jnp.asarray(rng.normal(size=leaf.shape), jnp.float32)
            leaf = kernel * (norm / scale(kernel) * (1 - 1e-5))
        elif leaf.ndim == 1:
            leaf = jnp.asarray(0.2 * rng.normal(size=leaf.shape), jnp.float32)
        owner = net
        for key in path[:-1]:
            owner = owner[key.key]
        owner[path[-1].key] = leaf
    logs = {name: jnp.float32(np.log(rng.uniform(0.2, 1.0))) for name in params if name.startswith("log_")}
    if "log_step_size" in logs:
        logs["log_step_size"] = jnp.float32(np.log(rng.uniform(0.2, 0.6)))
    return {"map": params | logs}


def init(iteration: Any) -> dict:
    return jax.tree.map(lambda leaf: leaf, jax.jit(iteration.init)(jax.random.key(0)))


def random_model(coils: int, rng: np.random.Generator) -> Any:
    mask = jnp.asarray(rng.uniform(size=(1, SHAPE[1])) < 0.5, jnp.float32).at[0, 5].set(1)
    if coils == 1:
        return dj.physics.MaskedFourier(mask)
    smaps = complex_normal(rng, coils, *SHAPE)
    return dj.physics.Sense(jnp.asarray(smaps / np.sqrt((np.abs(smaps) ** 2).sum(axis=0))), mask)


def iterates(recon: Any, params: dict, A: Any, kspace: Any, solved: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Images of several origins: a solver that was stopped, noise, zero, and solutions that are nearly right."""
    size = np.abs(solved).max()
    images = size * complex_normal(rng, BATCH, *SHAPE).astype(complex)
    images[0] = 0
    images[1:9] = recon.replace(solver=FEW)(params, A, kspace)[0][1:9]
    for index in range(9, 18):
        images[index] = solved[index] + size * 10.0 ** (9 - index) * complex_normal(rng, *SHAPE)
    images[18:22] = solved[18:22].astype(np.complex64)
    return images


def distances(a: Any, b: Any) -> np.ndarray:
    return np.linalg.norm(np.asarray(a - b).reshape(len(a), -1), axis=1)


@every_row
def test_no_certified_distance_is_too_small(row: Row) -> None:
    """Each draw has other parameters, another forward model and 25 images. L is from 0.5 to 0.99."""
    rng = np.random.default_rng(len(str(row)))
    recon = dj.Reconstructor(row.map, REFERENCE)
    exact = recon
    if isinstance(row.map, maps.HalfQuadratic):
        exact = recon.replace(map=dataclasses.replace(row.map, cg_steps=25))
    scale, near = jax.jit(nets.operator_norm_bound), 0
    for bound in np.linspace(0.5, 0.99, DRAWS):
        params, A = random_params(row.map, bound, rng, scale), random_model(row.coils, rng)
        kspace = A.forward(jnp.asarray(10 ** rng.uniform(-3, 3) * complex_normal(rng, BATCH, *SHAPE)))
        with jax.enable_x64(True):
            double = jax.tree.map(
                lambda leaf: leaf.astype(jnp.promote_types(leaf.dtype, jnp.float64)), (params, A, kspace)
            )
            solved = np.asarray(exact(*double)[0])
        reference = dj.certify(recon, params, A, kspace, solved)
        images = iterates(recon, params, A, kspace, solved, rng)
        found = dj.certify(recon, params, A, kspace, images)
        true = distances(images, solved)
        assert reference.certified.all()
        assert (reference.distance <= 1e-6 * np.linalg.norm(solved.reshape(BATCH, -1), axis=1)).all()
        assert found.certified.all()
        assert (true <= found.distance + reference.distance).all(), (bound, (true / found.distance).max())
        near += (found.distance < 1e-3 * np.linalg.norm(solved.reshape(BATCH, -1), axis=1)).sum()
    assert near > 5 * DRAWS, "the bound is not always large"


@pytest.mark.slow
def test_a_smaller_bound_than_the_true_one_is_violated() -> None:
    """The attack of these tests is able to find a violation: f(x) = 0.9 x + c attains its bound."""
    row = Row(maps.HalfQuadratic(nets.ConvexPotential(layers=1, features=2, kernel_size=1, bound=0.9)), 1)
    recon, A = dj.Reconstructor(row.map), dj.physics.MaskedFourier(jnp.zeros((1, 4)).at[0, 0].set(1))
    params = jax.tree.map(jnp.zeros_like, recon.init(jax.random.key(0)))
    kspace = A.forward(jnp.ones((4, 4), complex))
    image = A.adjoint(kspace) * 0 + jnp.where(jnp.arange(4) % 2 == 0, 1.0, -1.0)  # not measured: f(x) = 0.9 x
    found = dj.certify(recon, params, A, kspace, image)
    measured = A.adjoint(kspace)
    true = np.linalg.norm(image - measured * 1 / (1 + 0.1 - 0.09))
    assert found.contraction == pytest.approx(0.9, rel=1e-6)
    assert true <= found.distance * (1 + 1e-6)
    assert found.distance <= 1.05 * true, "the bound is sharp"


BAD: dict[str, Any] = {
    "averaged": maps.HalfQuadratic(nets.Averaged(CHAIN, 0.3)),
    "kernels that are too large": maps.HalfQuadratic(CHAIN),
    "U-Net": maps.HalfQuadratic(nets.UNet(levels=2, features=2)),
    "skip connection": maps.ProximalGradient(nets.DnCNN(layers=2, features=4)),
    "group norm": maps.HalfQuadratic(nets.DnCNN(layers=3, features=4, residual=False, group_norm=2)),
    "large step": maps.ProximalGradient(CONVEX, step_size=2.2),
    "large step of the gradient": maps.Gradient(CONVEX, step_size=1.2),
    "two variables": maps.ADMM(CHAIN),
}


@pytest.mark.parametrize("name", BAD)
def test_a_map_without_a_contraction_has_no_bound_below_one(name: str) -> None:
    params = init(BAD[name])
    if name == "kernels that are too large":
        params["net"]["conv_0"]["kernel"] *= 1.01 / CHAIN.lipschitz({"params": params["net"]})
    args = MapArgs(params, dj.physics.MaskedFourier(jnp.ones((1, 8))), jnp.zeros((1, 8, 8), complex))
    assert not isinstance(BAD[name], BoundedMap) or BAD[name].lipschitz(args) > LARGEST


def test_a_forward_model_of_unknown_or_large_norm_certifies_only_half_quadratic_splitting() -> None:
    large = dj.physics.Sense(jnp.full((2, 8, 8), 1.2), jnp.ones((1, 8)))
    unknown = dj.physics.Inpainting(jnp.ones((8, 8)))
    for A in (large, unknown):
        rows: list[tuple[Any, bool]] = [(maps.ProximalGradient(CONVEX), False), (maps.HalfQuadratic(CONVEX), True)]
        for iteration, bounded in rows:
            args = MapArgs(init(iteration), A, jnp.zeros((1, 8, 8), complex))
            assert (iteration.lipschitz(args) < 1) == bounded


@pytest.mark.parametrize("name", ["averaged", "two variables"])
def test_other_maps_are_estimated_and_labelled_so(name: str) -> None:
    recon = dj.Reconstructor(BAD[name])
    A = dj.physics.MaskedFourier(jnp.ones((1, 8)).at[0, ::3].set(0))
    params, kspace = recon.init(jax.random.key(0)), A.forward(jnp.ones((2, 8, 8), complex))
    found = dj.certify(recon, params, A, kspace, recon(params, A, kspace)[0])
    assert not found.certified.any()
    if name == "two variables":
        assert np.isnan(found.contraction).all()
        assert np.isinf(found.distance).all()
    else:
        assert (found.contraction <= 1 + 1e-9).all()
        assert (found.distance > 0).all()


def certified_problem() -> tuple:
    recon = dj.Reconstructor(maps.HalfQuadratic(CONVEX), normalisation=dj.SmoothPhase(width=0.5))
    A = dj.physics.MaskedFourier(jnp.ones((1, 8)).at[0, ::3].set(0))
    params = recon.init(jax.random.key(0))
    kspace = A.forward(jnp.asarray(complex_normal(np.random.default_rng(0), 3, 8, 8))).at[0].set(0)
    return recon, params, A, kspace


def test_units_damaged_images_and_images_of_which_nothing_was_measured() -> None:
    recon, params, A, kspace = certified_problem()
    image = np.array(recon(params, A, kspace)[0])
    assert dj.certify(recon, params, A, kspace, image).distance[0] == 0
    moved = image.copy()
    moved[0] += 2
    moved[1, 0, 0] = np.nan
    found = dj.certify(recon, params, A, kspace, moved)
    assert found.distance[0] == pytest.approx(16.0)
    assert np.isinf(found.distance[1])
    assert found.certified.tolist() == [True, False, True]
    larger = dj.certify(recon, params, A, 1024j * kspace, 1024j * moved)
    np.testing.assert_allclose(larger.distance[[0, 2]], 1024 * found.distance[[0, 2]], rtol=1e-6)
    single = dj.certify(recon, params, A, kspace[2], moved[2])
    assert single.distance.shape == ()
    assert single.distance == pytest.approx(found.distance[2])


@pytest.mark.slow
def test_the_change_of_the_psnr_is_a_bound() -> None:
    recon, params, A, kspace = certified_problem()
    image = np.asarray(recon.replace(solver=dj.solvers.Anderson(max_steps=60, rtol=1e-6))(params, A, kspace)[0])[2]
    rng = np.random.default_rng(1)
    direction = complex_normal(rng, 8, 8)
    stopped = image + 0.001 * direction
    psnr = lambda x, target: 10 * np.log10(np.abs(stopped).max() ** 2 / np.mean(np.abs(x - target) ** 2))
    for level in (15.0, 20.0, 25.0):
        found = dj.certify(recon, params, A, kspace[2], stopped, psnr=level)
        for way in (direction, -direction, complex_normal(rng, 8, 8)):
            error = np.abs(stopped).max() * 8 * 10 ** (-level / 20)
            target = stopped + error * way / np.linalg.norm(way)
            assert psnr(stopped, target) == pytest.approx(level)
            assert abs(psnr(image, target) - level) <= found.psnr_change
    assert found.psnr_change < 10
    assert np.isinf(dj.certify(recon, params, A, kspace[2], stopped, psnr=300.0).psnr_change)


def test_wrong_uses_raise_errors() -> None:
    recon, params, A, kspace = certified_problem()
    image = jnp.zeros((3, 8, 8), complex)
    with pytest.raises(ValueError, match=r"has a finish.*replace\(finish=None\)"):
        dj.certify(recon.replace(finish=maps.HalfQuadratic(CONVEX)), params, A, kspace, image)
    with pytest.raises(ValueError, match=r"must have the shape \(3, 8, 8\).*it has \(8, 8\)"):
        dj.certify(recon, params, A, kspace, image[0])
    with pytest.raises(ValueError, match="outside jit"):
        jax.jit(lambda image: dj.certify(recon, params, A, kspace, image).distance)(image)
    with pytest.raises(ValueError, match=r"params\['map'\].*another method"):
        dj.certify(recon, {}, A, kspace, image)


@pytest.mark.slow
def test_the_example_of_the_documentation_runs(capsys: pytest.CaptureFixture) -> None:
    text = (Path(__file__).parents[1] / "docs" / "certificates.md").read_text(encoding="utf-8")
    exec(re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)[0], {})
    assert capsys.readouterr().out.startswith("1 of 1 certified, largest distance ")


@pytest.mark.slow
def test_no_gradient_error_bound_is_too_small() -> None:
    """200 backward solves of few steps, against dense solutions of the adjoint equation in double precision."""
    rng, shape = np.random.default_rng(0), (4, 3)
    iteration = maps.HalfQuadratic(CHAIN, learn_penalty=True)
    adjoint = dj.Implicit(dj.solvers.Anderson(max_steps=4), nan_above=float("inf"))
    scale = jax.jit(nets.operator_norm_bound)
    f = lambda x, given: iteration(x, given[0]) + given[1]

    @jax.jit
    def solve(args: MapArgs, v: jax.Array) -> tuple:
        def loss(offset: jax.Array, probe: Any) -> tuple:
            x, _ = dj.fixed_point(f, args.zero_filled, (args, offset), adjoint=adjoint, probe=probe)
            return jnp.sum((jnp.conj(v) * x).real), x

        (w, backward), x = jax.grad(loss, (0, 1), has_aux=True)(0 * v, dj.backward_probe(len(v)))
        flat, restore = real_view(x)
        product = lambda u: real_view(jax.jvp(partial(iteration, args=args), (x,), (restore(u),))[1])[0]
        columns = jax.lax.map(lambda unit: product(jnp.broadcast_to(unit, flat.shape)), jnp.eye(flat.shape[1]))
        return jnp.conj(w), backward, columns, iteration.lipschitz(args)

    finite = 0
    for bound in np.linspace(0.5, 0.99, 10):
        params = random_params(iteration, bound, rng, scale)["map"]
        A = dj.physics.MaskedFourier(jnp.array([[1.0, 0.0, 0.0]]))
        v = jnp.asarray(complex_normal(rng, 20, *shape))
        w, backward, columns, proved = solve(MapArgs(params, A, A.adjoint(A.forward(v))), v)
        flat = lambda image: np.asarray(real_view(image)[0], float)
        transposed = np.asarray(columns, float).transpose(1, 0, 2)  # J^T for each image
        exact = np.linalg.solve(np.eye(transposed.shape[1]) - transposed, flat(v)[..., None])[..., 0]
        true = np.linalg.norm(flat(w) - exact, axis=1) / np.linalg.norm(exact, axis=1)
        limit = np.asarray(dj.gradient_error_bound(backward, proved))
        assert (true <= limit).all(), (bound, true.max())
        finite += np.isfinite(limit).sum()
    assert finite > 150
    assert np.isinf(dj.gradient_error_bound(backward, 1.0)).all()
