"""Derivatives of fixed points: what each adjoint computes, and what it reports."""

import dataclasses
from functools import partial
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deqjax import Implicit, OneStep, Phantom, Unrolled, backward_probe, fixed_point, root
from deqjax.solvers import Anderson, NewtonKrylov, Picard, Stats
from deqjax.types import Adjoint, Solver

SOLVER = Anderson(history=5, max_steps=100, rtol=1e-12)  # with more history three unknowns take equally many steps
EXACT = Implicit(SOLVER, rtol=1e-11)


def real_map(x: jax.Array, args: dict) -> jax.Array:
    return jnp.tanh(jnp.einsum("bi,ij->bj", x, args["M"])) * args["gain"] + args["b"]


def complex_map(x: jax.Array, args: dict) -> jax.Array:
    """A map that is not holomorphic, like a network on real and imaginary parts."""
    moved = jnp.einsum("bi,ij->bj", x, args["M"]) + 0.2 * jnp.conj(x)
    return args["gain"] * moved / jnp.sqrt(1 + jnp.abs(moved) ** 2) + args["b"]


def pair_map(x: dict, args: dict) -> dict:
    image = complex_map(x["image"], args) + 0.1 * x["dual"]
    return {"image": image, "dual": 0.3 * jnp.abs(image) ** 2 / (1 + jnp.abs(image) ** 2) + 0.2 * x["dual"]}


def problem(kind: str, batch: int = 3, n: int = 5) -> tuple:
    """Return a map, its first iterate and its arguments. Every image has another contraction factor."""
    rng = np.random.default_rng(0)
    draw = lambda *shape: rng.normal(size=shape) + (0 if kind == "real" else 1j * rng.normal(size=shape))
    M = draw(n, n)
    args = {"M": M / np.linalg.norm(M, 2), "b": draw(batch, n), "gain": np.array([[0.2], [0.5], [0.7]])[:batch]}
    x0 = jnp.zeros((batch, n), float if kind == "real" else complex)
    if kind == "pair":
        return pair_map, {"image": x0, "dual": x0.real}, jax.tree.map(jnp.asarray, args)
    return (real_map if kind == "real" else complex_map), x0, jax.tree.map(jnp.asarray, args)


def value(x: Any) -> jax.Array:
    """A real function of a solution that depends on every entry."""

    def of_leaf(leaf: jax.Array) -> jax.Array:
        weights = jnp.cos(jnp.arange(leaf.size).reshape(leaf.shape))
        return jnp.sum(weights * (leaf.real + 0.5 * leaf.imag)) + jnp.sum(jnp.abs(leaf) ** 2)

    return jnp.sum(jnp.stack([of_leaf(leaf) for leaf in jax.tree.leaves(x)]))


@partial(jax.jit, static_argnums=(0, 1, 2))
def gradient(kind: str, solver: Solver, adjoint: Adjoint | Unrolled, args: dict) -> tuple:
    """Return the value with the Stats, and the gradients of args and of the probe, which are the backward Stats."""
    f, x0, _ = problem(kind)

    def loss(args: dict, probe: Stats) -> tuple:
        x, stats = fixed_point(f, x0, args, solver=solver, adjoint=adjoint, probe=probe)
        return value(x), stats

    batch = jax.tree.leaves(x0)[0].shape[0]
    return jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)(args, backward_probe(batch))


def scanned(kind: str, args: dict) -> dict:
    """Return the gradient of a long Picard iteration, computed without the package."""
    f, x0, _ = problem(kind)
    iterate = lambda args: jax.lax.scan(lambda x, _: (f(x, args), None), x0, length=300)[0]
    return jax.jit(jax.grad(lambda args: value(iterate(args))))(args)


def assert_same(found: dict, expected: dict, rtol: float = 1e-7) -> None:
    chex.assert_trees_all_close(found, expected, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("kind", [pytest.param("real", marks=pytest.mark.slow), "complex", "pair"])
def test_the_implicit_gradient_equals_that_of_a_long_scan_and_finite_differences(kind: str, float64: None) -> None:
    args = problem(kind)[2]
    (_, stats), (found, backward) = gradient(kind, SOLVER, EXACT, args)
    assert stats.converged.all()
    assert_same(found, scanned(kind, args))
    assert backward.converged.tolist() == [1, 1, 1]
    assert (backward.residual <= 1e-10).all()
    assert backward.num_steps[0] < backward.num_steps[2]
    rng, h = np.random.default_rng(1), 1e-5
    for name, leaf in args.items():
        direction = rng.normal(size=leaf.shape) + (1j * rng.normal(size=leaf.shape) if jnp.iscomplexobj(leaf) else 0)
        up, down = (gradient(kind, SOLVER, EXACT, args | {name: leaf + s * direction})[0][0] for s in (h, -h))
        np.testing.assert_allclose(jnp.sum(found[name] * direction).real, (up - down) / (2 * h), rtol=1e-6)


def test_implicit_keeps_the_tolerance_of_its_solver(float64: None) -> None:
    args = problem("complex")[2]
    adjoint = Implicit(Anderson(max_steps=100, rtol=1e-12))
    assert adjoint.tolerance == 1e-12
    _, (found, backward) = gradient("complex", SOLVER, adjoint, args)
    assert (backward.residual <= 1e-11).all()
    assert_same(found, scanned("complex", args), 1e-10)


@pytest.mark.slow
def test_the_rtol_of_implicit_overrides_the_tolerance_of_its_solver(float64: None) -> None:
    args = problem("complex")[2]
    loose, tight = (Implicit(Anderson(max_steps=100, rtol=rtol)) for rtol in (1e-2, 1e-12))
    for adjoint in (loose, dataclasses.replace(tight, rtol=1e-2)):
        assert adjoint.tolerance == 1e-2
        _, (found, backward) = gradient("complex", SOLVER, adjoint, args)
        assert (backward.residual > 1e-6).all()
        assert backward.converged.tolist() == [1, 1, 1]
        chex.assert_trees_all_equal(found, gradient("complex", SOLVER, loose, args)[1][0])
    overridden = dataclasses.replace(loose, rtol=1e-12)
    assert overridden.tolerance == 1e-12
    chex.assert_trees_all_equal(gradient("complex", SOLVER, overridden, args), gradient("complex", SOLVER, tight, args))


@pytest.mark.parametrize("adjoint", [Implicit(), OneStep(), Phantom()], ids=lambda adjoint: type(adjoint).__name__)
def test_adjoints_fulfil_the_protocol_and_their_tolerance_is_read_only(adjoint: Any) -> None:
    with pytest.raises(AttributeError):
        adjoint.tolerance = 1.0
    assert isinstance(adjoint, Adjoint)


def test_the_unrolled_gradient_is_that_of_the_iterations_that_were_computed(float64: None) -> None:
    args = problem("complex")[2]
    (_, stats), (found, _) = gradient("complex", SOLVER, Unrolled(), args)
    assert stats.converged.all()
    assert_same(found, scanned("complex", args))
    f, x0, _ = problem("complex")
    (_, stats), (found, _) = gradient("complex", Picard(max_steps=4, rtol=0.0), Unrolled(), args)
    three = lambda args: f(f(f(x0, args), args), args)  # the fourth evaluation only computes the residual
    assert_same(found, jax.jit(jax.grad(lambda args: value(three(args))))(args))
    assert stats.num_steps.tolist() == [4, 4, 4]


def solved(args: dict) -> tuple:
    """Return the solution of the complex problem, the cotangent v of its value, and the product with the Jacobians."""
    f, x0, _ = problem("complex")
    x = jax.jit(lambda args: jax.lax.fori_loop(0, 300, lambda _, x: f(x, args), x0))(args)
    return x, jax.jit(jax.grad(value))(x), jax.jit(lambda w: jax.vjp(f, x, args)[1](w))


def test_one_step_is_the_gradient_of_one_step_at_the_solution(float64: None) -> None:
    f, _, args = problem("complex")
    x, v, transpose = solved(args)
    expected = jax.jit(jax.grad(lambda args: value(f(x, args))))(args)
    _, (found, backward) = gradient("complex", SOLVER, OneStep(), args)
    assert_same(found, expected, 1e-9)
    expected_residual = np.linalg.norm(transpose(v)[0], axis=1) / np.linalg.norm(v, axis=1)
    np.testing.assert_allclose(backward.residual, expected_residual, rtol=1e-6)
    assert backward.num_steps.tolist() == backward.converged.tolist() == [0, 0, 0]


def test_phantom_equals_its_series_and_tends_to_the_exact_gradient(float64: None) -> None:
    _, _, args = problem("complex")
    _, v, transpose = solved(args)
    w = v
    for _ in range(3):
        w = 0.6 * (v + transpose(w)[0]) + 0.4 * w
    _, (found, backward) = gradient("complex", SOLVER, Phantom(3, 0.6), args)
    assert_same(found, transpose(w)[1], 1e-9)
    error = v + transpose(w)[0] - w
    expected = np.linalg.norm(error, axis=1) / np.linalg.norm(w, axis=1)
    np.testing.assert_allclose(backward.residual, expected, rtol=1e-6)
    assert backward.num_steps.tolist() == [3, 3, 3]
    _, (found, backward) = gradient("complex", SOLVER, Phantom(150, 0.8), args)
    assert_same(found, scanned("complex", args))
    assert backward.converged.all()


def test_the_backward_stats_are_right_whether_the_solve_converged_or_not(float64: None) -> None:
    _, _, args = problem("complex")
    _, v, transpose = solved(args)
    for steps, converged in ((2, 0), (100, 1)):
        adjoint = Implicit(Anderson(max_steps=steps), rtol=1e-8, nan_above=np.inf)
        _, (found, backward) = gradient("complex", SOLVER, adjoint, args)
        w = found["b"]  # since f = ... + b
        error = v + transpose(w)[0] - w
        expected = np.linalg.norm(error, axis=1) / np.linalg.norm(w, axis=1)
        np.testing.assert_allclose(backward.residual, expected, rtol=1e-3, atol=1e-12)
        assert backward.converged.tolist() == [converged] * 3
        assert np.isfinite(w).all()
        assert (backward.num_steps == 2).all() if steps == 2 else (backward.num_steps > 5).all()


@pytest.mark.slow
def test_an_image_whose_estimated_error_is_too_large_has_a_nan_or_a_zero_gradient(float64: None) -> None:
    args = problem("complex")[2]
    adjoint = Implicit(Anderson(max_steps=3), rtol=1e-8, nan_above=1e9)
    _, (rough, backward) = gradient("complex", SOLVER, adjoint, args)
    assert backward.num_steps.tolist() == [8, 8, 8], "3 of the solve and 5 of the estimate"
    limit = float(np.sort(backward.error)[:2].mean())
    bad = np.asarray(backward.error > limit)
    assert 0 < bad.sum() < 3
    strict = dataclasses.replace(adjoint, nan_above=limit)
    _, (found, report) = gradient("complex", SOLVER, strict, args)
    assert np.isnan(found["b"]).all(axis=1).tolist() == bad.tolist()
    np.testing.assert_array_equal(found["b"][~bad], rough["b"][~bad])
    assert np.isnan(found["M"]).all(), "the gradient of what the images share is a sum over all images"
    assert np.isinf(report.error).tolist() == bad.tolist()
    assert not report.converged.any()
    _, (found, report) = gradient("complex", SOLVER, dataclasses.replace(strict, on_failure="drop"), args)
    assert not found["b"][bad].any()
    np.testing.assert_array_equal(found["b"][~bad], rough["b"][~bad])
    assert np.isfinite(found["M"]).all()
    assert np.isinf(report.error).tolist() == bad.tolist()
    with pytest.raises(ValueError, match="on_failure must be"):
        Implicit(on_failure="ignore")  # type: ignore[arg-type]


@pytest.mark.parametrize("adjoint", [OneStep(), Phantom(), Implicit(nan_above=np.inf)], ids=["one", "phantom", "inf"])
def test_an_error_that_is_not_estimated_is_reported_as_nan(adjoint: Adjoint) -> None:
    loss = lambda probe: fixed_point(
        lambda x, b: x / 2 + b, jnp.ones((2, 3)), jnp.ones(3), adjoint=adjoint, probe=probe
    )
    assert jnp.isnan(jax.grad(lambda probe: loss(probe)[0].sum())(backward_probe(2)).error).all()
    assert loss(backward_probe(2))[1].error is None


def direction(args: dict) -> dict:
    rng = np.random.default_rng(1)
    draw = lambda leaf: (
        rng.normal(size=leaf.shape) + (1j * rng.normal(size=leaf.shape) if jnp.iscomplexobj(leaf) else 0)
    )
    return {name: jnp.asarray(draw(leaf)) for name, leaf in args.items()}


def along(gradient: dict, direction: dict) -> float:
    return sum(float(jnp.sum(gradient[name] * direction[name]).real) for name in gradient)


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind",
    ["real", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("complex", "pair"))],
)
def test_forward_mode_and_second_derivatives_equal_those_of_a_long_scan(kind: str, float64: None) -> None:
    f, x0, args = problem(kind)
    vector = direction(args)

    def implicit(args: dict) -> jax.Array:
        return value(fixed_point(f, x0, args, solver=SOLVER, adjoint=Implicit(SOLVER))[0])

    def iterated(args: dict) -> jax.Array:
        return value(jax.lax.scan(lambda x, _: (f(x, args), None), x0, length=200)[0])

    def derivatives(loss: Any) -> Any:
        slope = lambda args: jax.jvp(loss, (args,), (vector,))[1]
        hessian_product = lambda args: jax.jvp(jax.grad(loss), (args,), (vector,))[1]
        return jax.jit(lambda args: (slope(args), jax.grad(slope)(args), hessian_product(args)))(args)

    found, expected = derivatives(implicit), derivatives(iterated)
    chex.assert_trees_all_close(found, expected, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(along(gradient(kind, SOLVER, EXACT, args)[1][0], vector), found[0], rtol=1e-9)


@pytest.mark.slow
def test_the_hessian_of_a_captured_and_of_a_passed_array() -> None:
    x0, adjoint = jnp.zeros((1, 2)), Implicit(Anderson(rtol=1e-6))
    passed = lambda c: fixed_point(lambda x, c: 0.5 * x + c**2, x0, c, adjoint=adjoint)[0].sum()
    captured = lambda c: fixed_point(lambda x, _: 0.5 * x + c**2, x0, (), adjoint=adjoint)[0].sum()
    for loss in (passed, captured):
        np.testing.assert_allclose(jax.hessian(loss)(3.0), 8, rtol=1e-4)
        np.testing.assert_allclose(jax.jit(jax.jacfwd(loss))(3.0), 24, rtol=1e-4)


@pytest.mark.parametrize("adjoint", [OneStep(), Phantom(), Unrolled()], ids=lambda a: type(a).__name__)
def test_the_approximations_are_the_same_in_forward_and_reverse_mode(adjoint: Any, float64: None) -> None:
    f, x0, args = problem("complex")
    vector = direction(args)
    solver = Picard(max_steps=10)
    loss = lambda args: value(fixed_point(f, x0, args, solver=solver, adjoint=adjoint)[0])
    both = jax.jit(lambda args: (jax.jvp(loss, (args,), (vector,))[1], jax.grad(loss)(args)))
    forward, backward = both(args)
    np.testing.assert_allclose(along(backward, vector), forward, rtol=1e-10)


@pytest.mark.slow
def test_an_f_with_a_custom_vjp_has_a_gradient_but_no_forward_mode() -> None:
    half_cos = jax.custom_vjp(lambda x: 0.5 * jnp.cos(x))
    half_cos.defvjp(lambda x: (0.5 * jnp.cos(x), x), lambda x, g: (-0.5 * jnp.sin(x) * g,))
    losses = [
        lambda b, g=g: fixed_point(lambda x, b: g(x) + b, jnp.zeros((1, 2)), b)[0].sum()
        for g in (half_cos, lambda x: 0.5 * jnp.cos(x))
    ]
    np.testing.assert_allclose(jax.grad(losses[0])(1.0), jax.grad(losses[1])(1.0), rtol=1e-5)
    with pytest.raises(TypeError, match="custom_vjp"):
        jax.jvp(losses[0], (1.0,), (1.0,))


def test_a_diverging_backward_solve_gives_nan() -> None:
    f = lambda x, b: jnp.where(jnp.arange(2)[:, None] == 0, 0.5, -3.0) * (x - 1) + 1 + b - jax.lax.stop_gradient(b)
    solver = Picard(max_steps=30)  # x0 is the fixed point, near which the second image diverges
    slope = jax.grad(lambda b: fixed_point(f, jnp.ones((2, 3)), b, solver=solver, adjoint=Implicit(solver))[0].sum())
    assert jnp.isnan(slope(jnp.ones(())))


@pytest.mark.slow
def test_the_gradient_of_x0_is_zero_and_args_may_contain_integers() -> None:
    f = lambda x, args: 0.5 * x + args[0] * args[1]
    loss = lambda x0, b: fixed_point(f, x0, (b, jnp.array(2)), solver=Picard(rtol=1e-6))[0].sum()
    of_x0, slope = jax.grad(loss, argnums=(0, 1))(jnp.ones((1, 3)), jnp.ones(()))
    assert not of_x0.any()
    np.testing.assert_allclose(slope, 12, rtol=1e-4)


@pytest.mark.parametrize(
    "adjoint",
    [Implicit(), *(pytest.param(one, marks=pytest.mark.slow) for one in (OneStep(), Phantom(), Unrolled()))],
    ids=lambda a: type(a).__name__,
)
def test_a_captured_array_keeps_its_gradient(adjoint: Adjoint | Unrolled) -> None:
    solver = Picard(rtol=1e-6)
    passed = lambda b: fixed_point(lambda x, b: 0.5 * x + b**2, jnp.zeros((1, 2)), b, solver=solver, adjoint=adjoint)
    captured = lambda b: fixed_point(lambda x, _: 0.5 * x + b**2, jnp.zeros((1, 2)), (), solver=solver, adjoint=adjoint)
    both = lambda b: fixed_point(lambda x, c: 0.5 * x + b * c, jnp.zeros((1, 2)), b, solver=solver, adjoint=adjoint)
    slopes = [jax.jit(jax.grad(lambda b, g=g: g(b)[0].sum())) for g in (passed, captured, both)]
    expected = slopes[0](jnp.array(3.0))
    assert expected > 5
    for slope in slopes[1:]:
        np.testing.assert_allclose(slope(jnp.array(3.0)), expected, rtol=1e-6)
    np.testing.assert_allclose(jax.grad(lambda b: captured(b)[0].sum())(jnp.array(3.0)), expected, rtol=1e-6)


@pytest.mark.slow
def test_args_of_higher_precision_than_the_state_have_a_gradient(float64: None) -> None:
    f = lambda x, b: 0.5 * x + b
    loss = lambda b: fixed_point(f, jnp.zeros((1, 2), jnp.float32), b)[0].sum()
    slope = jax.grad(loss)(jnp.ones(()))
    assert slope.dtype == jnp.float64
    np.testing.assert_allclose(slope, 4, rtol=1e-3)


@pytest.mark.parametrize(
    "dtype",
    [
        jnp.bfloat16,
        *(pytest.param(one, marks=pytest.mark.slow) for one in (jnp.float16, jnp.int32, jnp.int8, jnp.uint8)),
    ],
)
def test_a_start_of_half_precision_or_of_whole_numbers_has_a_solution_and_a_gradient(dtype: Any) -> None:
    x0 = jnp.ones((1, 3), dtype)
    for adjoint in (Implicit(), Unrolled()):
        loss = lambda b, a=adjoint: fixed_point(lambda y, b: 0.5 * jnp.cos(y) + b, x0, b, adjoint=a)
        (x, stats), slope = loss(1.0), jax.grad(lambda b, loss=loss: loss(b)[0].astype(float).sum())(1.0)
        assert x.dtype == (dtype if jnp.issubdtype(dtype, jnp.floating) else jnp.float32)
        assert stats.converged.all()
        np.testing.assert_allclose(x.astype(float), 1.1872, rtol=6e-3)
        np.testing.assert_allclose(slope, 3 / (1 + 0.5 * np.sin(1.1872)), rtol=1e-2)


NOT_NUMERIC = [jnp.zeros((1, 2), bool), (jnp.zeros((1, 2)), jnp.ones((1, 2), bool))]


@pytest.mark.parametrize("x0", NOT_NUMERIC)
def test_a_start_that_is_not_numeric_raises_an_error(x0: Any) -> None:
    with pytest.raises(ValueError, match="every leaf of the first iterate must be"):
        fixed_point(lambda x, b: x + b, x0, 1.0)


@pytest.mark.parametrize("x0", [jnp.zeros(()), [[0.0, 0.0]], {"a": jnp.zeros((2, 3)), "b": jnp.zeros((3, 3))}])
def test_a_start_without_a_batch_axis_raises_an_error(x0: Any) -> None:
    with pytest.raises(ValueError, match="leading batch axis"):
        fixed_point(lambda x, _: x, x0, 1.0)


@pytest.mark.parametrize(
    ("adjoint", "settings"),
    [
        *((Phantom, {"relaxation": value}) for value in (0.0, -0.5, 1.5, 5.0, np.nan, np.inf)),
        *((Phantom, {"steps": value}) for value in (0, -1)),
        *((Implicit, {"nan_above": value}) for value in (0.0, -1.0, np.nan)),
    ],
)
def test_settings_outside_their_range_raise_an_error(adjoint: Any, settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        adjoint(**settings)


def test_single_precision_states_are_solved_while_x64_is_on(float64: None) -> None:
    for dtype in (jnp.float32, jnp.complex64):
        x, stats = fixed_point(lambda x, b: 0.5 * x + b, jnp.zeros((1, 2), dtype), jnp.ones(2))
        assert x.dtype == dtype
        assert stats.converged.all()
        np.testing.assert_allclose(x, 2, rtol=1e-3)


def test_settings_that_are_arrays_raise_an_error() -> None:
    def solved(relaxation: Any, adjoint: Any) -> jax.Array:
        solver = Picard(relaxation=relaxation)
        return fixed_point(lambda x, b: b * jnp.cos(x), jnp.zeros((1, 1)), 0.5, solver=solver, adjoint=adjoint)[0].sum()

    for value in (jnp.float32(0.9), np.array(0.9)):
        with pytest.raises(ValueError, match="settings are plain numbers, and Picard holds"):
            solved(value, Implicit())
    for transform in (jax.grad, jax.jit):
        with pytest.raises(ValueError, match="settings are plain numbers, and Picard holds"):
            transform(lambda r: solved(r, OneStep()))(0.9)
    with pytest.raises(ValueError, match="settings are plain numbers, and Phantom holds"):
        solved(0.9, Phantom(relaxation=jnp.float32(0.5)))  # type: ignore[arg-type]
    assert np.isfinite(jax.grad(lambda r: solved(r, Unrolled()))(0.9)), "an unrolled iteration learns its settings"


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_steps() -> None:
    kernel = jnp.asarray(np.random.default_rng(0).normal(size=(64, 64)) / 40, jnp.float32)
    f = lambda x, args: jnp.tanh(jnp.tanh(x @ args["M"]) @ args["M"]) + args["b"]
    args = {"M": kernel, "b": jnp.ones((16, 64))}

    def temporary_bytes(steps: int, adjoint: Adjoint | Unrolled) -> int:
        loss = lambda args: fixed_point(f, args["b"], args, solver=Anderson(max_steps=steps), adjoint=adjoint)[0].sum()
        compiled = jax.jit(jax.grad(loss)).lower(args).compile()
        analysis = compiled.memory_analysis()
        assert analysis is not None
        return analysis.temp_size_in_bytes

    few, many = (temporary_bytes(steps, Implicit(Anderson(max_steps=steps))) for steps in (10, 200))
    history = 16 * 190 * 4  # bytes of the residuals of 190 more steps
    assert few <= many <= 1.05 * few + 4 * history
    few, many = (temporary_bytes(steps, Unrolled()) for steps in (10, 200))
    assert many > 3 * few, "the memory of the unrolled iteration grows, so that this test can detect growth"


@pytest.mark.slow
def test_a_root_and_its_derivatives_do_not_depend_on_the_sign_and_the_scale_of_f(float64: None) -> None:
    def f(x: dict, args: dict) -> dict:
        return {"a": args["scale"] * (x["a"] ** 3 + x["b"] - args["c"]), "b": args["scale"] * (x["b"] - 2 * x["a"])}

    @jax.jit
    def derivatives(c: jax.Array, scale: jax.Array) -> tuple:
        def of(c: jax.Array) -> tuple[jax.Array, Stats]:
            start = {"a": jnp.ones((2, 1)), "b": jnp.ones((2, 1))}
            solver = NewtonKrylov(max_steps=100, rtol=1e-12)
            x, stats = root(f, start, {"c": c, "scale": scale}, solver=solver, adjoint=Implicit(solver))
            return x["a"][:, 0], stats

        x, stats = of(c)
        sums = lambda c: of(c)[0].sum()
        return x, stats.converged, jax.grad(sums)(c), jax.jvp(jax.grad(sums), (c,), (jnp.ones_like(c),))[1]

    a = np.array([1.5, -0.7])  # a^3 + 2 a = c
    slope = 1 / (3 * a**2 + 2)
    for scale in (1.0, -1.0, 30.0):
        x, converged, gradient, second = derivatives(jnp.asarray(a**3 + 2 * a)[:, None], jnp.asarray(scale))
        assert converged.all()
        np.testing.assert_allclose(x, a, rtol=1e-9)
        np.testing.assert_allclose(gradient[:, 0], slope, rtol=1e-8)
        np.testing.assert_allclose(second[:, 0], -6 * a * slope**3, rtol=1e-7)


def test_a_root_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"x has \(1, 2\) and f\(x\) has \(1, 1\)"):
        root(lambda x, b: x[:, :1] - b, jnp.ones((1, 2)), 1.0)
