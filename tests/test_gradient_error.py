"""The estimated error of a backward solve: it covers the true error, and well-conditioned solves keep passing."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deqjax import Implicit, backward_probe, fixed_point
from deqjax.gradient_error import estimate_error
from deqjax.solvers import Anderson, Broyden, Picard, solve
from deqjax.types import Solver

KINDS = ("symmetric", "one slow mode", "cluster", "random", "triangular", "rotations")


def matrix(kind: str, n: int, top: float, rng: np.random.Generator) -> np.ndarray:
    """A matrix whose spectrum ends at ``top``; "random" has that norm instead."""
    basis = np.linalg.qr(rng.normal(size=(n, n)))[0]
    if kind == "random":
        A = rng.normal(size=(n, n))
        return A / np.linalg.norm(A, 2) * top
    diagonal = rng.uniform(-0.3, 1, n) * top * (0.6 if kind == "one slow mode" else 1)
    if kind == "cluster":
        diagonal = top - np.logspace(-4, 0, n)
    diagonal[0] = top
    core = np.diag(diagonal)
    if kind == "triangular":
        core += np.triu(rng.normal(size=(n, n)), 1) * 0.5 / np.sqrt(n)
    if kind == "rotations":
        for i in range(1, n - 1, 2):
            angle, radius = rng.uniform(0, np.pi), rng.uniform(0, top)
            turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
            core[i : i + 2, i : i + 2] = radius * turn
    return basis @ core @ basis.T


def maps(n: int, tops: tuple[float, ...], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    M = np.stack([matrix(kind, n, top, rng) for kind in KINDS for top in tops])
    return M, rng.normal(size=M.shape[:2])


def times(M: Any, w: Any) -> Any:
    return jnp.einsum("bij,bj->bi", M, w, precision="highest")


@partial(jax.jit, static_argnums=2)
def estimated(M: jax.Array, v: jax.Array, solver: Solver) -> tuple:
    w, stats = solve(lambda w: v + times(M, w), v, solver)
    return w, stats.residual, estimate_error(partial(times, M), v, w)


def true_error(M: np.ndarray, v: np.ndarray, w: Any) -> np.ndarray:
    exact = np.linalg.solve(np.eye(M.shape[1]) - M, v[..., None])[..., 0]
    return np.linalg.norm(w - exact, axis=1) / np.linalg.norm(exact, axis=1)


@pytest.mark.parametrize(
    ("n", "double"), [*(pytest.param(n, False, marks=pytest.mark.slow) for n in (2, 60)), (7, True)]
)
def test_no_finite_estimate_is_smaller_than_the_error(n: int, double: bool) -> None:
    """378 maps with spectra up to 1.05."""
    finite = large = 0
    with jax.enable_x64(double):
        settings: tuple[Solver, ...] = (Picard(max_steps=20), Anderson(max_steps=7), Broyden())
        for seed, solver in enumerate(settings):
            M, v = (np.asarray(jnp.asarray(a)) for a in maps(n, (0.5, 0.9, 0.99, 0.999, 1.0001, 1.02, 1.05), seed))
            w, _, error = (np.asarray(a, float) for a in estimated(jnp.asarray(M), jnp.asarray(v), solver))
            true = true_error(M.astype(float), v.astype(float), w)
            assert (true <= error * (1 + 1e-3)).all(), (solver, (true / error).max())
            finite += (error <= 0.1).sum()
            large += (true > 0.5).sum()
    assert finite > 20, "the estimate does not refuse everything"
    assert n == 2 or large > 5, "some of these solves are wrong"


def test_well_conditioned_solves_keep_passing() -> None:
    """Norms of at most 0.9, with the residuals of the training configurations."""
    M, v = (jnp.asarray(a) for a in maps(40, (0.3, 0.5, 0.7, 0.8)))
    norms = np.linalg.norm(np.asarray(M), 2, axis=(1, 2))
    for solver in (Anderson(max_steps=10, rtol=1e-2), Broyden(max_steps=20, rtol=1e-2)):
        _, residual, error = estimated(M, v, solver)
        of_interest = np.asarray(residual <= 1e-2) & (norms <= 0.9)
        assert of_interest.sum() > 12
        assert (np.asarray(error)[of_interest] <= 0.1).mean() > 0.95


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_the_estimate_does_not_depend_on_the_scale(scale: float) -> None:
    M, v = (jnp.asarray(a) for a in maps(7, (0.5, 0.9, 1.02)))
    factor = jnp.float32(2.0 ** round(np.log2(scale)))
    solver = Anderson(max_steps=8)
    np.testing.assert_allclose(estimated(M, factor * v, solver)[2], estimated(M, v, solver)[2], rtol=1e-5)


def test_zero_exact_and_non_finite_solutions() -> None:
    half = lambda w: 0.5 * w
    v = jnp.array([[0.0, 0.0], [1.0, 2.0], [1.0, 2.0], [1.0, jnp.nan]])
    w = jnp.array([[0.0, 0.0], [2.0, 4.0], [0.0, 0.0], [2.0, jnp.nan]])
    error = estimate_error(half, v, w)
    assert error[0] == 0
    assert error[1] < 1e-5
    assert jnp.isinf(error[2:]).all()


@pytest.mark.parametrize(
    "spectrum",
    [
        pytest.param(np.linspace(0, 1.02, 300), id="beyond 1"),
        pytest.param(1 - np.logspace(-4, 0, 100), id="near", marks=pytest.mark.slow),
    ],
)
def test_a_spectrum_near_or_beyond_one_gives_no_wrong_gradient(spectrum: np.ndarray) -> None:
    slopes = jnp.asarray(spectrum, jnp.float32)
    weights = np.random.default_rng(0).normal(size=spectrum.size).astype(np.float32)

    def loss(b: jax.Array, probe: Any, adjoint: Implicit) -> jax.Array:
        x = fixed_point(lambda x, b: slopes * x + b, jnp.zeros((1, b.size)), b, adjoint=adjoint, probe=probe)[0]
        return jnp.sum(weights * x[0])

    for adjoint in (Implicit(), Implicit(on_failure="drop")):
        found, backward = jax.grad(loss, (0, 1))(jnp.ones(spectrum.size), backward_probe(1), adjoint)
        assert jnp.isinf(backward.error).all()
        assert jnp.isnan(found).all() if adjoint.on_failure == "nan" else not found.any()


@pytest.mark.slow
def test_refused_images_of_a_batch_leave_the_gradient_of_the_others() -> None:
    """12 images of contraction 0.1 to 1.05 share the parameter b; the refused ones count, and the rest is exact."""
    M, v = (jnp.asarray(a) for a in maps(6, (0.3, 1.05), seed=1))
    adjoint = Implicit(Anderson(max_steps=30, rtol=1e-5), on_failure="drop")

    @jax.jit
    def derivatives(b: jax.Array) -> tuple:
        f = lambda x, b: times(M.swapaxes(1, 2), x) + jax.lax.stop_gradient(v) * b
        loss = lambda b, probe: jnp.sum(fixed_point(f, jnp.zeros_like(v), b, adjoint=adjoint, probe=probe)[0])
        return jax.grad(loss, (0, 1))(b, backward_probe(len(v)))

    found, backward = derivatives(jnp.float32(1))
    refused = np.isinf(backward.error)
    assert 0 < refused.sum() < len(v)
    exact = np.linalg.solve(np.eye(6) - np.asarray(M, float), np.ones((len(v), 6, 1)))[..., 0]
    np.testing.assert_allclose(found, (exact * v).sum(axis=1)[~refused].sum(), rtol=1e-2)
