"""From k-space to image: shapes, units, the parts of a method, and the errors that invalid arguments raise."""

import dataclasses
from functools import partial
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import deqjax as dj
from deqjax.reconstruct import _reconstruct, equilibrium
from deqjax.types import ForwardModel, IterationMap, MapArgs, Normalisation, Params

SHAPE, BATCH, COILS = (11, 9), 2, 2
NET = dj.nets.DnCNN(layers=2, features=4, residual=False)
RECON = dj.Reconstructor(dj.maps.ProximalGradient(NET), dj.solvers.Picard(max_steps=8, rtol=1e-3))


def random_complex(*shape: int, seed: int = 0) -> jax.Array:
    rng = np.random.default_rng(seed)
    return jnp.asarray(rng.normal(size=shape) + 1j * rng.normal(size=shape), jnp.complex64)


def lines(*batch: int) -> jax.Array:
    mask = np.random.default_rng(1).uniform(size=(*batch, 1, SHAPE[1])) < 0.6
    mask[..., SHAPE[1] // 2] = True
    return jnp.asarray(mask, jnp.float32)


def sense(*batch: int) -> dj.physics.Sense:
    smaps = random_complex(*batch, COILS, *SHAPE, seed=2)
    return dj.physics.Sense(smaps / jnp.sqrt((abs(smaps) ** 2).sum(axis=-3, keepdims=True)), lines(*batch))


@pytest.fixture(scope="module")
def params() -> dict:
    """Parameters of a net that contracts and has biases."""
    params = jax.jit(RECON.init)(jax.random.key(0))
    for layer in params["map"]["net"].values():
        layer["kernel"] *= 0.9 / jax.jit(dj.nets.operator_norm_bound)(layer["kernel"])
        layer["bias"] += 0.1
    return params


@pytest.mark.parametrize(
    "coils", [pytest.param(False, id="MaskedFourier", marks=pytest.mark.slow), pytest.param(True, id="Sense")]
)
def test_one_image_a_batch_of_one_and_a_batch_agree(coils: bool, params: dict) -> None:
    shared = sense() if coils else dj.physics.MaskedFourier(lines())
    images = random_complex(BATCH, *SHAPE, seed=3)
    kspace = shared.forward(images)
    batch, stats = RECON(params, shared, kspace)
    assert batch.shape == (BATCH, *SHAPE)
    assert stats.num_steps.shape == stats.residual.shape == stats.converged.shape == (BATCH,)
    assert stats.residuals is not None
    assert stats.residuals.shape == (BATCH, 8)
    one, one_stats = RECON(params, shared, kspace[1])
    assert one.shape == SHAPE
    assert one_stats.num_steps.shape == one_stats.residual.shape == ()
    assert one_stats.residuals is not None
    assert one_stats.residuals.shape == (8,)
    of_one, _ = RECON(params, shared, kspace[1:])
    np.testing.assert_allclose(one, of_one[0], atol=1e-6)
    np.testing.assert_allclose(one, batch[1], atol=1e-5)
    assert one_stats.num_steps == stats.num_steps[1]
    own = sense(BATCH) if coils else dj.physics.MaskedFourier(lines(BATCH))
    batch, _ = RECON(params, own, own.forward(images))
    second = jax.tree.map(lambda leaf: leaf[1], own)
    one, _ = RECON(params, second, second.forward(images[1]))
    np.testing.assert_allclose(one, batch[1], atol=1e-5)


@pytest.mark.parametrize(
    "normalisation", [dj.EnergyScale(), dj.SmoothPhase(0.3), dj.StandardScore()], ids=lambda n: type(n).__name__
)
@pytest.mark.parametrize(
    "step",
    [dj.maps.ProximalGradient(NET), dj.maps.Gradient(NET), dj.maps.HalfQuadratic(NET)],
    ids=lambda m: type(m).__name__,
)
def test_scaling_the_kspace_scales_the_image(step: IterationMap, normalisation: Normalisation, params: dict) -> None:
    recon = RECON.replace(map=step, normalisation=normalisation)
    A = sense()
    kspace = A.forward(random_complex(*SHAPE, seed=3))
    image, stats = recon(params, A, kspace)
    assert np.linalg.norm(image - A.adjoint(kspace)) > 0.05 * np.linalg.norm(image)
    for scale in (1e-6, 1e6):
        scaled, scaled_stats = recon(params, A, jnp.float32(scale) * kspace)
        assert np.linalg.norm(scaled / scale - image) < 1e-4 * np.linalg.norm(image)
        assert scaled_stats.num_steps == stats.num_steps


@pytest.mark.parametrize("coils", [False, True], ids=["MaskedFourier", "Sense"])
def test_the_phase_of_the_kspace_is_that_of_the_image(coils: bool, params: dict) -> None:
    """The net does not commute with a phase. The images differ unless the normalisation removes the phase."""
    A = sense() if coils else dj.physics.MaskedFourier(lines())
    kspace = A.forward(random_complex(BATCH, *SHAPE, seed=3))
    turn = jnp.exp(2j).astype(kspace.dtype)
    different = RECON(params, A, turn * kspace)[0] - turn * RECON(params, A, kspace)[0]
    assert np.linalg.norm(different) > 1e-2
    recon = RECON.replace(normalisation=dj.SmoothPhase(0.3))
    image, stats = recon(params, A, kspace)
    turned, turned_stats = recon(params, A, turn * kspace)
    np.testing.assert_allclose(turned, turn * image, atol=1e-4)
    np.testing.assert_array_equal(turned_stats.num_steps, stats.num_steps)


def test_the_image_is_the_fixed_point_in_the_units_of_the_kspace(params: dict) -> None:
    A = sense()
    kspace = 50 * A.forward(random_complex(BATCH, *SHAPE, seed=3))
    recon = RECON.replace(solver=dj.solvers.Anderson(max_steps=100, rtol=1e-5))
    image, stats = recon(params, A, kspace)
    assert stats.converged.all()
    found = equilibrium(recon, params, A, A.adjoint(kspace))
    np.testing.assert_allclose(found.units.undo(found.state), image, rtol=1e-4, atol=1e-4)
    again = recon.map(found.state, found.args)
    change = np.linalg.norm((again - found.state).reshape(BATCH, -1), axis=1)
    np.testing.assert_array_less(change / np.linalg.norm(found.state.reshape(BATCH, -1), axis=1), 2e-5)


@dataclasses.dataclass(frozen=True)
class Shift:
    """A net that adds a learned image."""

    def init(self, key: jax.Array, image: jax.Array) -> dict:
        return {"params": {"shift": jnp.zeros(SHAPE, image.dtype)}}

    def apply(self, params: dict, image: jax.Array) -> jax.Array:
        return image + params["params"]["shift"]


@pytest.mark.slow
def test_a_start_saves_evaluations_and_changes_neither_the_fixed_point_nor_its_gradient(params: dict) -> None:
    recon = RECON.replace(solver=dj.solvers.Anderson(max_steps=60, rtol=1e-4))
    A = sense()
    kspace = A.forward(random_complex(*SHAPE, seed=3))
    image, stats = recon(params, A, kspace)
    found = equilibrium(recon, params, A, A.adjoint(kspace)[None])
    started = recon.replace(start=Shift())
    fresh = params | {"start": started.init(jax.random.key(0))["start"]}
    np.testing.assert_array_equal(started(fresh, A, kspace)[0], image)
    shift = (recon.map.image(found.state) - found.args.zero_filled)[0]
    known = params | {"start": {"net": {"shift": 0.95 * shift}}}
    nearer, nearer_stats = started(known, A, kspace)
    assert nearer_stats.converged
    assert nearer_stats.num_steps < stats.num_steps
    np.testing.assert_allclose(nearer, image, atol=1e-3 * np.abs(image).max())
    slope, without = (jax.grad(loss, argnums=1)(each, known, A, kspace) for each in (started, recon))
    assert not slope["start"]["net"]["shift"].any()
    largest = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(without["map"]))
    chex.assert_trees_all_close(slope["map"], without["map"], rtol=1e-7, atol=1e-2 * largest)


@pytest.mark.slow
def test_a_finish_is_one_step_of_a_second_map_after_the_fixed_point(params: dict) -> None:
    step = dj.maps.HalfQuadratic(NET, penalty=0.5)
    recon = dj.Reconstructor(step, dj.solvers.Anderson(max_steps=60, rtol=1e-6))
    finished = recon.replace(finish=step)
    chex.assert_trees_all_equal_structs(finished.init(jax.random.key(0))["finish"], params["map"])
    A = sense()
    kspace = A.forward(random_complex(*SHAPE, seed=3))
    image, stats = recon(params, A, kspace)
    same, same_stats = finished(params | {"finish": params["map"]}, A, kspace)
    np.testing.assert_allclose(same, image, atol=1e-5 * np.abs(image).max())
    assert same_stats.num_steps == stats.num_steps
    other = params | {"finish": jax.tree.map(lambda leaf: 1.5 * leaf, params["map"])}
    moved, moved_stats = finished(other, A, kspace)
    np.testing.assert_array_equal(moved_stats.residual, stats.residual)  # the residual is that of the fixed point
    found = equilibrium(finished, other, A, A.adjoint(kspace)[None])
    expected = found.units.undo(step(found.state, found.args._replace(params=other["finish"])))[0]
    np.testing.assert_allclose(moved, expected, atol=1e-5 * np.abs(expected).max())
    assert np.abs(moved - image).max() > 1e-2 * np.abs(image).max()
    classical = recon.replace(finish=dj.maps.PrimalDual(dj.priors.TotalVariation()))  # its state is not one image
    assert classical(params | {"finish": {}}, A, kspace)[0].shape == image.shape


@pytest.mark.slow
def test_the_gradient_through_a_finish_equals_finite_differences(params: dict, float64: None) -> None:
    step, solver = dj.maps.HalfQuadratic(NET, penalty=0.5, cg_steps=30), dj.solvers.Anderson(max_steps=80, rtol=1e-9)
    recon = dj.Reconstructor(step, solver, dj.Implicit(solver, rtol=1e-8), finish=step)
    A = jax.tree.map(lambda leaf: jnp.asarray(leaf).astype(jnp.result_type(leaf, jnp.float64)), sense())
    kspace = A.forward(random_complex(*SHAPE, seed=3).astype(complex))
    wide = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), params)
    both = wide | {"finish": jax.tree.map(lambda leaf: 1.5 * leaf, wide["map"])}
    slope = jax.grad(loss, argnums=1)(recon, both, A, kspace)
    for part in ("map", "finish"):
        moved = lambda s, part=part: both | {part: jax.tree.map(lambda leaf: (1 + s) * leaf, both[part])}
        difference = (loss(recon, moved(1e-6), A, kspace) - loss(recon, moved(-1e-6), A, kspace)) / 2e-6
        found = sum(jax.tree.leaves(jax.tree.map(jnp.vdot, both[part], slope[part])))
        np.testing.assert_allclose(found, difference, rtol=1e-4)


@dataclasses.dataclass(frozen=True)
class Relax:
    """A map whose parameters have the names of the parts of a method: ``f(x) = smaps x + start x0 + finish``."""

    def init(self, key: jax.Array) -> Params:
        return {name: jnp.full((), 0.25) for name in ("map", "smaps", "start", "finish")}

    def start(self, args: MapArgs) -> jax.Array:
        return args.zero_filled

    def __call__(self, image: jax.Array, args: MapArgs) -> jax.Array:
        return args.params["smaps"] * image + args.params["start"] * args.zero_filled + args.params["finish"]

    def image(self, state: jax.Array) -> jax.Array:
        return state


def test_parameters_of_a_map_may_have_the_names_of_the_parts_of_a_method() -> None:
    plain = dj.Reconstructor(Relax(), dj.solvers.Picard(rtol=1e-6))
    A = dj.physics.MaskedFourier(lines())
    kspace = A.forward(random_complex(*SHAPE, seed=3))
    fresh = plain.init(jax.random.key(0))
    assert set(fresh) == {"map"}
    assert isinstance(plain.map, IterationMap)
    units = plain.normalisation(A.adjoint(kspace))
    expected = units.undo((0.25 * units.apply(A.adjoint(kspace)) + 0.25) / (1 - 0.25))
    image, _ = plain(fresh, A, kspace)
    np.testing.assert_allclose(image, expected, atol=1e-4)
    started = plain.replace(start=Shift())
    parts = started.init(jax.random.key(0))
    assert set(parts) == {"map", "start"}
    np.testing.assert_allclose(started(parts, A, kspace)[0], image, atol=1e-4)
    finished = plain.replace(finish=Relax())
    parts = finished.init(jax.random.key(0))
    assert set(parts) == {"map", "finish"}
    chex.assert_trees_all_equal(parts["map"], parts["finish"])
    final, _ = finished(parts | {"finish": jax.tree.map(lambda leaf: 2 * leaf, parts["finish"])}, A, kspace)
    x, x0 = units.apply(expected), units.apply(A.adjoint(kspace))
    np.testing.assert_allclose(final, units.undo(0.5 * x + 0.5 * x0 + 0.5), atol=1e-4)


@pytest.mark.slow
def test_double_precision_kspace_with_single_precision_params(params: dict, float64: None) -> None:
    A = dj.physics.MaskedFourier(lines())
    kspace = A.forward(random_complex(*SHAPE, seed=3).astype(jnp.complex128))
    image, stats = RECON(params, A, kspace)
    assert image.dtype == jnp.complex128
    assert stats.residual.dtype == jnp.float64
    single, _ = RECON(params, A, kspace.astype(jnp.complex64))
    assert single.dtype == jnp.complex64
    np.testing.assert_allclose(single, image, atol=1e-4)
    wide = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), params)
    loss = lambda params: jnp.sum(jnp.abs(RECON(params, A, kspace.astype(jnp.complex64))[0]) ** 2)
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(jax.jit(jax.grad(loss))(wide)))


def compilations() -> int:
    """The number of programs that reconstructions have compiled."""
    return _reconstruct._cache_size()  # type: ignore[attr-defined]


def test_the_type_the_rank_and_the_batch_of_a_mask_compile_nothing(params: dict) -> None:
    """All of these masks measure the same, and so give the same image from one program."""
    kspace = jnp.broadcast_to(lines() * random_complex(*SHAPE, seed=3), (BATCH, *SHAPE))
    line: Any = np.asarray(lines())
    wide: Any = np.asarray(kspace, np.complex128)
    expected, _ = RECON(params, dj.physics.MaskedFourier(line), kspace)
    before = compilations()
    masks = [line > 0, line.astype(np.int64), line[0], np.repeat(line, SHAPE[0], 0), line[None], np.stack([line, line])]
    for mask in [*masks, *map(jnp.asarray, masks)]:
        image, _ = RECON(params, dj.physics.MaskedFourier(mask), wide)
        np.testing.assert_array_equal(image, expected, err_msg=f"{mask.shape} {mask.dtype}")
    assert compilations() == before


@partial(jax.jit, static_argnums=0)
def loss(recon: dj.Reconstructor, params: dict, A: ForwardModel, kspace: jax.Array) -> jax.Array:
    return jnp.sum(jnp.abs(recon(params, A, kspace)[0]) ** 2)


def test_a_reconstruction_works_inside_jit_and_grad(params: dict) -> None:
    A = dj.physics.MaskedFourier(lines())
    kspace = A.forward(random_complex(*SHAPE, seed=3))
    image, _ = RECON(params, A, kspace)
    np.testing.assert_allclose(loss(RECON, params, A, kspace), np.sum(np.abs(image) ** 2), rtol=1e-5)
    recon = RECON.replace(solver=dj.solvers.Anderson(max_steps=50, rtol=1e-6))
    slope = jax.jit(jax.grad(loss, argnums=1), static_argnums=0)(recon, params, A, kspace)
    chex.assert_trees_all_equal_structs(slope, params)
    h, bias = 1e-2, ("map", "net", "conv_1", "bias")
    moved = lambda s: jax.tree.map_with_path(
        lambda path, leaf: leaf + s * (tuple(entry.key for entry in path) == bias), params
    )
    difference = (loss(recon, moved(h), A, kspace) - loss(recon, moved(-h), A, kspace)) / (2 * h)
    np.testing.assert_allclose(slope["map"]["net"]["conv_1"]["bias"].sum(), difference, rtol=1e-2)


def test_replace_changes_a_setting_and_equal_settings_compile_once(params: dict) -> None:
    A = dj.physics.MaskedFourier(lines())
    kspace = A.forward(random_complex(*SHAPE, seed=3))
    recon = RECON.replace(solver=dj.solvers.Picard(max_steps=5, rtol=0.0))
    assert recon.map == RECON.map
    assert RECON.solver.max_steps == 8
    recon(params, A, kspace)
    before = compilations()
    twin = dj.Reconstructor(dj.maps.ProximalGradient(dj.nets.DnCNN(layers=2, features=4, residual=False)), recon.solver)
    for same in (recon, twin, twin.replace()):
        _, stats = same(params, dj.physics.MaskedFourier(1 * lines()), 2 * kspace)
        assert stats.num_steps == 5
    assert compilations() == before
    _, stats = recon.replace(solver=dj.solvers.Picard(max_steps=3, rtol=0.0))(params, A, kspace)
    assert stats.num_steps == 3
    assert compilations() == before + 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        recon.solver = dj.solvers.Anderson()  # type: ignore[misc]
    with pytest.raises(TypeError, match="tolerance"):
        recon.replace(tolerance=1)


FOURIER = dj.physics.MaskedFourier(lines())
KSPACE = random_complex(*SHAPE)


@pytest.mark.parametrize(
    ("A", "kspace", "parts"),
    [
        (FOURIER, KSPACE.real, ["must be complex", "float32"]),
        (dj.physics.MaskedFourier(jnp.ones((1, 7))), KSPACE, ["(11, 9)", "(1, 7)", "MaskedFourier"]),
        (dj.physics.MaskedFourier(jnp.ones((8, 9))), KSPACE, ["(11, 9)", "(8, 9)"]),
        (FOURIER, random_complex(2, 3, *SHAPE), ["(2, 3, 11, 9)", "one image, or a batch"]),
        (FOURIER, KSPACE[0], ["(9,)"]),
        (sense(), KSPACE, ["(11, 9)", "(2, 11, 9)", "Sense"]),
        (sense(), random_complex(3, *SHAPE), ["(3, 11, 9)", "(2, 11, 9)"]),
        (sense(), random_complex(COILS, 11, 8), ["(2, 11, 8)", "(2, 11, 9)", "(1, 9)"]),
        (sense(BATCH), random_complex(3, COILS, *SHAPE), ["(3, 2, 11, 9)", "(2, 2, 11, 9)"]),
        (sense(BATCH), random_complex(COILS, *SHAPE), ["(2, 11, 9)", "(2, 2, 11, 9)"]),
        (FOURIER, jnp.where(jnp.arange(9) == 3, jnp.nan, KSPACE), ["(11, 9)", "NaN or infinity"]),
        (FOURIER, jnp.where(jnp.arange(9) == 3, jnp.inf, KSPACE), ["NaN or infinity"]),
        (FOURIER, random_complex(0, *SHAPE), ["(0, 11, 9)", "is empty"]),
        (dj.physics.MaskedFourier(jnp.zeros((1, 9))), KSPACE, ["(1, 9)", "samples nothing"]),
        ({"net": {}}, KSPACE, ["must be a forward model", "not dict", "recon(params, A, kspace)"]),
    ],
)
def test_invalid_measurements_raise_errors_before_anything_is_compiled(
    A: ForwardModel, kspace: jax.Array, parts: list[str], params: dict
) -> None:
    before = compilations()
    with pytest.raises(ValueError) as error:  # noqa: PT011
        RECON(params, A, kspace)
    assert all(part in str(error.value) for part in parts), error.value
    assert compilations() == before


@pytest.mark.parametrize("dtype", [">c8", ">c16", np.clongdouble])
def test_arrays_of_numpy_that_jax_lacks_are_converted(dtype: Any, params: dict) -> None:
    expected, _ = RECON(params, FOURIER, KSPACE)
    mask = np.asarray(lines())
    others: list[Any] = [mask, mask.astype(">f4"), mask.astype(np.longdouble), mask.astype(">i2"), mask.tolist()]
    kspace: Any = np.asarray(KSPACE, dtype)
    for other in others:
        found, _ = RECON(params, dj.physics.MaskedFourier(other), kspace)
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
    masked: Any = np.ma.masked_array(KSPACE, mask=mask * np.ones(SHAPE) == 0)
    with pytest.raises(ValueError, match="masked array"):
        RECON(params, FOURIER, masked)


def test_parameters_of_another_method_raise_an_error(params: dict) -> None:
    wider = RECON.replace(map=dj.maps.ProximalGradient(dj.nets.DnCNN(layers=2, features=5)))
    for recon, given in ((wider, params), (RECON, {}), (RECON.replace(finish=RECON.map), params)):
        with pytest.raises(ValueError, match=r"params\[.*\] has shape .* and init makes"):
            recon(given, FOURIER, KSPACE)


def test_shapes_are_checked_inside_jit(params: dict) -> None:
    with pytest.raises(ValueError, match=r"kspace of shape \(11, 7\) does not fit MaskedFourier.*\(1, 9\)"):
        loss(RECON, params, FOURIER, KSPACE[:, :7])


@pytest.mark.parametrize("kind", [np, jnp], ids=["numpy", "jax"])
def test_kspace_and_mask_may_be_closed_over_in_a_jit_of_the_user(kind) -> None:
    """The values that are known are checked there too, and no check runs on a tracer."""
    params, mask = RECON.init(jax.random.key(0)), kind.ones((1, 8), np.float32)
    kspace = kind.ones((2, 8, 8), np.complex64)
    A = lambda mask: dj.physics.MaskedFourier(mask)
    expected, _ = RECON(params, A(mask), kspace)
    for image in (
        jax.jit(lambda params: RECON(params, A(mask), kspace)[0])(params),
        jax.jit(lambda params, kspace: RECON(params, A(mask), kspace)[0])(params, kspace),
        jax.jit(lambda params, mask: RECON(params, A(mask), kspace)[0])(params, mask),
        jax.jit(lambda params, kspace, A: RECON(params, A, kspace)[0])(params, kspace, A(mask)),
        jax.lax.map(lambda params: RECON(params, A(mask), kspace)[0], jax.tree.map(lambda leaf: leaf[None], params))[0],
    ):
        np.testing.assert_allclose(image, expected, atol=1e-5)
    bad, empty = kspace * np.nan, 0 * mask
    with pytest.raises(ValueError, match="NaN or infinity"):
        jax.jit(lambda params: RECON(params, A(mask), bad)[0])(params)
    with pytest.raises(ValueError, match="samples nothing"):
        jax.jit(lambda params: RECON(params, A(empty), kspace)[0])(params)


def test_a_setting_that_is_an_array_is_refused_in_one_line() -> None:
    A = dj.physics.MaskedFourier(jnp.ones((1, 8)))
    prior = dj.priors.TotalVariation()
    run = lambda weight: dj.Reconstructor(dj.maps.PrimalDual(prior, weight))(
        {}, A, A.forward(jnp.ones((8, 8), complex))
    )
    with pytest.raises(ValueError, match="not a plain number"):
        run(jnp.float32(0.01))
    with pytest.raises(ValueError, match="not a plain number"):
        jax.grad(lambda weight: run(weight)[0].real.sum())(0.01)
    assert run(np.float32(0.01))[1].converged
