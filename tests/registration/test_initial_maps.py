"""Initial maps from moments and from many rotations."""

import jax.numpy as jnp
import numpy as np
import pytest
from geometry import oblique_grid

from deqjax.registration import Grid, align_axes, multi_start, transforms
from deqjax.registration.initial_maps import axis_alignments
from deqjax.registration.transforms.linear import rotation_matrix, spread_rotations


def asymmetric_image(x):
    """Make an image with a long axis, a bright spot at one end and another at its side."""
    lengths = jnp.array([90.0, 25.0, 12.0])[: x.shape[-1]]
    end, side = (jnp.zeros(x.shape[-1]).at[axis].set(at) for axis, at in ((0, 10.0), (1, 5.0)))
    ball = lambda at, size: jnp.exp(-jnp.sum((x - at) ** 2, -1) / size)
    return jnp.exp(-jnp.sum(x**2 / lengths, -1)) + ball(end, 20.0) + 0.7 * ball(side, 12.0)


def rotated_pair(ndim, degrees):
    """Make a moving image that is the fixed one rotated and shifted; both grids are oblique."""
    fixed_grid, moving_grid = (
        Grid(jnp.asarray(np.asarray(oblique_grid(ndim, seed).affine)), shape)
        for seed, shape in ((1, (35, 31, 29)[:ndim]), (2, (33, 36, 30)[:ndim]))
    )
    rotation = rotation_matrix(jnp.deg2rad(jnp.array(degrees)))
    centre, moved = fixed_grid.centre(), moving_grid.centre() + 1.5
    truth = transforms.LinearMap(rotation, moved - rotation @ centre)
    fixed = asymmetric_image(truth.apply_points(fixed_grid.points()) - moved)
    return fixed, asymmetric_image(moving_grid.points() - moved), fixed_grid, moving_grid, truth


def angle(a, b):
    cosine = (jnp.trace(a.matrix @ b.matrix.T) - (a.matrix.shape[0] - 2)) / 2
    return float(jnp.rad2deg(jnp.arccos(jnp.clip(cosine, -1, 1))))


@pytest.mark.parametrize(
    ("ndim", "degrees"),
    [
        (2, [120.0]),
        pytest.param(2, [-170.0], marks=pytest.mark.slow),
        pytest.param(3, [20.0, -30.0, 120.0], marks=pytest.mark.slow),
    ],
)
def test_a_large_rotation_is_found(ndim, degrees):
    fixed, moving, fixed_grid, moving_grid, truth = rotated_pair(ndim, degrees)
    found = multi_start(fixed, moving, fixed_grid=fixed_grid, moving_grid=moving_grid, size=2.0)
    assert angle(found, truth) < 2
    centre = fixed_grid.centre()
    assert float(jnp.linalg.norm(found.apply_points(centre) - truth.apply_points(centre))) < 0.5


@pytest.mark.parametrize(
    ("ndim", "degrees"), [(2, [40.0]), pytest.param(3, [10.0, -20.0, 30.0], marks=pytest.mark.slow)]
)
def test_principal_axes_find_a_moderate_rotation(ndim, degrees):
    fixed, moving, fixed_grid, moving_grid, truth = rotated_pair(ndim, degrees)
    found = align_axes(fixed, moving, fixed_grid, moving_grid)
    assert angle(found, truth) < 8
    np.testing.assert_allclose(jnp.linalg.det(found.matrix), 1, rtol=1e-4)


@pytest.mark.parametrize("ndim", [2, 3])
def test_the_alignments_of_the_axes_are_different_rotations(ndim):
    fixed, moving, fixed_grid, moving_grid, _ = rotated_pair(ndim, [5.0] * (1 if ndim == 2 else 3))
    matrices = np.asarray(axis_alignments(fixed, moving, fixed_grid, moving_grid).matrix)
    assert len(matrices) == 2 ** (ndim - 1)
    np.testing.assert_allclose(np.linalg.det(matrices), 1, rtol=1e-4)
    assert np.abs(matrices[:, None] - matrices + 9 * np.eye(len(matrices))[..., None, None]).max((2, 3)).min() > 0.5


@pytest.mark.parametrize(("count", "ndim", "mean", "largest"), [(12, 2, 8.0, 15.1), (64, 3, 35.0, 62.0)])
def test_every_rotation_is_close_to_a_spread_rotation(count, ndim, mean, largest):
    rotations = np.asarray(spread_rotations(count, ndim), float)
    np.testing.assert_allclose(
        rotations @ np.swapaxes(rotations, 1, 2), np.broadcast_to(np.eye(ndim), rotations.shape), atol=1e-6
    )
    np.testing.assert_allclose(np.linalg.det(rotations), 1, rtol=1e-5)
    others = np.linalg.qr(np.random.RandomState(0).randn(300, ndim, ndim))[0]
    others[:, :, 0] *= np.linalg.det(others)[:, None]
    cosines = (np.einsum("nij, mij -> nm", others, rotations) - (ndim - 2)) / 2
    nearest = np.rad2deg(np.arccos(np.clip(cosines.max(1), -1, 1)))
    assert nearest.mean() < mean
    assert nearest.max() < largest


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"rotations": 0}, "at least 1"), ({"steps": 0}, "at least 1"), ({"moving": np.ones((9, 9))}, "constant")],
)
def test_invalid_input_raises(arguments, message):
    image = np.random.RandomState(0).rand(9, 9)
    with pytest.raises(ValueError, match=message):
        multi_start(**({"fixed": image, "moving": image} | arguments))
