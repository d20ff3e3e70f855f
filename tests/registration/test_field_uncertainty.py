"""The standard deviation of a map: dense algebra, the noise, and the spread of repeated registrations."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from geometry import last_objective

from deqjax.registration import Grid, field_deviation, register, register_pairs, similarities, transforms
from deqjax.registration.field_uncertainty import inverse_root_product
from deqjax.registration.regularizers import Bending
from deqjax.registration.stages import Stage, named_stage

GRID = Grid.of((17, 15))
STAGE = Stage(transforms.FreeForm(8.0), similarities.MSE(), Bending(0.3), (1.0,))
METHODS = STAGE.transform, STAGE.similarity, STAGE.regularizer, STAGE.levels


def pattern(shift: float) -> np.ndarray:
    points = np.asarray(GRID.points())
    return (np.sin(0.7 * (points[..., 0] - shift)) + np.cos(0.6 * points[..., 1])).astype(np.float32)


def noisy(level: float, seed: int = 0) -> np.ndarray:
    return pattern(0.0) + np.float32(level) * np.random.RandomState(seed).randn(*GRID.shape).astype(np.float32)


def test_the_samples_have_the_inverse_of_the_hessian_as_covariance(float64):
    random = np.random.RandomState(0)
    factor = random.randn(24, 24) * np.logspace(-1.5, 1, 24)
    hessian = factor @ factor.T + 0.01 * np.eye(24)
    root = jax.jit(
        jax.vmap(
            lambda z: inverse_root_product(lambda p: jnp.asarray(hessian) @ p, jnp.diag(hessian), z, 24), out_axes=1
        )
    )(jnp.eye(24))
    # R depends on z, because the Krylov space does, but in exact arithmetic all agree on D^(-1/2) (...)^(-1/2).
    np.testing.assert_allclose(root @ root.T, np.linalg.inv(hessian), rtol=1e-3, atol=1e-6)
    repeated = inverse_root_product(lambda p: 4 * p, jnp.full(24, 3.0), jnp.arange(24.0), 24)  # one eigenvalue
    np.testing.assert_allclose(repeated, jnp.arange(24.0) / 2, rtol=1e-9)


@pytest.mark.slow
def test_the_deviation_agrees_with_the_dense_inverse_and_grows_with_the_noise():
    def dense(fixed, moving, parameters):
        objective, _ = last_objective(fixed, moving, *METHODS[:3])
        basis = jnp.eye(parameters.size).reshape(-1, *parameters.shape)
        hessian = jax.lax.map(lambda one: objective.quadratic(parameters).product(one).ravel(), basis)
        push = jax.lax.map(lambda one: objective.displacement(one).ravel(), basis)
        return hessian, push, objective.value(parameters) - objective.penalty(parameters)

    deviations = []
    for level in (0.05, 0.1):
        fixed, moving = noisy(level), pattern(0.4)
        found = register(fixed, moving, *METHODS)
        deviation, grid = field_deviation(found, fixed, moving, STAGE, samples=400, products=98)
        hessian, push, mse = (np.asarray(a, np.float64) for a in dense(fixed, moving, found.parameters))
        voxels = float(found.status.overlap) * fixed.size
        expected = np.sqrt(2 * mse / voxels * np.einsum("ji,jk,ki->i", push, np.linalg.inv(hessian), push))
        assert grid.shape == GRID.shape
        np.testing.assert_allclose(np.ravel(deviation), expected, rtol=0.2)
        np.testing.assert_allclose(np.mean(np.ravel(deviation) / expected), 1, atol=0.03)
        deviations.append(deviation)
    np.testing.assert_allclose(np.median(deviations[1] / deviations[0]), 2, rtol=0.15)


@pytest.mark.slow
def test_the_deviation_predicts_the_spread_of_repeated_registrations():
    count, level, moving = 60, 0.1, pattern(0.4)
    fixed = np.stack([noisy(level, seed) for seed in range(count)])
    many = register_pairs(fixed, np.stack([moving] * count), *METHODS)
    spread = jnp.std(jax.vmap(lambda mapping: mapping.displacement(GRID))(many.map), axis=0)
    one = jax.tree.map(lambda leaf: leaf[0], many)
    deviation, _ = field_deviation(one, fixed[0], moving, STAGE, samples=200)
    inner = np.s_[3:-3, 3:-3]
    ratio = float(jnp.sqrt(jnp.mean(deviation[inner] ** 2) / jnp.mean(spread[inner] ** 2)))
    assert 0.8 < ratio < 1.5  # The prior is part of the deviation, and not of the spread.


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"similarity": similarities.NGF()}, "similarity with a curvature"),
        ({"stage": named_stage("syn")}, "an optimizer that minimises it, not SyN"),
        ({"regularizer": None}, "needs a regularizer"),
    ],
)
def test_what_has_no_deviation_raises(change: Any, message):
    found = register(pattern(0.0), pattern(0.4), transforms.FreeForm(8.0), levels=(1.0,))
    stage = change.pop("stage", None) or dataclasses.replace(STAGE, **change)
    with pytest.raises(ValueError, match=message):
        field_deviation(found, pattern(0.0), pattern(0.4), stage)
