"""Measures of the quality of a mapping."""

import jax.numpy as jnp
import numpy as np
import pytest
from geometry import inner_points, oblique_grid, random_map

from deqjax.registration import measures


@pytest.mark.parametrize("ndim", [2, 3])
def test_volume_change_is_the_determinant_of_an_affine_map_on_oblique_grids(ndim):
    grid = oblique_grid(ndim, 0)
    mapping = random_map("Affine", grid, 1)
    expected = np.linalg.det(np.asarray(mapping.matrix))
    np.testing.assert_allclose(measures.volume_change(mapping.displacement(grid), grid), expected, rtol=1e-3)


def test_a_reflection_is_folded_everywhere_and_a_translation_nowhere():
    grid = oblique_grid(2, 0)
    everywhere = jnp.ones(grid.shape, bool)
    mirrored = measures.volume_change(grid.points() * jnp.array([-2.0, 0.0]), grid)
    assert float(measures.folded_fraction(mirrored, everywhere)) == 1
    shifted = measures.volume_change(jnp.ones((*grid.shape, 2)), grid)
    assert float(measures.folded_fraction(shifted, everywhere)) == 0
    assert float(measures.sd_log_jacobian(shifted, everywhere)) == pytest.approx(0, abs=1e-5)


def test_errors_are_in_millimetres():
    grid = oblique_grid(3, 0)
    mapping, points = random_map("Rigid", grid, 1), inner_points(grid, 2)
    off = mapping.apply_points(points) + jnp.array([0.0, 3.0, 4.0])
    np.testing.assert_allclose(measures.target_error(mapping, points, off), 5, rtol=1e-4)
    np.testing.assert_allclose(measures.inverse_consistency(mapping, mapping.inverse(), points), 0, atol=1e-4)


def test_dice_compares_one_label():
    a, b = jnp.array([2, 2, 1, 0]), jnp.array([2, 1, 1, 0])
    assert float(measures.dice(a, b, 2)) == pytest.approx(2 / 3)
    assert float(measures.dice(a, b, 7)) == 1
