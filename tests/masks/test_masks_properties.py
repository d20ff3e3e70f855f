"""What holds for every pattern, and every error."""

import numpy as np
import pytest

from deqjax import masks
from deqjax.types import Mask

PATTERNS = [getattr(masks, name) for name in masks.__all__ if name.startswith("Cartesian")]
WIDTHS = (368, 321, 45)


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(("acceleration", "center_fraction"), [(4, 0.08), (8, 0.04)])
def test_shape_values_centre_and_determinism(pattern, width, acceleration, center_fraction):
    mask: Mask = pattern(acceleration, center_fraction)
    first = mask((3, 20, width), "file.h5")
    assert first.shape == (1, width)
    assert first.dtype == np.float32
    assert set(np.unique(first)) == {0.0, 1.0}
    np.testing.assert_array_equal(first, mask((7, width), tuple(map(ord, "file.h5"))))
    num_center = round(width * center_fraction)
    start = (width - num_center + 1) // 2
    for seed in range(10):
        lines = mask((20, width), seed)[0]
        assert lines[start : start + num_center].all()
        assert lines[width // 2] == 1, "the sample at frequency zero"


@pytest.mark.parametrize("pattern", PATTERNS)
def test_no_global_generator_is_touched_and_seeds_differ(pattern):
    before = np.random.get_state()[1].copy()
    different = {pattern(4, 0.08)((20, 368), seed).tobytes() for seed in range(12)}
    assert len(different) > 1
    np.testing.assert_array_equal(before, np.random.get_state()[1])


@pytest.mark.parametrize("pattern", PATTERNS)
def test_settings_are_hashable_and_equal(pattern):
    assert len({pattern(4, 0.08), pattern(4, 0.08), pattern((4, 8), (0.08, 0.04))}) == 2


@pytest.mark.parametrize("pattern", PATTERNS)
def test_padding_is_zero_outside(pattern):
    plain, padded = (pattern(4, 0.08)((20, 45), 3, padding=padding)[0] for padding in (None, (5, 41)))
    assert not padded[:5].any()
    assert not padded[41:].any()
    np.testing.assert_array_equal(padded[5:41], plain[5:41])
    with pytest.raises(ValueError, match="padding"):
        pattern(4, 0.08)((20, 45), 3, padding=(41, 5))


def test_random_realised_acceleration():
    mask = masks.CartesianRandom(4, 0.08)
    realised = [masks.realised_acceleration(mask((640, 368), seed)) for seed in range(2000)]
    assert np.mean(realised) == pytest.approx(4.02, abs=0.01)
    assert min(realised) > 3.2
    assert max(realised) < 5.5


@pytest.mark.parametrize(
    ("pattern", "four", "eight"),
    [
        (masks.CartesianEquispaced, 3.235, 6.225),
        (masks.CartesianEquispacedFraction, 3.999, 8.015),
        (masks.CartesianMagic, 3.228, 6.237),
        (masks.CartesianMagicFraction, 4.297, 8.309),
        (masks.CartesianNormal, 3.957, 7.830),
    ],
)
def test_realised_acceleration_in_the_docstrings(pattern, four, eight):
    for settings, expected in (((4, 0.08), four), ((8, 0.04), eight)):
        realised = [masks.realised_acceleration(pattern(*settings)((640, 368), seed)) for seed in range(300)]
        assert np.mean(realised) == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize(("width", "count"), [(368, 47), (321, 41), (45, 6)])
def test_normal_has_a_fixed_number_of_lines_dense_in_the_middle(width, count):
    drawn = np.array([masks.CartesianNormal(8, 0.04)((8, width), seed)[0] for seed in range(200)])
    assert set(drawn.sum(axis=1)) == {count}
    quarter = width // 4
    assert drawn[:, quarter:-quarter].sum() > 4 * (drawn[:, :quarter].sum() + drawn[:, -quarter:].sum())


@pytest.mark.parametrize("pattern", [masks.CartesianRandom, masks.CartesianEquispaced, masks.CartesianNormal])
def test_acceleration_one_samples_all(pattern):
    assert pattern(1, 0.5)((4, 12), 0).all()


def test_whole_centre_at_acceleration_one():
    assert masks.CartesianRandom(1, 1.0)((4, 12), 0).all()


def test_choices_are_paired():
    mask = masks.CartesianNormal((4, 8), (0.08, 0.04))
    counts = {int(mask((8, 368), seed).sum()) for seed in range(20)}
    assert counts == {93, 47}


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize(
    ("acceleration", "center_fraction", "message"),
    [
        (0.5, 0.08, "acceleration must be a number of at least 1"),
        (float("nan"), 0.08, "acceleration must be a number"),
        (4, 0.0, r"center_fraction must lie in \(0, 1\]"),
        (4, 1.01, "center_fraction must lie"),
        ((4, 8), 0.08, "acceleration has 2 choices and center_fraction 1"),
        ([4, 8], [0.08, 0.04], r"several choices go in a tuple, got \[4, 8\] and \[0.08, 0.04\]"),
        ((), (), "at least one"),
    ],
)
def test_bad_settings(pattern, acceleration, center_fraction, message):
    with pytest.raises(ValueError, match=message):
        pattern(acceleration, center_fraction)


@pytest.mark.parametrize("pattern", [masks.CartesianEquispaced, masks.CartesianMagic])
def test_spacing_must_be_whole(pattern):
    pattern(4.0, 0.08)((8, 45), 0)
    with pytest.raises(ValueError, match="whole number"):
        pattern(4.5, 0.08)


@pytest.mark.parametrize(
    "pattern",
    [
        masks.CartesianRandom,
        masks.CartesianEquispacedFraction,
        masks.CartesianMagicFraction,
        masks.CartesianNormal,
    ],
)
def test_fewer_lines_than_the_centre(pattern):
    with pytest.raises(ValueError, match="center_fraction alone samples 30"):
        pattern(4, 0.3)((8, 100), 0)


def test_magic_fraction_that_would_divide_by_zero():
    with pytest.raises(ValueError, match="leaves no line to space"):
        masks.CartesianMagicFraction(4, 0.25)((8, 100), 0)


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, (), (1, -2), "", None])
def test_bad_seed(seed):
    with pytest.raises(ValueError, match="seed must be"):
        masks.CartesianRandom()((8, 45), seed)


@pytest.mark.parametrize("shape", [(45,), (8, 0)])
def test_bad_shape(shape):
    with pytest.raises(ValueError, match="shape must be"):
        masks.CartesianRandom()(shape, 0)


def test_realised_acceleration_of_nothing():
    with pytest.raises(ValueError, match="samples nothing"):
        masks.realised_acceleration(np.zeros((1, 8)))
