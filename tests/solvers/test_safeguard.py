"""The safeguard: it saves iterations that diverge undamped, and lets those pass whose residual has to grow first."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deqjax.solvers import Anderson, Broyden, Picard, Stats, solve
from deqjax.solvers.safeguard import RELAXATION
from deqjax.types import Solver


def run(solver: Solver, M: list[list[float]]) -> tuple[jax.Array, Stats]:
    """Solve ``x = M x + 1``."""
    return jax.jit(lambda M: solve(lambda x: x @ M.T + 1, jnp.zeros((1, 2)), solver))(jnp.array(M))


def test_an_iteration_that_diverges_undamped_converges() -> None:
    """Picard has the factors -1.5 and -1.1; a relaxed step has -0.25 and -0.05."""
    x, stats = run(Picard(max_steps=200), [[-1.5, 0.0], [0.0, -1.1]])
    assert bool(stats.converged[0])
    np.testing.assert_allclose(x[0], [1 / 2.5, 1 / 2.1], rtol=1e-3)


def test_the_relaxed_step_starts_at_the_best_iterate() -> None:
    solver, f = Picard(), lambda x: -9.0 * x + 1
    state, x, points = solver.init(jnp.zeros(1)), jnp.zeros(1), []
    for step in range(4):
        points.append(float(x[0]))
        x, state = solver.update(x, f(x), jnp.array(step), state)
    np.testing.assert_allclose(points, [0, 1, -8, RELAXATION])  # residuals 1, -9, 81


@pytest.mark.parametrize("solver", [Picard(max_steps=400), Anderson(), Broyden()], ids=lambda s: type(s).__name__)
def test_a_residual_that_grows_before_it_shrinks_is_no_obstacle(solver: Solver) -> None:
    """The residual of Picard grows to 1000 times its first value."""
    x, stats = run(solver, [[0.9, 300.0], [0.0, 0.9]])
    assert bool(stats.converged[0])
    np.testing.assert_allclose(x[0], [30010, 10], rtol=2e-2)
