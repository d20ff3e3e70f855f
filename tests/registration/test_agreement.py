"""Points, images and labels follow one convention: the map takes fixed points to moving points, in mm."""

import jax.numpy as jnp
import numpy as np
import pytest
from geometry import NAMES, oblique_grid, random_map

from deqjax.registration import splat, transforms, warp, warp_labels


def blob(grid, place, width=2.5):
    return jnp.exp(-jnp.sum((grid.points() - place) ** 2, axis=-1) / (2 * width**2))


def centre_of_mass(image, grid):
    points = grid.points().reshape(-1, grid.ndim)
    return image.reshape(-1) @ points / image.sum()


@pytest.mark.parametrize(("order", "ndim"), [(1, 2), (1, 3), (3, 2), pytest.param(3, 3, marks=pytest.mark.slow)])
@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_blob_is_warped_to_where_the_inverse_maps_its_point(ndim, order, seed):
    fixed, moving = oblique_grid(ndim, seed, (26,) * ndim), oblique_grid(ndim, seed + 10, (24,) * ndim)
    numbers = 0.1 * np.random.RandomState(seed).randn(ndim * (ndim + 1))
    turn = transforms.Affine().map(jnp.asarray(numbers), fixed)
    bring = transforms.LinearMap(jnp.eye(ndim), moving.centre() - fixed.centre())
    map = transforms.Composite((turn, bring))
    place = fixed.centre() + 1.5
    warped = warp(blob(moving, map.apply_points(place)), map, fixed, moving, order)
    # An affine image of a Gaussian is a Gaussian around the mapped point, so its centre of mass is exact.
    assert float(jnp.abs(fixed.index(centre_of_mass(warped, fixed)) - fixed.index(place)).max()) < 0.05


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("ndim", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_images_and_points_agree_for_every_transform(name, ndim):
    grid = oblique_grid(ndim, 1, (24,) * ndim)
    map = random_map(name, grid, 3)
    ramps = grid.points()  # an image of its own coordinates: warped, it must hold the mapped points
    warped = warp(ramps, map, grid, grid, order=1, boundary="nearest")
    inside = tuple(slice(7, -7) for _ in range(ndim))
    error = grid.index(warped) - grid.index(map.apply_points(grid.points()))
    assert float(jnp.abs(error[inside]).max()) < 0.05


@pytest.mark.parametrize("ndim", [2, 3])
def test_labels_follow_the_image(ndim):
    grid = oblique_grid(ndim, 2, (30,) * ndim)
    map = random_map("affine", grid, 4)

    def label(points):
        distance = jnp.linalg.norm(points - grid.centre(), axis=-1)
        return (distance < 9).astype(jnp.int32) + (distance < 5)

    expected = label(map.apply_points(grid.points()))
    for warped in (
        warp_labels(label(grid.points()), map, grid, grid, count=3),
        warp(label(grid.points()), map, grid, grid, order=0),
    ):
        assert warped.dtype == jnp.int32
        assert float(jnp.mean(warped == expected)) > 0.97


def test_a_complex_image_is_warped_part_by_part():
    grid = oblique_grid(2, 3)
    map, image = random_map("rigid", grid, 1), blob(grid, grid.centre()) * (1 + 2j)
    np.testing.assert_allclose(warp(image, map, grid, grid).imag, 2 * warp(image.real, map, grid, grid), atol=1e-6)


def test_splatting_is_the_transpose_of_linear_warping():
    fixed, moving = oblique_grid(3, 4), oblique_grid(3, 4, (15, 16, 17))
    map, random = random_map("affine", fixed, 2), np.random.RandomState(0)
    a, b = jnp.asarray(random.randn(*moving.shape)), jnp.asarray(random.randn(*fixed.shape))
    inside = jnp.all((moving.index(map.apply_points(fixed.points())) > 0), axis=-1)
    inside &= jnp.all(moving.index(map.apply_points(fixed.points())) < jnp.array(moving.shape) - 1, axis=-1)
    b = jnp.where(inside, b, 0)
    sums, _ = splat(b, map, fixed, moving)
    np.testing.assert_allclose(jnp.vdot(sums, a), jnp.vdot(b, warp(a, map, fixed, moving)), rtol=1e-4)


def test_the_moving_image_must_fit_its_grid():
    grid = oblique_grid(2, 0)
    with pytest.raises(ValueError, match="must agree"):
        warp(jnp.ones((3, 3)), transforms.LinearMap(jnp.eye(2), jnp.zeros(2)), grid, grid)
