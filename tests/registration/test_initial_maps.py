"""Initial maps from moments and from many rotations."""

import jax.numpy as jnp
import numpy as np
import pytest
from geometry import oblique_grid

from deqjax.registration import Grid, align_axes, align_centres, multi_start, similarities, transforms
from deqjax.registration.initial_maps import axis_alignments, centre_of_mass
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


def body(points, centre):
    """Make an image that is 1 in an ellipsoid and 1.8 in a ball inside it."""
    outer = jnp.sum(((points - centre) / jnp.array([12.0, 8.0])) ** 2, -1) < 1
    return outer + 0.8 * (jnp.sum(((points - centre - jnp.array([4.0, 0.0])) / 3) ** 2, -1) < 1)


CONTRASTS = {
    "magnitude": lambda b: b,
    "CT with air at -1000": lambda b: jnp.where(b > 0, 300 * b - 260, -1000),
    "CT padded with -3024": lambda b: 1040 * b - 3024,
    "all negative": lambda b: 1000 * b - 33792,
    "z-score": lambda b: (b - b.mean()) / b.std(),
    "int8": lambda b: jnp.asarray(100 * b - 100, jnp.int8),
    "uint8": lambda b: jnp.asarray(100 * b, jnp.uint8),
    "int16": lambda b: np.asarray(30000 * b - 32768, np.int16),
    "boolean": lambda b: b > 0,
    "1e-9": lambda b: 1e-9 * b,
    "1e30": lambda b: 1e30 * b,
    "NaN outside": lambda b: jnp.where(b > 0, b, jnp.nan),
    "complex": lambda b: b * jnp.exp(1j * b),
    "signed with a background of 0": lambda b: jnp.where(b > 1, -1.0, b),
}


@pytest.mark.parametrize("contrast", CONTRASTS)
def test_the_centres_do_not_depend_on_how_the_values_are_stored(contrast):
    grid = Grid.of((41, 38), spacing=1.5)
    fixed, moving = (CONTRASTS[contrast](body(grid.points(), jnp.array(at))) for at in ((25.0, 30.0), (34.0, 24.0)))
    np.testing.assert_allclose(align_centres(fixed, moving, grid, grid).offset, [9, -6], atol=0.3)


def test_a_constant_image_has_its_centre_in_the_middle():
    np.testing.assert_allclose(centre_of_mass(jnp.full((3, 5), -7.0), Grid.of((3, 5))), [1, 2], rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"similarity": similarities.NGF()}, "curvature"),
        ({"rotations": 0}, "at least 1"),
        ({"steps": 0}, "at least 1"),
        ({"moving": np.ones((9, 9))}, "constant"),
    ],
)
def test_invalid_input_raises(arguments, message):
    image = np.random.RandomState(0).rand(9, 9)
    with pytest.raises(ValueError, match=message):
        multi_start(**({"fixed": image, "moving": image} | arguments))
