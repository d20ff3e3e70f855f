"""The contract of every solver in ``deqjax.solvers``: one row for each setting."""

import dataclasses
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from contractions import Args, f, problem, residual_of, residuals_of, run, start, with_settings

from deqjax import Implicit, Unrolled, fixed_point, solvers
from deqjax.solvers import Anderson, Broyden, JaxoptAnderson, JaxoptBroyden, JaxoptPicard, NewtonKrylov, Picard
from deqjax.types import Solver


class Row(NamedTuple):
    """The settings of a solver for single and for double precision."""

    single: Solver
    double: Solver


ROWS = {
    "Picard": Row(Picard(max_steps=300, rtol=1e-5), Picard(max_steps=400, rtol=1e-10)),
    "Anderson": Row(Anderson(max_steps=60, rtol=1e-5), Anderson(max_steps=100, rtol=1e-10)),
    "Broyden": Row(Broyden(history=4, max_steps=60, rtol=1e-5), Broyden(max_steps=100, rtol=1e-10)),
    "NewtonKrylov": Row(NewtonKrylov(max_steps=100, rtol=1e-5), NewtonKrylov(max_steps=200, rtol=1e-10)),
    "JaxoptPicard": Row(JaxoptPicard(max_steps=300, rtol=1e-5), JaxoptPicard(max_steps=400, rtol=1e-10)),
    "JaxoptAnderson": Row(
        JaxoptAnderson(max_steps=60, rtol=1e-5, ridge=1e-7), JaxoptAnderson(max_steps=200, rtol=1e-10, ridge=1e-18)
    ),
    "JaxoptBroyden": Row(JaxoptBroyden(max_steps=60, rtol=1e-5), JaxoptBroyden(history=20, max_steps=100, rtol=1e-10)),
}
NOT_SOLVERS = {"Stats", "change_bound", "solve"}
each_row = pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
each_row_some_slow = pytest.mark.parametrize(
    "row",
    [
        pytest.param(row, id=name, marks=[] if name in ("Picard", "Anderson") else pytest.mark.slow)
        for name, row in ROWS.items()
    ],
)


def test_every_export_has_a_row() -> None:
    assert set(solvers.__all__) - NOT_SOLVERS == set(ROWS)


@pytest.mark.parametrize("name", ROWS)
def test_the_row_has_solvers_of_its_name(name: str) -> None:
    for solver in ROWS[name]:
        assert type(solver) is getattr(solvers, name)
        assert isinstance(solver, Solver)


@each_row
def test_settings_are_frozen_hashable_and_free_of_arrays(row: Row) -> None:
    solver: Any = row.single
    assert with_settings(solver) == solver
    assert hash(with_settings(solver)) == hash(solver)
    assert all(isinstance(value, int | float) for value in dataclasses.asdict(solver).values())
    with pytest.raises(dataclasses.FrozenInstanceError):
        solver.max_steps = 1


@each_row
@pytest.mark.parametrize("bend", [0.0, 0.08], ids=["affine", "nonlinear"])
@pytest.mark.parametrize("precision", ["single", "double"])
def test_known_fixed_points_are_found_to_rtol(row: Row, precision: str, bend: float) -> None:
    solver = getattr(row, precision)
    with jax.enable_x64(precision == "double"):
        args, expected = problem(bend)
        x, stats = run(solver, args, start())
        assert x.dtype == start().dtype
        assert stats.converged.tolist() == [True] * 3
        np.testing.assert_allclose(x, expected, atol=20 * solver.rtol * np.abs(expected).max())
        np.testing.assert_allclose(stats.residual, residual_of(x, args), rtol=0.1, atol=1e-15)
        for residual, history in zip(stats.residual, residuals_of(stats)):
            assert (history[:-1] > solver.rtol).all()
            assert residual == history[-1] <= solver.rtol


@each_row
def test_residuals_are_nan_after_an_image_stops(row: Row) -> None:
    args, _ = problem()
    _, stats = run(row.single, args, start())
    assert stats.num_steps[0] < stats.num_steps[2]
    assert stats.residuals is not None
    assert jnp.isfinite(stats.residuals).sum(axis=1).tolist() == stats.num_steps.tolist()
    assert all(np.isfinite(history).all() for history in residuals_of(stats))


@each_row
def test_an_image_does_not_depend_on_the_rest_of_its_batch(row: Row) -> None:
    (args, _), (others, _) = problem(), problem(seed=1, contraction=(0.9, 0.95, 0.2))
    mixed = Args(*(jnp.concatenate([a[:1], b[1:]]) if np.ndim(a) else a for a, b in zip(args, others)))
    (x, stats), (x_mixed, stats_mixed) = run(row.single, args, start()), run(row.single, mixed, start())
    assert stats.num_steps[0] == stats_mixed.num_steps[0] < stats_mixed.num_steps[1]
    first = lambda leaf: leaf[0]
    chex.assert_trees_all_equal(*(jax.tree.map(first, found) for found in ((x, stats), (x_mixed, stats_mixed))))


@each_row
@pytest.mark.parametrize("case", ["NaN in the first step", "overflow in a later step"])
def test_a_diverging_image_is_reported_and_the_others_converge(row: Row, case: str) -> None:
    args, _ = problem()
    if case == "NaN in the first step":
        diverging = args._replace(b=args.b.at[1].set(jnp.nan))
    else:
        diverging = args._replace(M=args.M.at[1].multiply(1e12))
    x, stats = run(row.single, diverging, start(0.5))
    expected, _ = run(row.single, args, start(0.5))
    assert stats.converged.tolist() == [True, False, True]
    np.testing.assert_array_equal(x[::2], expected[::2])
    assert jnp.isfinite(x).all()
    if case == "NaN in the first step":
        assert stats.num_steps[1] == 1
        assert stats.residual[1] == np.inf
        np.testing.assert_array_equal(x[1], start(0.5)[1])
    else:
        history = residuals_of(stats)[1]
        assert stats.residual[1] == history[np.isfinite(history)].min()
        rounding = 0.5 if isinstance(row.single, NewtonKrylov) else 1e-3  # it finds where the terms of 1e12 cancel
        np.testing.assert_allclose(stats.residual[1], residual_of(x, diverging)[1], rtol=rounding)


@each_row
def test_a_converged_image_stays(row: Row) -> None:
    args, expected = problem()
    x0 = start().at[1].set(expected[1])
    x, stats = run(row.single, args, x0)
    assert stats.num_steps[1] == 1 < stats.num_steps[0] < stats.num_steps[2]
    np.testing.assert_array_equal(x[1], x0[1])
    shorter = with_settings(row.single, max_steps=int(stats.num_steps[0]))
    np.testing.assert_array_equal(run(shorter, args, x0)[0][0], x[0])


@each_row
def test_an_image_whose_fixed_point_is_zero_has_a_residual_of_zero(row: Row) -> None:
    args, _ = problem()
    x, stats = run(row.single, args._replace(b=args.b.at[1].set(0)), start())
    assert stats.converged.all()
    assert stats.num_steps[1] == 1
    assert stats.residual[1] == 0
    assert not x[1].any()


@each_row
def test_a_single_step_only_computes_the_residual(row: Row) -> None:
    args, _ = problem()
    x, stats = run(with_settings(row.single, max_steps=1), args, start(0.5))
    np.testing.assert_array_equal(x, start(0.5))
    assert stats.num_steps.tolist() == [1, 1, 1]
    assert not stats.converged.any()
    np.testing.assert_allclose(stats.residual, residual_of(start(0.5), args), rtol=1e-5)


@each_row
def test_the_best_iterate_is_returned_after_max_steps(row: Row) -> None:
    args, _ = problem(contraction=(0.9, 0.95, 0.99))
    x, stats = run(with_settings(row.single, max_steps=3), args, start())
    assert stats.num_steps.tolist() == [3] * 3
    assert not stats.converged.any()
    assert stats.residual.tolist() == [history.min() for history in residuals_of(stats)]
    np.testing.assert_allclose(stats.residual, residual_of(x, args), rtol=1e-3)


@each_row_some_slow
def test_the_implicit_gradient_under_jit_equals_that_of_a_long_iteration(row: Row, float64: None) -> None:
    """The solver is used for both the forward and the backward solve."""
    args, _ = problem(0.08, contraction=(0.2, 0.5, 0.7))

    def value(x: jax.Array) -> jax.Array:
        return jnp.sum(jnp.cos(jnp.arange(x.size)).reshape(x.shape) * (x.real + 0.5 * x.imag)) + jnp.sum(
            jnp.abs(x) ** 2
        )

    def implicit(args: Args) -> jax.Array:
        return value(fixed_point(f, start(), args, solver=row.double, adjoint=Implicit(row.double))[0])

    def iterated(args: Args) -> jax.Array:
        return value(jax.lax.scan(lambda x, _: (f(x, args), None), start(), length=300)[0])

    gradient, expected = (jax.jit(jax.grad(loss))(args) for loss in (implicit, iterated))
    chex.assert_trees_all_close(gradient, expected, rtol=1e-7, atol=1e-7)


@each_row
def test_single_precision_is_solved_while_x64_is_on(row: Row) -> None:
    with jax.enable_x64(True):
        x, stats = fixed_point(lambda x, b: 0.5 * x + b, jnp.zeros((1, 2), jnp.float32), 1.0, solver=row.single)
        assert x.dtype == jnp.float32
        assert stats.converged.all()
        np.testing.assert_allclose(x, 2, rtol=1e-3)


@each_row_some_slow
@pytest.mark.parametrize("steps", [3, 60])
def test_the_unrolled_gradient_is_finite_before_and_after_convergence(row: Row, steps: int) -> None:
    solver = with_settings(row.single, max_steps=steps)
    unrolled = lambda b: fixed_point(
        lambda x, b: 0.5 * jnp.cos(x) + b, jnp.zeros((2, 3)), b, solver=solver, adjoint=Unrolled()
    )[0].sum()
    slope = jax.grad(unrolled)(1.0)
    assert jnp.isfinite(slope)
    assert steps == 3 or abs(slope - 6 / (1 + 0.5 * np.sin(1.1872))) < 5e-2
