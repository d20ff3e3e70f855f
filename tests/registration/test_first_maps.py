import jax.numpy as jnp
import numpy as np
import pytest
from geometry import oblique_grid

from deqjax.registration import Grid, align_axes, multi_start, transforms
from deqjax.registration.moments import aligned_axes
from deqjax.registration.transforms.rotation import rotation, spread_rotations


def animal(points):
    """An image with a long axis, a head at one end and a hump."""
    x = points
    lengths = jnp.array([90.0, 25.0, 12.0])[: x.shape[-1]]
    head, hump = (jnp.zeros(x.shape[-1]).at[axis].set(at) for axis, at in ((0, 10.0), (1, 5.0)))
    ball = lambda at, size: jnp.exp(-jnp.sum((x - at) ** 2, -1) / size)
    return jnp.exp(-jnp.sum(x**2 / lengths, -1)) + ball(head, 20.0) + 0.7 * ball(hump, 12.0)


def turned_pair(ndim, degrees):
    """The moving image is the fixed one turned and shifted, on grids that are themselves turned."""
    fixed_grid, moving_grid = (
        Grid(jnp.asarray(np.asarray(oblique_grid(ndim, seed).affine)), shape)
        for seed, shape in ((1, (35, 31, 29)[:ndim]), (2, (33, 36, 30)[:ndim]))
    )
    turn = rotation(jnp.deg2rad(jnp.array(degrees)))
    centre, place = fixed_grid.centre(), moving_grid.centre() + 1.5
    truth = transforms.LinearMap(turn, place - turn @ centre)
    fixed = animal(truth.apply_points(fixed_grid.points()) - place)
    return fixed, animal(moving_grid.points() - place), fixed_grid, moving_grid, truth


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
    fixed, moving, fixed_grid, moving_grid, truth = turned_pair(ndim, degrees)
    found = multi_start(fixed, moving, fixed_grid=fixed_grid, moving_grid=moving_grid, size=2.0)
    assert angle(found, truth) < 2
    centre = fixed_grid.centre()
    assert float(jnp.linalg.norm(found.apply_points(centre) - truth.apply_points(centre))) < 0.5


@pytest.mark.parametrize(
    ("ndim", "degrees"), [(2, [40.0]), pytest.param(3, [10.0, -20.0, 30.0], marks=pytest.mark.slow)]
)
def test_principal_axes_find_a_moderate_rotation(ndim, degrees):
    fixed, moving, fixed_grid, moving_grid, truth = turned_pair(ndim, degrees)
    found = align_axes(fixed, moving, fixed_grid, moving_grid)
    assert angle(found, truth) < 8
    np.testing.assert_allclose(jnp.linalg.det(found.matrix), 1, rtol=1e-4)


@pytest.mark.parametrize("ndim", [2, 3])
def test_every_match_of_the_axes_is_a_different_rotation(ndim):
    fixed, moving, fixed_grid, moving_grid, _ = turned_pair(ndim, [5.0] * (1 if ndim == 2 else 3))
    matrices = np.asarray(aligned_axes(fixed, moving, fixed_grid, moving_grid).matrix)
    assert len(matrices) == 2 ** (ndim - 1)
    np.testing.assert_allclose(np.linalg.det(matrices), 1, rtol=1e-4)
    assert np.abs(matrices[:, None] - matrices + 9 * np.eye(len(matrices))[..., None, None]).max((2, 3)).min() > 0.5


@pytest.mark.parametrize(("count", "ndim", "typical", "reach"), [(12, 2, 8.0, 15.1), (64, 3, 35.0, 62.0)])
def test_spread_rotations_leave_no_gap(count, ndim, typical, reach):
    turns = np.asarray(spread_rotations(count, ndim), float)
    np.testing.assert_allclose(turns @ np.swapaxes(turns, 1, 2), np.broadcast_to(np.eye(ndim), turns.shape), atol=1e-6)
    np.testing.assert_allclose(np.linalg.det(turns), 1, rtol=1e-5)
    some = np.linalg.qr(np.random.RandomState(0).randn(300, ndim, ndim))[0]
    some[:, :, 0] *= np.linalg.det(some)[:, None]
    cosines = (np.einsum("nij, mij -> nm", some, turns) - (ndim - 2)) / 2
    nearest = np.rad2deg(np.arccos(np.clip(cosines.max(1), -1, 1)))
    assert nearest.mean() < typical
    assert nearest.max() < reach


@pytest.mark.parametrize(
    ("arguments", "words"),
    [({"rotations": 0}, "at least 1"), ({"steps": 0}, "at least 1"), ({"moving": np.ones((9, 9))}, "constant")],
)
def test_bad_input_is_refused_at_the_door(arguments, words):
    image = np.random.RandomState(0).rand(9, 9)
    with pytest.raises(ValueError, match=words):
        multi_start(**({"fixed": image, "moving": image} | arguments))
