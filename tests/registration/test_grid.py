"""Grids, and the conversion between voxel indices and millimetres."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from geometry import oblique_grid

from deqjax.registration import Grid
from deqjax.registration.grid import check_grid


@pytest.mark.parametrize("ndim", [2, 3])
def test_world_and_index_are_inverse_on_oblique_grids(ndim):
    grid = oblique_grid(ndim, 0)
    index = jnp.asarray(np.random.RandomState(1).uniform(-5, 30, (50, ndim)))
    np.testing.assert_allclose(grid.index(grid.world(index)), index, atol=1e-4)


def test_points_agree_with_nibabel():
    nibabel = pytest.importorskip("nibabel")
    grid = oblique_grid(3, 2)
    corner = nibabel.affines.apply_affine(np.asarray(grid.affine), [3, 4, 5])
    np.testing.assert_allclose(grid.points()[3, 4, 5], corner, rtol=1e-5)


def test_a_strided_grid_has_every_second_voxel():
    grid = oblique_grid(3, 3)
    np.testing.assert_allclose(grid.strided((2, 3, 1)).points(), grid.points()[::2, ::3], atol=1e-4)


def test_a_grid_can_be_an_argument_of_jit():
    grid = oblique_grid(2, 4)
    np.testing.assert_allclose(jax.jit(Grid.centre)(grid), jnp.mean(grid.points(), axis=(0, 1)), atol=1e-4)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Grid.of((4, 4), spacing=0.0), "above zero"),
        (lambda: Grid.of((4, 4), spacing=(1.0, -1.0)), "positive"),
        (lambda: Grid.of((4,)), "2-D or 3-D"),
        (lambda: Grid.of((4, 0)), "at least one voxel"),
        (lambda: check_grid(Grid(jnp.array([[1.0, 1, 0], [1, 1, 0], [0, 0, 1]]), (4, 4)), "x"), "singular"),
        (lambda: check_grid(Grid(jnp.eye(4), (4, 4)), "x"), "does not match"),
        (lambda: check_grid(Grid(jnp.eye(3) * jnp.nan, (4, 4)), "x"), "not finite"),
    ],
)
def test_an_impossible_grid_raises(make, message):
    with pytest.raises(ValueError, match=message):
        make()
