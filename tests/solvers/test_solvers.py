"""Formulas and numerical properties of individual solvers."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from contractions import problem, residuals_of, run, start, with_settings

from deqjax.solvers import Anderson, Broyden, JaxoptAnderson, JaxoptBroyden, JaxoptPicard, NewtonKrylov, Picard, solve
from deqjax.types import Solver

SOLVERS = [
    Picard(max_steps=300, rtol=1e-5),
    Anderson(max_steps=60, rtol=1e-5),
    Broyden(history=4, max_steps=60, rtol=1e-5),
    NewtonKrylov(max_steps=60, rtol=1e-5),
]
each_solver = pytest.mark.parametrize("solver", SOLVERS, ids=lambda solver: type(solver).__name__)


@each_solver
def test_the_number_of_steps_does_not_depend_on_the_scale_of_x(solver: Solver) -> None:
    args, expected = problem()
    _, reference = run(solver, args, start())
    for scale in (1e-20, 1e20):  # the squares of both are outside the range of float32
        x, stats = run(solver, args._replace(b=args.b * jnp.float32(scale)), start())
        assert stats.converged.all()
        np.testing.assert_allclose(np.asarray(x) / scale, expected, atol=1e-3)
        assert jnp.abs(stats.num_steps - reference.num_steps).max() <= 2


def test_acceleration_needs_fewer_evaluations() -> None:
    args, _ = problem(0.08)
    picard, *accelerated = (run(solver, args, start())[1].num_steps for solver in SOLVERS)
    for num_steps in accelerated:
        assert 2 * num_steps[2] < picard[2]


def test_the_defaults_of_anderson_beat_a_short_history_on_20_maps() -> None:
    """Contractions of 0.5 to 0.995 of 40 unknowns, half of them not normal."""
    rng, n, matrices = np.random.default_rng(0), 40, []
    for largest in (0.5, 0.9, 0.97, 0.99, 0.995):
        for smallest in (-0.3, -0.9):
            for upper in (0.0, 0.5):
                core = np.diag(np.linspace(smallest, largest, n)) + upper * np.triu(rng.normal(size=(n, n)), 2) / n**0.5
                basis = np.linalg.qr(rng.normal(size=(n, n)))[0]
                matrices.append(basis @ core @ basis.T)
    M, b = jnp.asarray(np.stack(matrices), jnp.float32), jnp.asarray(rng.normal(size=(20, n)), jnp.float32)
    step = lambda x: jnp.einsum("bij,bj->bi", M, x, precision="highest") + b
    new, old = (
        jax.jit(lambda x, s=s: solve(step, x, s)[1])(jnp.zeros((20, n)))
        for s in (Anderson(), Anderson(history=5, ridge=1e-2))
    )
    assert new.converged.sum() > old.converged.sum()
    assert new.num_steps.sum() < 0.9 * old.num_steps.sum()


@each_solver
def test_single_precision_residuals_stay_finite_and_small_for_200_steps(solver: Solver) -> None:
    args, _ = problem(0.05)
    _, stats = run(with_settings(solver, rtol=0.0, max_steps=200), args, start())
    for count, history in zip(stats.num_steps, residuals_of(stats)):
        assert np.isfinite(history).all()
        assert count == 200 or history[-1] == 0, "only an exact solution stops an image"
        assert (history[100:] < 1e-4).all()
    if isinstance(solver, Anderson):
        assert stats.num_steps.max() == 200


def test_anderson_without_history_is_picard() -> None:
    args, _ = problem(0.08)
    anderson, picard = Anderson(history=1, relaxation=0.8, max_steps=100), Picard(relaxation=0.8, max_steps=100)
    (x, stats), (expected, reference) = run(anderson, args, start()), run(picard, args, start())
    np.testing.assert_allclose(x, expected, atol=1e-5)
    assert stats.num_steps.tolist() == reference.num_steps.tolist()


def iterates(solver: Solver, g: Callable[[np.ndarray], np.ndarray], x: np.ndarray, steps: int) -> list[np.ndarray]:
    """The points at which a solver needs the value of g."""
    update, state, points = jax.jit(solver.update), solver.init(jnp.asarray(x)), [x]
    for step in range(steps):
        following, state = update(jnp.asarray(points[-1]), jnp.asarray(g(points[-1])), step, state)
        points.append(np.asarray(following))
    return points


def curved(x: np.ndarray) -> np.ndarray:
    """A nonlinear contraction of real vectors with 5 entries."""
    rng = np.random.default_rng(0)
    M, b = rng.normal(size=(5, 5)), rng.normal(size=5)
    return 0.8 * np.tanh(M @ x / np.linalg.norm(M, 2)) + b


def test_anderson_equals_its_formula(float64: None) -> None:
    history, relaxation, ridge = 3, 0.7, 1e-2
    found = iterates(Anderson(history, relaxation, ridge), curved, np.ones(5), 6)
    xs = [np.ones(5)]
    for _ in range(6):
        kept = np.array(xs[-history:])
        r = np.array([curved(x) - x for x in kept])
        n = len(kept)
        system = np.zeros((n + 1, n + 1))  # minimise |sum a r|^2 + ridge sum |a r|^2 with sum a = 1, by Lagrange
        system[:n, :n] = r @ r.T + ridge * np.diag((r**2).sum(axis=1))
        system[n, :n] = system[:n, n] = 1
        a = np.linalg.solve(system, [0] * n + [1])[:n]
        xs.append(a @ (kept + relaxation * r))
    np.testing.assert_allclose(found, xs, rtol=1e-9)


def test_broyden_equals_its_formula(float64: None) -> None:
    found = iterates(Broyden(history=6, relaxation=0.7), curved, np.ones(5), 6)
    H, x = -0.7 * np.eye(5), np.ones(5)
    expected, g = [x], curved(x) - x
    for _ in range(6):
        s = -H @ g
        x = x + s
        c = curved(x) - x - g
        g = g + c
        H = H + np.outer(s - H @ c, s @ H) / (s @ H @ c)
        expected.append(x)
    np.testing.assert_allclose(found, expected, rtol=1e-8)


def test_newton_krylov_takes_the_steps_of_gmres_on_an_affine_map(float64: None) -> None:
    """After k products the step minimises the residual over the Krylov subspace of dimension k."""
    rng = np.random.default_rng(0)
    M, b, x0 = rng.normal(size=(5, 5)), rng.normal(size=5), rng.normal(size=5)
    J, r = M - np.eye(5), M @ x0 + b - x0
    for k in (1, 2, 3, 4, 5):
        found = iterates(NewtonKrylov(history=k, forcing=1e-9), lambda x: M @ x + b, x0, k + 1)
        krylov = np.stack([np.linalg.matrix_power(J, power) @ r for power in range(k)], axis=1)
        expected = x0 + krylov @ np.linalg.lstsq(J @ krylov, -r, rcond=None)[0]
        np.testing.assert_allclose(found[-1], expected, rtol=1e-6)
    np.testing.assert_allclose(found[-1], np.linalg.solve(-J, b), rtol=1e-6)


def test_newton_krylov_converges_quadratically(float64: None) -> None:
    g = lambda x: x + np.array([x[0] ** 2 + x[1] ** 2 - 4, np.exp(x[0]) + x[1] - 1])
    points = iterates(NewtonKrylov(history=2, forcing=1e-9, rtol=1e-14), g, np.array([1.0, -1.7]), 13)
    residuals = [np.linalg.norm(g(x) - x) for x in points[::3]]  # a Newton step of two unknowns takes 3 evaluations
    assert residuals[-1] < 1e-12
    assert residuals[3] < 3 * residuals[2] ** 2 < 9 * residuals[1] ** 4


def test_newton_krylov_shortens_a_step_that_increases_the_residual_and_then_relaxes(float64: None) -> None:
    g = lambda x: x + np.arctan(x)  # the full step from 3 goes to -10.6, where the residual is larger
    points = np.array(iterates(NewtonKrylov(), g, np.array([3.0]), 6))[:, 0]
    move = points[2] - 3
    slope = (np.arctan(3.3) - np.arctan(3)) / 0.3  # the difference is a tenth of x
    np.testing.assert_allclose(move, -np.arctan(3) / slope, rtol=1e-6)
    np.testing.assert_allclose(points[3], 3 + move / 2, rtol=1e-9)
    always_worse = lambda x: x + (1.0 if x[0] in (3.0, 3.03) else 5.0) + 1e-3 * x
    points = np.array(iterates(NewtonKrylov(halvings=1, relaxation=0.25), always_worse, np.array([3.0]), 4))[:, 0]
    np.testing.assert_allclose(points[4], 3 + 0.25 * 1.003)


@pytest.mark.parametrize("name", ["Picard", "Anderson", pytest.param("Broyden", marks=pytest.mark.slow)])
def test_the_jaxopt_backend_evaluates_f_where_jaxopt_does(name: str, float64: None) -> None:
    jaxopt = pytest.importorskip("jaxopt")
    points: list[np.ndarray] = []

    def record(x: jax.Array) -> jax.Array:
        points.append(np.asarray(x))
        return jnp.asarray(curved(np.asarray(x)))

    solvers: dict[str, Solver] = {
        "Picard": JaxoptPicard(),
        "Anderson": JaxoptAnderson(3, 0.9),
        "Broyden": JaxoptBroyden(4, 0.9),
    }
    reference = {
        "Picard": jaxopt.FixedPointIteration(record, jit=False),
        "Anderson": jaxopt.AndersonAcceleration(record, 3, beta=0.9, ridge=1e-5, jit=False),
        "Broyden": jaxopt.Broyden(lambda x: x - record(x), stepsize=0.9, history_size=4, jit=False),
    }[name]
    x = jnp.ones(5)
    state = reference.init_state(x)
    points.clear()
    for _ in range(6):
        x, state = reference.update(x, state)
    expected = [np.ones(5), *points] if name == "Broyden" else points  # Broyden evaluates its first point in init_state
    np.testing.assert_allclose(iterates(solvers[name], curved, np.ones(5), len(expected) - 1), expected, rtol=1e-9)
