"""Learned features under demons: the implicit gradient against finite differences, and against approximations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deqjax.implicit import Implicit, Phantom
from deqjax.registration import FeatureDemons, Grid, demons, similarities, warp
from deqjax.solvers import Broyden

SHAPE = (13, 10)
EXACT = FeatureDemons(
    widths=(3,),
    smoothing=1.7,
    strength=0.4,
    solver=Broyden(max_steps=400, rtol=1e-12),
    adjoint=Implicit(solver=Broyden(max_steps=400), rtol=1e-10),
)


def pair():
    points = Grid.of(SHAPE).points()
    centres = np.random.RandomState(3).uniform(1, 10, (7, 2))
    spots = lambda at: sum((-1) ** k * jnp.exp(-jnp.sum((at - p) ** 2, -1) / 6) for k, p in enumerate(centres))
    return spots(points + 0.6 * jnp.sin(0.5 * points[..., ::-1] + 1)), spots(points)


def random_parameters(grid, images):
    """Parameters whose last layer is not zero, so that every weight matters."""
    parameters = EXACT.init(jax.random.key(0), *images, grid)
    noise = lambda leaf: leaf + 0.1 * jax.random.normal(jax.random.key(leaf.size), leaf.shape)
    return jax.tree.map(noise, parameters)


@pytest.mark.slow
def test_an_untrained_network_gives_the_demons_of_the_images():
    grid, (fixed, moving) = Grid.of(SHAPE), pair()
    network = FeatureDemons(widths=(3,), smoothing=1.7, strength=0.4, order=1)
    found, _ = network.init_with_output(jax.random.key(0), fixed, moving, grid)
    one, other = (image / (jnp.std(image) + 1e-6) for image in (fixed, moving))
    expected, _ = demons(one, other, 1.7, 0.4, solver=Broyden(max_steps=60, rtol=1e-3))
    np.testing.assert_allclose(found.velocity, expected.velocity, atol=1e-5)


@pytest.mark.slow
def test_the_gradient_of_a_feature_weight_is_exact_and_phantom_gradients_are_not(float64):
    grid, images = Grid.of(SHAPE), pair()
    parameters = random_parameters(grid, images)
    leaves, structure = jax.tree.flatten(parameters)
    directions = [jax.random.normal(jax.random.key(k), leaf.shape) for k, leaf in enumerate(leaves)]

    def loss(step, network):
        moved = jax.tree.unflatten(structure, [leaf + step * way for leaf, way in zip(leaves, directions)])
        found = network.apply(moved, *images, grid)
        warped = warp(images[1], found, grid, grid, order=3)
        return similarities.NCC()(images[0], warped, jnp.ones(SHAPE), grid)

    h = 1e-5
    value = jax.jit(lambda step: loss(step, EXACT))
    difference = float(value(h) - value(-h)) / (2 * h)
    slope = lambda adjoint: float(jax.jit(jax.grad(lambda s: loss(s, EXACT.clone(adjoint=adjoint))))(0.0))
    errors = [abs(slope(a) / difference - 1) for a in (EXACT.adjoint, Phantom(1, 1.0), Phantom(3, 1.0))]
    print(f"relative errors: implicit {errors[0]:.1e}, phantom-1 {errors[1]:.3f}, phantom-3 {errors[2]:.3f}")
    assert abs(difference) > 1e-4
    assert errors[0] < 1e-3
    assert errors[1] > errors[2] > 10 * errors[0]
