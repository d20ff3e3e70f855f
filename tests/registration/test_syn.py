"""The symmetric normalisation: symmetry, no folds, and what proves that."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from geometry import oblique_grid

from deqjax.registration import Grid, measures, optimizers, register, regularizers, similarities, transforms
from deqjax.registration.interpolation import interpolate
from deqjax.registration.optimizers.symmetric_normalisation import around_voxels
from deqjax.registration.stages import named_stage, register_stages
from deqjax.registration.transforms.jacobians import cell_determinants

SHAPE = (29, 26)
FLOW = transforms.Velocity(smoothing=0.0, steps=5)


def blobs(seed):
    """Make an image of random blobs: two of them have nothing to do with one another."""
    centres, points = np.random.RandomState(seed).uniform(3, 23, (9, 2)), np.asarray(Grid.of(SHAPE).points())
    away = points[None] - centres[:, None, None]
    return np.exp(-(away**2).sum(-1) / 8).sum(0).astype(np.float32)


def syn(fixed, moving, **settings):
    optimizer = optimizers.SyN(steps=20, **settings)
    return register(fixed, moving, FLOW, similarities.LocalNCC(3.0), levels=(1.0,), optimizer=optimizer)


def test_images_that_do_not_correspond_are_matched_without_a_fold_and_symmetrically():
    hard = {"step": 0.6, "update_smoothing": 1.0, "total_smoothing": 0.2}
    found, back = syn(blobs(0), blobs(1), **hard), syn(blobs(1), blobs(0), **hard)
    assert float(found.measures["similarity_after"]) < 0.6 * float(found.measures["similarity_before"])
    assert float(found.status.smallest_jacobian) > 0.01
    assert float(found.status.folds) == 0
    np.testing.assert_allclose(found.map.velocity, -back.map.velocity, atol=0.05)
    assert float(jnp.abs(found.map.velocity).max()) > 2


@pytest.mark.slow
def test_volumes_are_matched_without_a_fold_in_stages():
    grid = oblique_grid(3, 0, (19, 17, 16))
    points, centre = grid.points() - grid.centre(), jnp.array([2.0, -1.0, 1.0])
    fixed = jnp.exp(-jnp.sum(points**2, -1) / 40) + jnp.exp(-jnp.sum((points - 5) ** 2, -1) / 6)
    moving = jnp.exp(-jnp.sum((points - centre) ** 2 / jnp.array([60.0, 30.0, 20.0]), -1))
    stages = [named_stage("affine", levels=(2.0,)), named_stage("syn", levels=(4.0, 2.0))]
    _, found = register_stages(fixed, moving, stages, fixed_grid=grid, moving_grid=grid)
    assert float(found.measures["similarity_after"]) < 0.7 * float(found.measures["similarity_before"])
    assert float(found.status.smallest_jacobian) > 0.02
    assert float(found.status.folds) == 0
    inner = grid.points()[5:-5, 5:-5, 5:-5]
    back = found.map.inverse().apply_points(found.map.apply_points(inner))
    assert float(jnp.mean(jnp.linalg.norm(back - inner, axis=-1))) < 0.1


@pytest.mark.parametrize("ndim", [2, 3])
def test_the_determinants_of_a_cell_are_those_of_its_multilinear_map(ndim):
    grid = oblique_grid(ndim, 0, (4, 3, 3)[:ndim])
    vectors = jnp.asarray(np.random.RandomState(0).uniform(-0.4, 0.4, (*grid.shape, ndim)), float)
    place = lambda index: grid.world(index) + interpolate(vectors, index)
    det = lambda index: jnp.linalg.det(jax.jacfwd(place)(index)) / jnp.linalg.det(grid.affine[:-1, :-1])
    steps = np.linspace(1e-3, 1 - 1e-3, 5 if ndim == 2 else 3)
    inside = np.stack(np.meshgrid(*[steps] * ndim, indexing="ij"), -1).reshape(-1, ndim)
    cells = np.stack(np.meshgrid(*(np.arange(n - 1) for n in grid.shape), indexing="ij"), -1)
    values = jax.vmap(jax.vmap(det))(jnp.asarray(cells.reshape(-1, 1, ndim) + inside, float))
    np.testing.assert_allclose(cell_determinants(vectors, grid).ravel(), values.min(axis=1), atol=0.01)
    np.testing.assert_allclose(measures.smallest_jacobian(vectors, grid), values.min(), atol=0.01)


def test_a_voxel_sees_all_cells_around_it():
    cells = np.random.RandomState(0).rand(4, 3)
    padded = np.pad(cells, 1, constant_values=np.inf)
    expected = [[padded[i : i + 2, j : j + 2].min() for j in range(4)] for i in range(5)]
    np.testing.assert_allclose(around_voxels(jnp.asarray(cells)), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("transform", "regularizer"),
    [(transforms.Affine(), None), (transforms.Velocity(), None), (FLOW, regularizers.Bending())],
)
def test_invalid_use_of_syn_raises(transform, regularizer):
    with pytest.raises(ValueError, match="SyN"):
        register(blobs(0), blobs(1), transform, None, regularizer, optimizer=optimizers.SyN())
