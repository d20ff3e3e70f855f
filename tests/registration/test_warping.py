"""Warped points, images and labels agree: the map takes fixed points to moving points, in mm."""

import jax.numpy as jnp
import numpy as np
import pytest
from geometry import NAMES, oblique_grid, random_map

from deqjax.registration import splat, transforms, warp, warp_labels


def blob(grid, centre, width=2.5):
    return jnp.exp(-jnp.sum((grid.points() - centre) ** 2, axis=-1) / (2 * width**2))


def centre_of_mass(image, grid):
    points = grid.points().reshape(-1, grid.ndim)
    return image.reshape(-1) @ points / image.sum()


@pytest.mark.parametrize(("order", "ndim"), [(1, 2), (1, 3), (3, 2), pytest.param(3, 3, marks=pytest.mark.slow)])
@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_blob_is_warped_to_the_point_that_is_mapped_to_its_centre(ndim, order, seed):
    fixed, moving = oblique_grid(ndim, seed, (26,) * ndim), oblique_grid(ndim, seed + 10, (24,) * ndim)
    parameters = 0.1 * np.random.RandomState(seed).randn(ndim * (ndim + 1))
    affine = transforms.Affine().map(jnp.asarray(parameters), fixed)
    shift = transforms.LinearMap(jnp.eye(ndim), moving.centre() - fixed.centre())
    mapping = transforms.Composite((affine, shift))
    point = fixed.centre() + 1.5
    warped = warp(blob(moving, mapping.apply_points(point)), mapping, fixed, moving, order)
    # An affine map takes a Gaussian to a Gaussian around the mapped point, so the centre of mass is exact.
    assert float(jnp.abs(fixed.index(centre_of_mass(warped, fixed)) - fixed.index(point)).max()) < 0.05


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("ndim", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_warped_images_and_mapped_points_agree_for_every_transform(name, ndim):
    grid = oblique_grid(ndim, 1, (24,) * ndim)
    mapping = random_map(name, grid, 3)
    ramps = grid.points()  # An image of its own coordinates: warping it must give the mapped points.
    warped = warp(ramps, mapping, grid, grid, order=1, boundary="nearest")
    inside = tuple(slice(7, -7) for _ in range(ndim))
    error = grid.index(warped) - grid.index(mapping.apply_points(grid.points()))
    assert float(jnp.abs(error[inside]).max()) < 0.05


@pytest.mark.parametrize("ndim", [2, 3])
def test_labels_are_warped_like_images(ndim):
    grid = oblique_grid(ndim, 2, (30,) * ndim)
    mapping = random_map("Affine", grid, 4)

    def label(points):
        distance = jnp.linalg.norm(points - grid.centre(), axis=-1)
        return (distance < 9).astype(jnp.int32) + (distance < 5)

    expected = label(mapping.apply_points(grid.points()))
    for warped in (
        warp_labels(label(grid.points()), mapping, grid, grid, count=3),
        warp(label(grid.points()), mapping, grid, grid, order=0),
    ):
        assert warped.dtype == jnp.int32
        assert float(jnp.mean(warped == expected)) > 0.97


def test_the_real_and_imaginary_parts_are_warped_alike():
    grid = oblique_grid(2, 3)
    mapping, image = random_map("Rigid", grid, 1), blob(grid, grid.centre()) * (1 + 2j)
    np.testing.assert_allclose(
        warp(image, mapping, grid, grid).imag, 2 * warp(image.real, mapping, grid, grid), atol=1e-6
    )


def test_splat_is_the_transpose_of_linear_warping():
    fixed, moving = oblique_grid(3, 4), oblique_grid(3, 4, (15, 16, 17))
    mapping, random = random_map("Affine", fixed, 2), np.random.RandomState(0)
    a, b = jnp.asarray(random.randn(*moving.shape)), jnp.asarray(random.randn(*fixed.shape))
    inside = jnp.all((moving.index(mapping.apply_points(fixed.points())) > 0), axis=-1)
    inside &= jnp.all(moving.index(mapping.apply_points(fixed.points())) < jnp.array(moving.shape) - 1, axis=-1)
    b = jnp.where(inside, b, 0)
    sums, _ = splat(b, mapping, fixed, moving)
    np.testing.assert_allclose(jnp.vdot(sums, a), jnp.vdot(b, warp(a, mapping, fixed, moving)), rtol=1e-4)


def test_a_moving_image_of_another_shape_than_its_grid_raises():
    grid = oblique_grid(2, 0)
    with pytest.raises(ValueError, match="must agree"):
        warp(jnp.ones((3, 3)), transforms.LinearMap(jnp.eye(2), jnp.zeros(2)), grid, grid)
