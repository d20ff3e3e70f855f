"""The contract of every optimizer, and what each of them adds."""

import dataclasses
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deqjax.registration import Grid, optimizers, register, similarities, transforms
from deqjax.registration.objective import QuadraticModel

EVERY: dict[str, Any] = {
    "Adam": optimizers.Adam(steps=60),
    "Demons": optimizers.Demons(),
    "Evolution": optimizers.Evolution(steps=60),
    "GaussNewton": optimizers.GaussNewton(),
    "LBFGS": optimizers.LBFGS(),
    "SyN": optimizers.SyN(),
}
FLOWS = {"Demons": transforms.Velocity(smoothing=2.0), "SyN": transforms.Velocity(smoothing=0.0)}
"""The transforms of the optimizers that step through images and not through any objective."""

PROTOCOLS = {"Optimizer"}

GRID = Grid.of((27, 24))
SCALES = jnp.array([1.0, 3.0, 0.5])
MINIMUM = jnp.array([1.5, -0.4, 2.0])


def quadratic_objective() -> Any:
    """An objective with the value ``|scales (p - minimum)|^2`` and the methods that optimizers call."""
    value = lambda p: jnp.sum((SCALES * (p - MINIMUM)) ** 2)
    model = lambda p: QuadraticModel(value(p), jax.grad(value)(p), lambda direction: 2 * SCALES**2 * direction)
    return SimpleNamespace(
        value=value,
        quadratic=model,
        displacement=lambda p: jnp.stack([jnp.concatenate([p[:1], p[1:2]]), p[1:]]),
        warped=lambda _: (jnp.zeros(4), jnp.ones(4)),
        mask=jnp.ones(4),
        fixed=jnp.zeros(4),
        scale=1,
    )


def bumps(points: jax.Array) -> jax.Array:
    """An image of two bright spots."""
    return sum(
        (jnp.exp(-jnp.sum((points - jnp.array(centre)) ** 2, -1) / 15) for centre in ((10.0, 9.0), (15.0, 14.0))),
        start=jnp.zeros(()),
    )


def test_every_export_has_a_row():
    assert set(optimizers.__all__) == set(EVERY) | PROTOCOLS


@pytest.mark.parametrize("name", EVERY)
def test_an_optimizer_is_frozen_and_hashable(name):
    optimizer = EVERY[name]
    assert type(optimizer) is getattr(optimizers, name)
    assert hash(optimizer) == hash(dataclasses.replace(optimizer))
    assert optimizer.__dataclass_params__.frozen


@pytest.mark.parametrize("name", [name for name in EVERY if name not in FLOWS])
def test_a_quadratic_is_minimised(name):
    objective = quadratic_objective()
    parameters, values = jax.jit(lambda start: EVERY[name].minimise(objective, start))(jnp.zeros(3))
    assert values.shape == (EVERY[name].steps,)
    assert float(objective.value(parameters)) < 0.02 * float(objective.value(jnp.zeros(3)))
    kept = np.asarray(values)[~np.isnan(values)]
    assert kept[-1] < 0.05 * kept[0]
    np.testing.assert_array_equal(np.isnan(values), np.arange(len(values)) >= len(kept))  # NaN only at the end


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name == "Demons" else name for name in EVERY]
)
def test_a_registration_objective_is_reduced(name):
    fixed, moving = bumps(GRID.points() + jnp.array([0.8, -0.5])), bumps(GRID.points())
    transform = FLOWS.get(name, transforms.Translation())
    found = register(fixed, moving, transform, levels=(1.0,), optimizer=EVERY[name])
    assert float(found.measures["similarity_after"]) < 0.05 * float(found.measures["similarity_before"])


def distant_pair() -> tuple[jax.Array, jax.Array, transforms.LinearMap]:
    """Stripes under a bright spot, rotated by 60 degrees: gradient descent ends at the wrong stripe."""
    points, centre = GRID.points(), GRID.centre()
    image = lambda x: jnp.exp(-jnp.sum(x**2, -1) / 90) * (1 + jnp.sin(1.3 * x[..., 0]) + 0.3 * jnp.tanh(x[..., 1]))
    truth = transforms.Rigid().map(jnp.array([jnp.pi / 3, 2.0, -1.0]), GRID)
    return image(truth.apply_points(points) - centre), image(points - centre), truth


def mean_error(found: transforms.Map, truth: transforms.Map) -> float:
    inner = GRID.points()[8:-8, 8:-8]
    return float(jnp.linalg.norm(found.apply_points(inner) - truth.apply_points(inner), axis=-1).mean())


@pytest.mark.slow
def test_evolution_succeeds_where_gauss_newton_fails_and_is_deterministic():
    fixed, moving, truth = distant_pair()
    given: dict[str, Any] = {"transform": transforms.Rigid(), "similarity": similarities.NCC(), "levels": (1.0,)}
    assert mean_error(register(fixed, moving, **given).map, truth) > 2
    evolution = optimizers.Evolution(steps=80, population=32, spread=8.0, seed=1)
    once, twice = (register(fixed, moving, **given, optimizer=evolution) for _ in range(2))
    assert mean_error(once.map, truth) < 0.3
    (values,) = once.history
    values = values[~np.isnan(values)]
    assert np.all(np.diff(values) <= 0)
    jax.tree.map(np.testing.assert_array_equal, once.map, twice.map)
