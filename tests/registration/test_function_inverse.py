"""Inversion of functions of a line and of the plane by attention."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deqjax.registration import AttentionRegistration, FunctionInverse
from deqjax.registration.attention.line_examples import EXAMPLES, SETTINGS, fixed_function, register_line
from deqjax.run.cli import main


def line(count):
    return jnp.linspace(0.0, 1.0, count)[:, None]


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("inverse", "count", "limit"),
    [
        pytest.param(*SETTINGS["as given"], 0.004, marks=pytest.mark.slow),  # The test of the pictures runs it.
        pytest.param(*SETTINGS["sine and cosine"], 0.0003, marks=pytest.mark.slow),
        (FunctionInverse(features=1000, scale=59.0), 1000, 0.0001),
    ],
    ids=["as given", "sine and cosine", "tied temperature"],
)
def test_the_mean_error_of_the_examples(name, seed, inverse, count, limit):
    found, truth = register_line(inverse, name, count, seed)
    assert float(jnp.mean(jnp.abs(found - truth))) < limit


@pytest.mark.slow
def test_the_command_draws_four_pictures(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    main(["attention", str(tmp_path)])
    printed = capsys.readouterr().out.splitlines()
    assert sorted(line.split()[0] for line in printed) == sorted(path.name for path in tmp_path.iterdir())
    errors = [float(line.split()[-1]) for line in printed]
    assert len(errors) == 4
    assert max(errors[::2]) < 0.004
    assert max(errors[1::2]) < 0.0003


def test_it_is_equivariant_to_within_one_grid_step():
    x, inverse = line(500), FunctionInverse(features=2000)
    A, B = jnp.square, lambda x: 0.1 + 0.8 * jnp.sin(x * jnp.pi / 2)
    W, U = lambda x: x + 0.1 * x * (1 - x), lambda x: x**1.5
    W_inverse = lambda y: jnp.interp(y, W(line(20000))[:, 0], line(20000)[:, 0])
    module = AttentionRegistration(inverse)
    parameters = module.init(jax.random.key(0), A(x), B(x), x)
    deformed: Any = module.apply(parameters, A(W(x)), B(U(x)), x)
    # W^-1 o Xi o U, with Xi evaluated at U(x).
    expected = W_inverse(module.apply(parameters, A(x), B(U(x)), x))
    assert float(jnp.abs(deformed - expected).max()) < 1 / 499


def test_the_closed_forms_of_the_examples_are_exact():
    """A(Xi(x)) = B(x) with B(x) = x + 0.07 sin(3 pi x), in double precision."""
    x = np.linspace(0, 1, 101)
    B = x + 0.07 * np.sin(3 * np.pi * x)
    np.testing.assert_allclose(np.asarray(fixed_function(line(101)))[:, 0], B, atol=1e-6)
    closed: dict[str, Any] = {
        "square root": (np.sqrt(B), np.square),
        "cosine": (np.arccos(B) * 2 / np.pi, lambda x: np.cos(x * np.pi / 2)),
    }
    for name, (xi, A) in closed.items():
        np.testing.assert_allclose(A(xi), B, atol=1e-12)
        _, truth = register_line(FunctionInverse(features=8), name, 101)
        np.testing.assert_allclose(np.asarray(truth)[:, 0], xi, atol=1e-3)  # arccos at 1 in single precision


def test_the_attention_matrix_is_a_softmax_of_the_feature_maps():
    x, inverse = line(50), FunctionInverse(features=200, temperature=2.0)
    parameters = inverse.init(jax.random.key(0), x**2, x, x)
    attention: Any = inverse.apply(parameters, x**2, x, x, method="attention")
    logits = np.asarray(attention.query_features, np.float64) @ np.asarray(attention.point_features, np.float64).T / 2
    expected = np.exp(logits - logits.max(axis=1, keepdims=True))
    np.testing.assert_allclose(attention.weights, expected / expected.sum(axis=1, keepdims=True), atol=1e-4)
    found: Any = inverse.apply(parameters, x**2, x, x)
    np.testing.assert_allclose(found, attention.weights @ x, atol=1e-5)


def test_few_points_are_not_averaged_over_the_line():
    found, truth = register_line(FunctionInverse(features=500), "square root", 100)
    assert float(jnp.mean(jnp.abs(found - truth))) < 0.01


@pytest.mark.slow
def test_the_identity_of_the_plane_is_found_and_has_gradients():
    side = jnp.linspace(0.0, 1.0, 15)
    points = jnp.stack(jnp.meshgrid(side, side, indexing="ij"), -1).reshape(-1, 2)
    inverse = FunctionInverse(features=800, scale=20.0, temperature=20.0)
    parameters = inverse.init(jax.random.key(0), points, points, points)
    apply: Any = inverse.apply
    error = lambda parameters: jnp.mean((apply(parameters, points, points, points) - points) ** 2)
    assert float(error(parameters)) < 1e-3
    gradient = jax.grad(error)(parameters)["params"]["frequencies"]
    assert np.all(np.isfinite(gradient))
    assert np.any(gradient)
