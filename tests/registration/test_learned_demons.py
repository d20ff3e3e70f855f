"""A learned update and a learned denoiser of the field: what an untrained one does, and the implicit gradient."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deqjax.implicit import Implicit, Unrolled
from deqjax.registration import Grid, LearnedDemons, demons, similarities, warp
from deqjax.registration.nets.halving import scaled_image
from deqjax.solvers import Broyden, Picard

GRID = Grid.of((13, 10), spacing=(1.5, 1.0))
EXACT = LearnedDemons(
    widths=(3,),
    smoothing=2.0,
    strength=0.4,
    solver=Broyden(max_steps=400, rtol=1e-12),
    adjoint=Implicit(solver=Broyden(max_steps=400), rtol=1e-10),
)


def pair():
    points = GRID.points()
    centres = np.random.RandomState(3).uniform(1, 12, (7, 2))
    spots = lambda at: sum((-1) ** k * jnp.exp(-jnp.sum((at - p) ** 2, -1) / 6) for k, p in enumerate(centres))
    return spots(points + 0.6 * jnp.sin(0.5 * points[..., ::-1] + 1)), spots(points)


def random_parameters(network, images, scale=0.01):
    """Parameters whose last layer is not zero, so that every weight matters."""
    parameters = network.init(jax.random.key(0), *images, GRID)
    noise = lambda leaf: leaf + scale * jax.random.normal(jax.random.key(leaf.size), leaf.shape)
    return {"params": jax.tree.map(noise, parameters["params"])}


@pytest.mark.slow
@pytest.mark.parametrize("denoiser", [False, True])
def test_an_untrained_network_gives_the_demons_of_the_images(denoiser):
    images, solver = pair(), Picard(max_steps=20)
    network = EXACT.clone(denoiser=denoiser, decay=0.0, order=1, solver=solver)
    found, _ = network.init_with_output(jax.random.key(0), *images, GRID)
    fixed, moving = (scaled_image(image) for image in images)
    expected, _ = demons(fixed, moving, 2.0, 0.4, grid=GRID, solver=solver)
    np.testing.assert_allclose(found.velocity, expected.velocity, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("denoiser", [False, True])
def test_the_gradient_of_the_weights_agrees_with_finite_differences(denoiser, float64):
    images, network = pair(), EXACT.clone(denoiser=denoiser)
    parameters = random_parameters(network, images)
    leaves, structure = jax.tree.flatten(parameters)
    directions = [jax.random.normal(jax.random.key(k), leaf.shape) for k, leaf in enumerate(leaves)]

    def loss(step):
        moved = jax.tree.unflatten(structure, [leaf + step * way for leaf, way in zip(leaves, directions)])
        found, variables = network.apply(moved, *images, GRID, mutable="intermediates")
        warped = warp(images[1], found, GRID, GRID, order=3)
        difference = similarities.NCC()(images[0], warped, jnp.ones(GRID.shape), GRID)
        return difference, variables["intermediates"]["stats"][0].converged

    (_, converged), slope = jax.jit(jax.value_and_grad(loss, has_aux=True))(0.0)
    assert converged.all()
    h = 1e-5
    compiled = jax.jit(lambda step: loss(step)[0])
    difference = float(compiled(h) - compiled(-h)) / (2 * h)
    assert abs(difference) > 1e-4
    assert abs(float(slope) / difference - 1) < 1e-3


def test_the_gradient_goes_through_the_layers_of_an_unrolled_network():
    """Two layers from the zero field: every weight of the network has a gradient."""
    images = pair()
    two = LearnedDemons(widths=(3,), squarings=1, order=1, solver=Picard(max_steps=2, rtol=0.0), adjoint=Unrolled())
    parameters = random_parameters(two, images)

    def size(parameters):
        found: Any = two.apply(parameters, *images, GRID)
        return jnp.sum(found.velocity**2)

    gradient = jax.jit(jax.grad(size))(parameters)
    assert all(np.all(np.isfinite(leaf)) and np.any(leaf) for leaf in jax.tree.leaves(gradient))
