"""The loop: when it evaluates f, the unrolled form, the relative residual, and invalid arguments."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deqjax.solvers import Anderson, Broyden, NewtonKrylov, Picard, Stats, solve
from deqjax.solvers.loop import relative_residual
from deqjax.types import Solver


def test_f_is_evaluated_once_per_step_on_the_whole_batch() -> None:
    calls: list[tuple[int, ...]] = []
    slope = jnp.array([[0.1], [0.7]])

    def f(x: jax.Array) -> jax.Array:
        jax.debug.callback(lambda x: calls.append(x.shape), x)
        return slope * x + 1

    settings: list[Solver] = [Picard(), Anderson(), Broyden(max_steps=4, rtol=0.0), NewtonKrylov()]
    for solver in settings:
        calls.clear()
        _, stats = jax.block_until_ready(solve(f, jnp.zeros((2, 1)), solver))
        jax.effects_barrier()
        assert calls == [(2, 1)] * int(stats.num_steps.max())


@pytest.mark.parametrize("solver", [Picard(max_steps=40), Anderson(max_steps=10)])
def test_the_unrolled_loop_equals_the_while_loop(solver: Solver) -> None:
    slope = jnp.array([[0.1], [0.7], [jnp.nan]])
    runs = [jax.jit(lambda x, u=u: solve(lambda x: slope * jnp.cos(x) + 1, x, solver, unroll=u)) for u in (False, True)]
    (x, stats), (unrolled, unrolled_stats) = (run(jnp.ones((3, 2))) for run in runs)
    np.testing.assert_allclose(x, unrolled, rtol=1e-6)
    assert stats.num_steps.tolist() == unrolled_stats.num_steps.tolist()
    assert stats.converged.tolist() == unrolled_stats.converged.tolist() == [True, True, False]
    np.testing.assert_allclose(stats.residuals, unrolled_stats.residuals, atol=1e-6)


def test_a_pytree_of_several_variables_is_one_image() -> None:
    def f(x: dict) -> dict:
        return {"image": 0.5 * x["image"] + 1j * x["dual"], "dual": 0.25 * x["dual"] + jnp.abs(x["image"]) / 4 + 1}

    x0 = {"image": jnp.zeros((2, 4), complex), "dual": jnp.zeros((2, 4))}
    x, stats = solve(f, x0, Anderson(rtol=1e-6))
    assert stats.converged.all()
    assert x["image"].dtype == jnp.complex64
    assert x["dual"].dtype == jnp.float32
    np.testing.assert_allclose(x["image"], f(x)["image"], atol=1e-5)
    np.testing.assert_allclose(x["dual"], f(x)["dual"], atol=1e-5)


def test_relative_residual_of_zero_large_small_and_non_finite_vectors() -> None:
    x = jnp.array([[3.0, 4.0], [0.0, 0.0], [0.0, 0.0], [3e30, 4e30], [3e-30, 4e-30], [jnp.nan, 0], [jnp.inf, 0]])
    fx = jnp.array([[3.0, 1.5], [0.0, 0.0], [1.0, 0.0], [3e30, 1.5e30], [3e-30, 1.5e-30], [0, 0], [0, 0]])
    residual = relative_residual(x, fx)
    np.testing.assert_allclose(residual[:5], [0.5, 0, 1, 0.5, 0.5], rtol=1e-6)
    assert not jnp.isfinite(residual[5:]).any()


@pytest.mark.parametrize("largest", [1e-36, 1e-30, 1.0, 1e30, 1.5e38, 3e38])
def test_the_relative_residual_does_not_depend_on_the_scale(largest: float) -> None:
    x, fx = jnp.array([[1.0, 0.5, 0.0]]), jnp.array([[0.5, 0.25, 0.25]])
    expected = np.linalg.norm(fx - x) / np.linalg.norm(x)
    for sign in (1, -1):
        factor = jnp.float32(sign * largest)
        np.testing.assert_allclose(relative_residual(factor * x, factor * fx), expected, rtol=1e-5)
    assert jnp.isfinite(relative_residual(jnp.array([[1e-38, 0]]), jnp.array([[3e38, 0]]))).all()


@pytest.mark.parametrize("slope", [3.0, -3.0, 1.5, 10.0, 1e3, -1e10, 1e25])
@pytest.mark.parametrize("solver", [Picard(max_steps=300), Picard(0.5, max_steps=300)], ids=["undamped", "damped"])
def test_a_diverging_iteration_is_not_reported_as_converged(solver: Solver, slope: float) -> None:
    x, stats = solve(lambda x: slope * x + 1, jnp.zeros((1, 2)), solver)
    relative = abs(float(slope * x[0, 0] + 1 - x[0, 0])) / abs(float(x[0, 0]) or 1)
    assert bool(stats.converged[0]) == (relative <= 1e-4)
    np.testing.assert_allclose(stats.residual[0], relative, rtol=1e-5)


@pytest.mark.parametrize(
    "solver", [Picard(max_steps=20), Anderson(), Broyden(), NewtonKrylov()], ids=lambda solver: type(solver).__name__
)
def test_a_solve_at_any_scale_is_that_at_scale_one(solver: Solver) -> None:
    f = lambda x, c: 0.9 * jnp.roll(x, 1, axis=1) + 0.05 * c * jnp.tanh(x / c) + c * jnp.arange(5.0)
    run = jax.jit(lambda c: solve(lambda x: f(x, c), jnp.zeros((1, 5)), solver))
    expected, reference = run(jnp.float32(1))
    for exponent in (-100, -40, 40, 100):
        factor = jnp.float32(2.0**exponent)
        x, stats = run(factor)
        np.testing.assert_allclose(x / factor, expected, rtol=1e-4, err_msg=str(exponent))
        assert abs(int(stats.num_steps[0]) - int(reference.num_steps[0])) <= 1
        assert stats.converged.tolist() == reference.converged.tolist()


@pytest.mark.parametrize(
    ("f", "x0", "solver", "message"),
    [
        (lambda x: x, jnp.zeros((1, 2)), Picard(max_steps=0), "max_steps must be at least 1; it is 0"),
        (lambda x: x, jnp.zeros((1, 2)), Picard(max_steps=2.5), "max_steps must be a whole number; it is 2.5"),  # type: ignore
        (lambda x: x, jnp.zeros((0, 2)), Picard(), r"shape \(0, 2\), which is empty"),
        (lambda x: x, jnp.zeros((1, 2)), Picard(rtol=-1e-3), "rtol must be at least 0; it is -0.001"),
        (lambda x: x[:, :1], jnp.zeros((1, 2)), Picard(), r"x has real \(1, 2\) and f\(x\) has real \(1, 1\)"),
        (lambda x: 1j * x, jnp.zeros((1, 2)), Picard(), r"x has real \(1, 2\) and f\(x\) has complex \(1, 2\)"),
        (lambda x: (x,), jnp.zeros((1, 2)), Picard(), "f must return the shapes of its argument"),
        (lambda x: x, jnp.zeros(()), Picard(), r"leading batch axis.*\[\(\)\]"),
        (lambda x: x, (jnp.zeros((1, 2)), jnp.zeros((2, 2))), Picard(), r"\(1, 2\), \(2, 2\)"),
        (lambda x: x, jnp.zeros((1, 2)), Picard(rtol=jnp.array(1e-3)), "rtol must be a plain number"),  # type: ignore
        (lambda x: x, jnp.zeros((1, 2)), Picard(max_steps=jnp.array(3)), "max_steps must be a plain"),  # type: ignore
        (lambda x: x, jnp.zeros((1, 2)), Anderson(history=0), "history >= 1; it is 0"),
        (lambda x: x, jnp.zeros((1, 2)), Broyden(history=0), "history >= 1; it is 0"),
        (lambda x: x, jnp.zeros((1, 2)), NewtonKrylov(history=0), "history >= 1 .* they are 0 and"),
    ],
)
def test_invalid_arguments_raise_errors(f: Callable, x0: object, solver: Solver, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        solve(f, x0, solver)


def test_the_text_of_stats_summarises_a_batch_or_one_image() -> None:
    batch = Stats(jnp.array([3, 5]), jnp.array([1e-5, 0.1]), jnp.array([True, False]))
    assert str(batch) == "1 of 2 converged, 4.0 steps on average, largest residual 1.0e-01"
    assert str(jax.tree.map(lambda leaf: leaf[0], batch)).startswith("1 of 1 converged, 3.0 steps")
