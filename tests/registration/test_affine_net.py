"""AffineNet: the geometry of its map, and its gradient."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deqjax.registration import AffineNet, Grid, Unsupervised, regularizers, similarities
from deqjax.registration.learning import PairBatch, RegistrationProblem

NETWORK = AffineNet(widths=(3,), dense=4)


def pair(grid):
    spot = lambda centre: jnp.exp(-jnp.sum((grid.points() - jnp.asarray(centre)) ** 2, -1) / 60)
    return spot((16.0, 14.0)) + 0.5 * spot((22.0, 20.0)), spot((19.0, 15.0)) + 0.5 * spot((21.0, 24.0))


def test_the_numbers_of_the_last_layer_are_in_half_extents_along_the_axes_of_the_image():
    """An oblique grid: the corner (1, 1) of the image, in half extents from its centre, moves by A (1, 1) + t."""
    grid = Grid(jnp.array([[0.0, -2.0, 30.0], [3.0, 0.0, 7.0], [0.0, 0.0, 1.0]]), (11, 13))
    shapes = jax.eval_shape(NETWORK.init, jax.random.key(0), *pair(grid), grid)
    parameters = jax.tree.map(jnp.zeros_like, shapes)
    parameters["params"]["Dense_1"]["bias"] = jnp.array([0.1, 0.02, -0.03, 0.2, 0.5, -0.25])
    found: Any = NETWORK.apply(parameters, *pair(grid), grid)
    corner = grid.world(jnp.array([10.0, 12.0]))
    moved = grid.index(found.apply_points(corner)) / jnp.array([5.0, 6.0]) - 1
    np.testing.assert_allclose(moved, [1 + 0.1 + 0.02 + 0.5, 1 - 0.03 + 0.2 - 0.25], atol=1e-5)
    np.testing.assert_allclose(grid.index(found.apply_points(grid.centre())), [5 + 0.5 * 5, 6 - 0.25 * 6], atol=1e-4)


@pytest.mark.slow
def test_the_gradient_of_the_objective_agrees_with_finite_differences(float64):
    grid = Grid.of((14, 12), spacing=3.0)
    fixed, moving = pair(grid)
    parameters = NETWORK.init(jax.random.key(0), fixed, moving, grid)
    ways = jax.tree.map(lambda leaf: 0.1 * jax.random.normal(jax.random.key(leaf.size), leaf.shape), parameters)
    objective = Unsupervised(similarities.NCC(), regularizers.Diffusion(0.1), bidirectional=True)
    bound = objective.bind(RegistrationProblem(NETWORK, grid))
    batch, keys = PairBatch(fixed[None], moving[None]), jax.random.split(jax.random.key(0), 1)

    @jax.jit
    def loss(step):
        moved = jax.tree.map(lambda leaf, way: leaf + step * way, parameters, ways)
        return bound({"network": moved}, {}, batch, keys, None)[0]

    h = 1e-6
    expected = (loss(0.3 + h) - loss(0.3 - h)) / (2 * h)
    assert abs(expected) > 1e-3
    np.testing.assert_allclose(jax.grad(loss)(0.3), expected, rtol=1e-5)
