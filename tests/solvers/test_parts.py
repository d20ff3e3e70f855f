"""States of several parts: none of them dominates a solve; and solves that go on after a pause."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import deqjax as dj
from deqjax.pytree import Parts
from deqjax.solvers.loop import advance, begin, relative_residual, solution, solve

RANDOM = np.random.default_rng(0).normal(size=(12, 12))
MATRIX = jnp.asarray(0.9 * RANDOM / np.linalg.norm(RANDOM, 2))
SOLVERS = [
    dj.solvers.Anderson(rtol=1e-3),
    pytest.param(dj.solvers.Broyden(rtol=1e-3), marks=pytest.mark.slow),
    pytest.param(dj.solvers.NewtonKrylov(rtol=1e-3), marks=pytest.mark.slow),
]


def affine(units, state, b):
    """``x = M x + b`` with its last 8 entries in other units."""
    x, h = state.values
    following = jnp.tanh(jnp.concatenate([x, h / units], axis=1) @ MATRIX.T + b)
    return Parts((following[:, :4], units * following[:, 4:]))


@pytest.mark.parametrize("solver", SOLVERS, ids=lambda solver: type(solver).__name__)
def test_the_units_of_a_part_do_not_matter(solver, float64):
    b, start = jnp.linspace(-1, 1, 12), jnp.linspace(1, 2, 12)[None]
    found = {}
    for units in (1.0, 2.0**20, 2.0**-20):
        x0 = Parts((start[:, :4], units * start[:, 4:]))
        x, stats = solve(partial(affine, units, b=b), x0, solver)
        found[units] = (np.concatenate([x.values[0], x.values[1] / units], axis=1), stats)
        fx = affine(units, x, b)
        largest = max(float(relative_residual(*pair)[0]) for pair in zip(x.values, fx.values))
        np.testing.assert_allclose(stats.residual[0], largest, rtol=1e-6)
    for x, stats in found.values():
        assert stats.converged.all()
        np.testing.assert_allclose(x, found[1.0][0], rtol=1e-13)  # XLA fuses differently for other constants
        np.testing.assert_array_equal(stats.num_steps, found[1.0][1].num_steps)


@pytest.mark.slow
def test_the_gradient_of_parts_equals_the_dense_gradient(float64):
    """In these units the Jacobian is far from normal; the estimated error of the gradient must not depend on them."""
    x0, b = Parts((jnp.zeros((1, 4)), jnp.zeros((1, 8)))), jnp.linspace(-1, 1, 12)
    solver = dj.solvers.Anderson(max_steps=200, rtol=1e-12)
    solved = lambda b: (
        dj.fixed_point(lambda x, b: affine(1e3, x, b), x0, b, solver=solver, adjoint=dj.Implicit(solver))[0].values
    )
    gradient = jax.grad(lambda b: solved(b)[0].sum())(b)
    x, h = solved(b)
    slope = 1 - jnp.concatenate([x[0], h[0] / 1e3]) ** 2
    expected = jnp.linalg.solve((jnp.eye(12) - slope[:, None] * MATRIX).T, jnp.arange(12) < 4.0) * slope
    np.testing.assert_allclose(gradient, expected, rtol=1e-9)


@pytest.mark.parametrize("solver", SOLVERS, ids=lambda solver: type(solver).__name__)
def test_a_solve_in_pieces_is_bit_for_bit_one_solve(solver):
    x0 = Parts((jnp.linspace(1, 2, 12).reshape(3, 4).astype(jnp.float32), jnp.zeros((3, 8), jnp.float32)))
    f = partial(affine, 10.0, b=jnp.linspace(-1, 1, 12).astype(jnp.float32))
    go = jax.jit(lambda progress, until: advance(f, progress, x0, solver, until))
    whole = go(begin(x0, solver), solver.max_steps)
    progress = begin(x0, solver)
    for until in (1, 4, 5, 11, solver.max_steps):
        progress = go(progress, until)
    jax.tree.map(np.testing.assert_array_equal, progress, whole)
    assert solution(progress, x0, solver)[1].converged.all()
