"""The contract of every similarity, and what each of them adds."""

import dataclasses
import sys
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from geometry import oblique_grid

from deqjax.registration import Grid, similarities

EVERY: dict[str, Any] = {
    "MSE": similarities.MSE(),
    "NCC": similarities.NCC(),
    "LocalNCC": similarities.LocalNCC(width=3.0),
    "MutualInformation": similarities.MutualInformation(bins=16),
    "NormalisedMutualInformation": similarities.NormalisedMutualInformation(bins=16),
    "NGF": similarities.NGF(),
    "MIND": similarities.MIND(),
    "Perpendicular": similarities.Perpendicular(),
    "PerpendicularField": similarities.PerpendicularField(),
    "WeightedSum": similarities.WeightedSum((similarities.NCC(), similarities.MSE()), (1.0, 0.1)),
}
PROTOCOLS = {"Similarity", "LeastSquares"}
FUNCTIONS = {"entropy", "joint_histogram"}
LEAST_SQUARES = {"MSE", "NCC", "LocalNCC", "WeightedSum"}
INVARIANT_TO_CONTRAST = ["MutualInformation", "NormalisedMutualInformation", "NGF", "MIND"]
QUICK = ("MSE", "NCC", "MutualInformation", "Perpendicular", "PerpendicularField")


def similarity_cases(names: Iterable[str]) -> pytest.MarkDecorator:
    """Parametrise a test over similarities; those that are expensive to compile run as slow tests."""
    return pytest.mark.parametrize(
        "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in names]
    )


def pattern(grid: Grid, shift: float = 0.0, seed: int = 0) -> jax.Array:
    """Make a smooth image with structure everywhere, shifted along the first axis by so many mm."""
    points = grid.points() - jnp.zeros(grid.ndim).at[0].set(shift)
    frequencies = np.random.RandomState(seed).uniform(-0.6, 0.6, (6, grid.ndim))
    return jnp.sum(jnp.stack([jnp.sin(points @ jnp.asarray(f) + k) for k, f in enumerate(frequencies)]), axis=0)


def example(name: str, grid: Grid, shift: float = 0.0) -> jax.Array:
    """Make what a similarity compares: an image, or for `PerpendicularField` a displacement field."""
    if name != "PerpendicularField":
        return pattern(grid, shift)
    return jnp.stack([pattern(grid, shift, seed) for seed in range(grid.ndim)], axis=-1)


def test_every_export_has_a_row():
    assert set(similarities.__all__) == set(EVERY) | PROTOCOLS | FUNCTIONS


@pytest.mark.parametrize("name", EVERY)
def test_a_similarity_is_frozen_and_hashable(name):
    similarity = EVERY[name]
    assert type(similarity) is getattr(similarities, name)
    assert hash(similarity) == hash(dataclasses.replace(similarity))
    assert similarity.__dataclass_params__.frozen
    assert isinstance(similarity, similarities.LeastSquares) == (name in LEAST_SQUARES)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("ndim", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_the_value_is_smallest_for_the_same_image(name, ndim):
    grid = Grid.of((19, 16, 13)[:ndim])
    fixed, mask = example(name, grid), jnp.ones(grid.shape)
    value = jax.jit(lambda warped: EVERY[name](fixed, warped, mask, grid))
    values = [float(value(example(name, grid, shift))) for shift in (0.0, 0.7, 1.5)]
    assert values == sorted(values)
    assert values[0] < values[1]


@pytest.mark.parametrize("name", [name for name in EVERY if name != "Perpendicular"])  # It needs zeros and ones.
def test_the_value_does_not_depend_on_the_scale_of_the_mask(name):
    grid = Grid.of((9, 8))
    fixed, warped = example(name, grid), example(name, grid, 0.6)
    mask = jnp.asarray(np.random.RandomState(1).uniform(0.2, 1, grid.shape), float)
    value = jax.jit(lambda mask: EVERY[name](fixed, warped, mask, grid))
    np.testing.assert_allclose(value(0.5 * mask), value(mask), rtol=2e-4)


@pytest.mark.parametrize("name", EVERY)
def test_the_gradient_is_finite_even_for_the_same_image(name):
    grid = Grid.of((9, 8))
    fixed, mask = example(name, grid), jnp.ones(grid.shape)
    gradient = jax.jit(jax.grad(lambda warped: EVERY[name](fixed, warped, mask, grid)))
    for warped in (fixed, example(name, grid, 0.6)):
        assert np.all(np.isfinite(gradient(warped)))


@similarity_cases([name for name in EVERY if name not in ("NGF", "MIND")])  # These two compare neighbouring voxels.
def test_voxels_outside_the_mask_do_not_count(name):
    grid = Grid.of((24, 20))
    fixed, warped = example(name, grid), example(name, grid, 0.5)
    mask = jnp.zeros(grid.shape).at[:12].set(1)
    value = jax.jit(jax.value_and_grad(lambda warped: EVERY[name](fixed, warped, mask, grid)))
    (expected, _), (changed, gradient) = value(warped), value(warped.at[12:].add(7.0))
    np.testing.assert_allclose(changed, expected, rtol=1e-4)
    assert not np.any(gradient[12:])


@similarity_cases(EVERY)
def test_gradients_agree_with_finite_differences(name, float64):
    grid, h = Grid.of((9, 8)), 1e-6
    fixed, warped = example(name, grid), example(name, grid, 0.6) + 0.1
    mask = jnp.asarray(np.random.RandomState(1).uniform(0.2, 1, grid.shape))
    value = lambda warped: EVERY[name](fixed, warped, mask, grid)
    direction = np.random.RandomState(2).randn(*fixed.shape)
    difference = (value(warped + h * direction) - value(warped - h * direction)) / (2 * h)
    np.testing.assert_allclose(jnp.vdot(jax.grad(value)(warped), direction), difference, rtol=1e-4, atol=1e-8)


@similarity_cases(["NCC", "LocalNCC", *INVARIANT_TO_CONTRAST])
def test_the_value_is_invariant_to_gain_and_offset(name):
    grid = Grid.of((16, 15))
    fixed, warped, mask = pattern(grid), pattern(grid, 0.5), jnp.ones(grid.shape)
    value = lambda warped: EVERY[name](fixed, warped, mask, grid)
    np.testing.assert_allclose(value(3 * warped + 2), value(warped), rtol=1e-3, atol=1e-5)


GAINS = (1e-9, 1e-6, 1e-3, 0.1, 1e3, 1e6, 1e9)


@similarity_cases(["NCC", "LocalNCC", *INVARIANT_TO_CONTRAST])
def test_the_unit_of_the_images_has_no_influence(name):
    grid = Grid.of((16, 15))
    fixed, warped, mask = pattern(grid), pattern(grid, 0.5), jnp.ones(grid.shape)
    similarity = EVERY[name]
    value = jax.jit(jax.value_and_grad(lambda warped, gain: similarity(gain * fixed, warped, mask, grid)))
    expected, slope = value(warped, 1.0)
    for gain in GAINS:
        found, scaled_slope = value(jnp.float32(gain) * warped, gain)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(gain * np.asarray(scaled_slope), slope, rtol=0.02, atol=1e-3 * np.abs(slope).max())
        if name in LEAST_SQUARES:
            curvature = [similarity.curvature(g * fixed, g * warped, mask, grid) * g * g for g in (1.0, gain)]
            np.testing.assert_allclose(curvature[1], curvature[0], rtol=1e-3)


@similarity_cases(["NCC", "LocalNCC", *INVARIANT_TO_CONTRAST])
def test_negative_values_as_in_ct_have_no_influence(name):
    grid = Grid.of((16, 15))
    fixed, warped, mask = pattern(grid), pattern(grid, 0.5), jnp.ones(grid.shape)
    value = jax.jit(lambda fixed, warped: EVERY[name](fixed, warped, mask, grid))
    expected = value(fixed, warped)
    for offset, gain in ((-1000, 200), (-33792, 1000), (-1e-9, 1e-9), (5e3, 3)):
        np.testing.assert_allclose(value(offset + gain * fixed, offset + gain * warped), expected, rtol=5e-3, atol=1e-4)


@similarity_cases(INVARIANT_TO_CONTRAST)
def test_the_value_is_invariant_to_inversion_of_the_contrast(name):
    grid = Grid.of((16, 15))
    fixed, mask = pattern(grid), jnp.ones(grid.shape)
    inverted, shifted = (EVERY[name](fixed, -pattern(grid, s), mask, grid) for s in (0.0, 1.0))
    np.testing.assert_allclose(inverted, EVERY[name](fixed, fixed, mask, grid), rtol=1e-3, atol=1e-5)
    assert inverted < shifted


def test_ncc_agrees_with_numpy(float64):
    grid = Grid.of((16, 15))
    fixed, warped = pattern(grid), pattern(grid, 0.5)
    expected = 1 - np.corrcoef(fixed.ravel(), warped.ravel())[0, 1]
    assert float(similarities.NCC()(fixed, warped, jnp.ones(grid.shape), grid)) == pytest.approx(expected, rel=1e-6)


def test_the_joint_histogram_does_not_depend_on_the_chunk_size(monkeypatch):
    fixed, warped = np.random.RandomState(0).rand(2, 50)
    mask = np.linspace(0, 1, 50)
    at_once = similarities.joint_histogram(jnp.asarray(fixed), jnp.asarray(warped), jnp.asarray(mask), 8)
    monkeypatch.setattr(sys.modules[similarities.joint_histogram.__module__], "CHUNK", 7)
    in_chunks = similarities.joint_histogram(jnp.asarray(fixed), jnp.asarray(warped), jnp.asarray(mask), 8)
    np.testing.assert_allclose(in_chunks, at_once, atol=1e-6)


def test_ngf_does_not_depend_on_the_rotation_of_the_grid():
    oblique = oblique_grid(2, 3)
    straight = Grid.of(oblique.shape, np.asarray(oblique.spacing()).tolist())
    fixed, warped = pattern(straight), pattern(straight, 1.0)
    value = lambda grid: similarities.NGF()(fixed, warped, jnp.ones(grid.shape), grid)
    np.testing.assert_allclose(value(oblique), value(straight), rtol=1e-4)


@pytest.mark.parametrize(
    "similarity",
    [similarities.MSE(), similarities.NCC(), pytest.param(similarities.LocalNCC(width=4.0), marks=pytest.mark.slow)],
)
def test_the_curvature_is_close_to_the_second_derivative_for_the_same_image(similarity, float64):
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


def test_the_perpendicular_loss_of_2d_fields_is_that_of_complex_images(float64):
    grid = Grid.of((7, 5))
    fixed, warped = fields(grid.shape)
    mask = jnp.ones(grid.shape).at[2:4].set(0)
    image = lambda field: field[..., 0] + 1j * field[..., 1]
    expected = similarities.Perpendicular(1.3)(image(fixed), image(warped), mask, grid)
    np.testing.assert_allclose(similarities.PerpendicularField(1.3)(fixed, warped, mask, grid), expected, rtol=1e-6)


def test_the_perpendicular_loss_of_3d_fields(float64):
    grid, value = Grid.of((3, 4, 2)), similarities.PerpendicularField()
    fixed, warped = fields(grid.shape)
    mask = jnp.ones(grid.shape)
    rotation = jnp.asarray(np.linalg.qr(np.random.RandomState(1).randn(3, 3))[0])
    along_x = jnp.ones((3, 4, 2, 1)) * jnp.array([1.0, 0.0, 0.0])
    along_y, opposite = along_x[..., jnp.array([1, 0, 2])], -along_x
    np.testing.assert_allclose(
        [float(value(along_x, v, mask, grid)) for v in (along_x, along_y, opposite)], [0, 1, 2], atol=1e-6
    )
    np.testing.assert_allclose(value(fixed @ rotation, warped @ rotation, mask, grid), value(fixed, warped, mask, grid))
    direction, h = next(fields(grid.shape, 2)), 1e-6
    difference = (
        value(fixed, warped + h * direction, mask, grid) - value(fixed, warped - h * direction, mask, grid)
    ) / (2 * h)
    slope = jax.grad(lambda warped: value(fixed, warped, mask, grid))(warped)
    np.testing.assert_allclose(jnp.vdot(slope, direction), difference, rtol=1e-5)
    assert np.all(np.isfinite(jax.grad(lambda warped: value(fixed, warped, mask, grid))(jnp.zeros_like(warped))))
