"""Warped points, images and labels agree: the map takes fixed points to moving points, in mm."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from geometry import NAMES, oblique_grid, random_map

from deqjax.registration import Grid, splat, transforms, warp, warp_labels


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


@pytest.mark.parametrize(
    "values",
    [
        (0, 17, 53, 1012, 2035),
        (0, 1, 2, 3, 4),
        (-5, 0, 7, 8, 9),
        (3, 4, 5, 6, 7),
        (0, 0, 0, 0, 1),
        (0, 251, 252, 253, 254),
        (0, 100000, 100001, 2000000000, -2000000000),
        (0, 1, 1000, 1, 1000),
        (9, 9, 9, 9, 9),
        (0, 2, 4, 6, 8),
    ],
)
def test_labels_keep_their_numbers(values):
    grid = Grid.of((9, 8))
    labels = np.asarray(values, np.int32)[np.arange(72).reshape(9, 8) // 4 % 5]
    identity = transforms.LinearMap(jnp.eye(2), jnp.zeros(2))
    np.testing.assert_array_equal(warp_labels(labels, identity, grid, grid), labels)
    count = len(set(values))
    inside = jax.jit(lambda labels: warp_labels(labels, identity, grid, grid, count=count))(labels)
    np.testing.assert_array_equal(inside, labels)
    shifted = transforms.LinearMap(jnp.eye(2), jnp.array([0.0, 3.4]))
    assert set(np.unique(warp_labels(labels, shifted, grid, grid))) <= {0, *values}


@pytest.mark.parametrize(
    ("labels", "arguments", "message"),
    [
        (np.arange(12).reshape(3, 4), {"count": 5}, "12 different labels"),
        (np.arange(12.0).reshape(3, 4), {}, "integers"),
        (np.arange(12).reshape(3, 4) + 2**40, {}, "do not fit"),
    ],
)
def test_labels_that_would_change_are_refused(labels, arguments, message):
    grid = Grid.of((3, 4))
    with pytest.raises(ValueError, match=message):
        warp_labels(labels, transforms.LinearMap(jnp.eye(2), jnp.zeros(2)), grid, grid, **arguments)


@pytest.mark.parametrize("order", [0, 1, 3])
@pytest.mark.parametrize("fill", [-1000.0, 0.0, 7.5, np.nan])
@pytest.mark.parametrize("channels", [(), (2,)])
def test_the_fill_value_lies_beyond_the_moving_image(order, fill, channels):
    grid = Grid.of((6, 7))
    image = jnp.full((6, 7, *channels), -1000.0)
    warped = warp(image, transforms.LinearMap(jnp.eye(2), jnp.array([4.0, 0.0])), grid, grid, order, fill=fill)
    np.testing.assert_allclose(warped[:2], -1000, rtol=1e-5)
    np.testing.assert_array_equal(warped[3:], jnp.full((3, 7, *channels), fill))


def test_order_0_does_not_mix_values_at_the_edge():
    grid, labels = Grid.of((6, 7)), jnp.full((6, 7), 17.0)
    for shift in (0.2, 0.4, 0.6, 3.3, -0.4):
        warped = warp(labels, transforms.LinearMap(jnp.eye(2), jnp.array([shift, shift])), grid, grid, order=0)
        assert set(np.unique(warped)) <= {0, 17}


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
