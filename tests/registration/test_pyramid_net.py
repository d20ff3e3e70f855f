"""PyramidNet: what its levels compute."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deqjax.registration import Grid, PyramidNet, Unsupervised, VoxelMorph, regularizers, similarities, warp
from deqjax.registration.learning import PairBatch, RegistrationProblem
from deqjax.registration.nets.halving import halve, halved_grid

NETWORK = PyramidNet(levels=2, encoder=(4,), decoder=(4,), last=(), squarings=3)
KEYS = jax.random.split(jax.random.key(0), 1)


def pair(shape=(18, 15)):
    grid = Grid.of(shape, spacing=2.0)
    spot = lambda centre: jnp.exp(-jnp.sum((grid.points() - jnp.asarray(centre)) ** 2, -1) / 60)
    return spot((16.0, 14.0)), spot((20.0, 16.0)), grid


def parameters_of(biases):
    """Parameters of NETWORK with one constant field for each level, in voxels of that level."""
    fixed, moving, grid = pair()
    shapes = jax.eval_shape(NETWORK.init, jax.random.key(0), fixed, moving, grid)
    parameters = jax.tree.map(jnp.zeros_like, shapes)
    for level, bias in enumerate(biases):
        parameters["params"][f"level_{level}"]["field"]["bias"] = jnp.asarray(bias, float)
    return parameters


def maps_of(parameters) -> Any:
    return NETWORK.apply(parameters, *pair(), method="maps")


@pytest.mark.slow
def test_the_velocities_of_the_levels_add_in_mm():
    """A voxel of the coarse level has 4 mm, one of the fine level 2 mm."""
    coarse, fine = maps_of(parameters_of([(1.0, 0.0), (0.25, -0.5)]))
    np.testing.assert_allclose(
        coarse.velocity, jnp.broadcast_to(jnp.array([4.0, 0.0]), coarse.velocity.shape), atol=1e-5
    )
    np.testing.assert_allclose(fine.velocity, jnp.broadcast_to(jnp.array([4.5, -1.0]), fine.velocity.shape), atol=1e-5)


def test_no_field_is_the_identity_bit_for_bit():
    fixed, moving, grid = pair()
    found: Any = NETWORK.apply(parameters_of([]), fixed, moving, grid)
    np.testing.assert_array_equal(warp(moving, found, grid, grid), moving)


@pytest.mark.slow
def test_every_level_counts_with_images_of_its_resolution():
    fixed, moving, grid = pair()
    mse, parameters = similarities.MSE(), parameters_of([(1.0, 0.0), (0.25, -0.5)])
    objective = Unsupervised(mse, regularizers.Diffusion(), every_level=True)
    batch = PairBatch(fixed[None], moving[None])
    _, metrics = objective.bind(RegistrationProblem(NETWORK, grid))({"network": parameters}, {}, batch, KEYS, None)
    coarse, fine = maps_of(parameters)
    small, small_grid = [halve(image, 2) for image in (fixed, moving)], halved_grid(grid)
    expected = mse(fixed, warp(moving, fine, grid, grid), jnp.ones(grid.shape), grid)
    expected += (
        mse(small[0], warp(small[1], coarse, small_grid, small_grid), jnp.ones(small_grid.shape), small_grid) / 2
    )
    np.testing.assert_allclose(metrics["similarity"], expected, rtol=1e-4)
    with pytest.raises(ValueError, match="several levels"):
        objective.bind(RegistrationProblem(VoxelMorph(), grid))
