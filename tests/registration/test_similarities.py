import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from geometry import oblique_grid

from deqjax.registration import Grid, similarities

EVERY = {
    "MSE": similarities.MSE(),
    "NCC": similarities.NCC(),
    "LocalNCC": similarities.LocalNCC(width=3.0),
    "MutualInformation": similarities.MutualInformation(bins=16),
    "NormalisedMutualInformation": similarities.NormalisedMutualInformation(bins=16),
    "NGF": similarities.NGF(),
    "MIND": similarities.MIND(),
    "Perpendicular": similarities.Perpendicular(),
}
BLIND_TO_CONTRAST = ["MutualInformation", "NormalisedMutualInformation", "NGF", "MIND"]
QUICK = ("MSE", "NCC", "MutualInformation", "Perpendicular")


def slowly(names):
    """The names as cases, those of the heavier similarities as slow ones."""
    return pytest.mark.parametrize(
        "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in names]
    )


def pattern(grid, shift=0.0, seed=0):
    """A smooth image with structure everywhere, shifted along the first axis by mm."""
    points = grid.points() - jnp.zeros(grid.ndim).at[0].set(shift)
    waves = np.random.RandomState(seed).uniform(-0.6, 0.6, (6, grid.ndim))
    return sum(jnp.sin(points @ jnp.asarray(wave) + k) for k, wave in enumerate(waves))


def test_every_similarity_has_a_row_here():
    exported = set(similarities.__all__) - {
        "Similarity",
        "LeastSquares",
        "PerpendicularField",
        "entropy",
        "joint_histogram",
    }
    assert exported == set(EVERY)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("ndim", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_an_image_is_most_like_itself(name, ndim):
    grid = Grid.of((19, 16, 13)[:ndim])
    fixed, mask = pattern(grid), jnp.ones(grid.shape)
    value = jax.jit(lambda warped: EVERY[name](fixed, warped, mask, grid))
    values = [float(value(pattern(grid, shift))) for shift in (0.0, 0.7, 1.5)]
    assert values == sorted(values)
    assert values[0] < values[1]


@slowly([name for name in EVERY if name not in ("NGF", "MIND")])  # these look at neighbours
def test_what_the_mask_leaves_out_does_not_count(name):
    grid = Grid.of((24, 20))
    fixed, warped = pattern(grid), pattern(grid, 0.5)
    mask = jnp.zeros(grid.shape).at[:12].set(1)
    value = jax.jit(jax.value_and_grad(lambda warped: EVERY[name](fixed, warped, mask, grid)))
    (clean, _), (spoilt, slope) = value(warped), value(warped.at[12:].add(7.0))
    np.testing.assert_allclose(spoilt, clean, rtol=1e-4)
    assert not np.any(slope[12:])


@slowly(EVERY)
def test_gradients_agree_with_finite_differences(name, double):
    grid, h = Grid.of((9, 8)), 1e-6
    fixed, warped = pattern(grid), pattern(grid, 0.6) + 0.1
    mask = jnp.asarray(np.random.RandomState(1).uniform(0.2, 1, grid.shape))
    value = lambda warped: EVERY[name](fixed, warped, mask, grid)
    # Off the extremes: the range of a histogram is held still, so its ends have no derivative.
    direction = np.random.RandomState(2).randn(*grid.shape)
    direction[np.asarray((warped == warped.max()) | (warped == warped.min()))] = 0
    difference = (value(warped + h * direction) - value(warped - h * direction)) / (2 * h)
    np.testing.assert_allclose(jnp.vdot(jax.grad(value)(warped), direction), difference, rtol=1e-4, atol=1e-8)


@slowly(["NCC", "LocalNCC", *BLIND_TO_CONTRAST])
def test_gain_and_offset_do_not_count(name):
    grid = Grid.of((16, 15))
    fixed, warped, mask = pattern(grid), pattern(grid, 0.5), jnp.ones(grid.shape)
    value = lambda warped: EVERY[name](fixed, warped, mask, grid)
    np.testing.assert_allclose(value(3 * warped + 2), value(warped), rtol=1e-3, atol=1e-5)


@slowly(BLIND_TO_CONTRAST)
def test_an_inverted_image_is_as_alike(name):
    grid = Grid.of((16, 15))
    fixed, mask = pattern(grid), jnp.ones(grid.shape)
    inverted, shifted = (EVERY[name](fixed, -pattern(grid, s), mask, grid) for s in (0.0, 1.0))
    np.testing.assert_allclose(inverted, EVERY[name](fixed, fixed, mask, grid), rtol=1e-3, atol=1e-5)
    assert inverted < shifted


def test_ncc_is_numpys(double):
    grid = Grid.of((16, 15))
    fixed, warped = pattern(grid), pattern(grid, 0.5)
    expected = 1 - np.corrcoef(fixed.ravel(), warped.ravel())[0, 1]
    assert float(similarities.NCC()(fixed, warped, jnp.ones(grid.shape), grid)) == pytest.approx(expected, rel=1e-6)


def test_the_joint_histogram_does_not_depend_on_its_chunks(monkeypatch):
    fixed, warped = np.random.RandomState(0).rand(2, 50)
    mask = np.linspace(0, 1, 50)
    whole = similarities.joint_histogram(jnp.asarray(fixed), jnp.asarray(warped), jnp.asarray(mask), 8)
    monkeypatch.setattr(sys.modules[similarities.joint_histogram.__module__], "CHUNK", 7)
    parts = similarities.joint_histogram(jnp.asarray(fixed), jnp.asarray(warped), jnp.asarray(mask), 8)
    np.testing.assert_allclose(parts, whole, atol=1e-6)


def test_ngf_does_not_depend_on_how_the_grid_is_turned():
    turned = oblique_grid(2, 3)
    upright = Grid.of(turned.shape, turned.spacing())
    fixed, warped = pattern(upright), pattern(upright, 1.0)
    value = lambda grid: similarities.NGF()(fixed, warped, jnp.ones(grid.shape), grid)
    np.testing.assert_allclose(value(turned), value(upright), rtol=1e-4)


@pytest.mark.parametrize(
    "similarity",
    [similarities.MSE(), similarities.NCC(), pytest.param(similarities.LocalNCC(width=4.0), marks=pytest.mark.slow)],
)
def test_the_curvature_is_near_the_second_derivative_at_the_match(similarity, double):
    grid = Grid.of((18, 17))
    fixed, mask = pattern(grid), jnp.ones(grid.shape)
    value = lambda warped: similarity(fixed, warped, mask, grid)
    direction = jnp.asarray(np.random.RandomState(0).randn(*grid.shape))
    product = jax.jvp(jax.grad(value), (fixed,), (direction,))[1]
    model = jnp.vdot(direction**2, similarity.curvature(fixed, fixed, mask, grid))
    assert float(model) == pytest.approx(float(jnp.vdot(direction, product)), rel=0.15)


def fields(shape, seed=0):
    random = np.random.RandomState(seed)
    return (jnp.asarray(random.randn(*shape, len(shape))) for _ in range(2))


def test_the_perpendicular_loss_of_plane_fields_is_that_of_complex_images(double):
    grid = Grid.of((7, 5))
    fixed, warped = fields(grid.shape)
    mask = jnp.ones(grid.shape).at[2:4].set(0)
    image = lambda field: field[..., 0] + 1j * field[..., 1]
    expected = similarities.Perpendicular(1.3)(image(fixed), image(warped), mask, grid)
    np.testing.assert_allclose(similarities.PerpendicularField(1.3)(fixed, warped, mask, grid), expected, rtol=1e-6)


def test_the_perpendicular_loss_of_fields_in_space(double):
    grid, value = Grid.of((3, 4, 2)), similarities.PerpendicularField()
    fixed, warped = fields(grid.shape)
    mask = jnp.ones(grid.shape)
    turn = jnp.asarray(np.linalg.qr(np.random.RandomState(1).randn(3, 3))[0])
    flat = jnp.ones((3, 4, 2, 1)) * jnp.array([1.0, 0.0, 0.0])
    sideways, opposite = flat[..., jnp.array([1, 0, 2])], -flat
    np.testing.assert_allclose([value(flat, v, mask, grid) for v in (flat, sideways, opposite)], [0, 1, 2], atol=1e-6)
    np.testing.assert_allclose(value(fixed @ turn, warped @ turn, mask, grid), value(fixed, warped, mask, grid))
    direction, h = next(fields(grid.shape, 2)), 1e-6
    difference = (
        value(fixed, warped + h * direction, mask, grid) - value(fixed, warped - h * direction, mask, grid)
    ) / (2 * h)
    slope = jax.grad(lambda warped: value(fixed, warped, mask, grid))(warped)
    np.testing.assert_allclose(jnp.vdot(slope, direction), difference, rtol=1e-5)
    assert np.all(np.isfinite(jax.grad(lambda warped: value(fixed, warped, mask, grid))(jnp.zeros_like(warped))))
