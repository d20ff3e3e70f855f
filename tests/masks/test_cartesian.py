"""Cartesian masks: the accelerations and numbers of lines that the docstrings state, and errors."""

from typing import Any

import numpy as np
import pytest

from deqjax import masks


def test_random_realised_acceleration() -> None:
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
def test_realised_acceleration_in_the_docstrings(pattern: Any, four: float, eight: float) -> None:
    for settings, expected in (((4, 0.08), four), ((8, 0.04), eight)):
        realised = [masks.realised_acceleration(pattern(*settings)((640, 368), seed)) for seed in range(300)]
        assert np.mean(realised) == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize(("width", "count"), [(368, 47), (321, 41), (45, 6)])
def test_normal_has_a_fixed_number_of_lines_dense_in_the_middle(width: int, count: int) -> None:
    drawn = np.array([masks.CartesianNormal(8, 0.04)((8, width), seed)[0] for seed in range(200)])
    assert set(drawn.sum(axis=1)) == {count}
    quarter = width // 4
    assert drawn[:, quarter:-quarter].sum() > 4 * (drawn[:, :quarter].sum() + drawn[:, -quarter:].sum())


@pytest.mark.parametrize("pattern", [masks.CartesianRandom, masks.CartesianEquispaced, masks.CartesianNormal])
def test_acceleration_one_samples_all(pattern: Any) -> None:
    assert pattern(1, 0.5)((4, 12), 0).all()


def test_a_centre_of_all_lines_at_acceleration_one() -> None:
    assert masks.CartesianRandom(1, 1.0)((4, 12), 0).all()


def test_choices_are_paired() -> None:
    mask = masks.CartesianNormal((4, 8), (0.08, 0.04))
    counts = {int(mask((8, 368), seed).sum()) for seed in range(20)}
    assert counts == {93, 47}


@pytest.mark.parametrize("pattern", [masks.CartesianEquispaced, masks.CartesianMagic])
def test_spacing_must_be_whole(pattern: Any) -> None:
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
def test_fewer_lines_than_the_centre(pattern: Any) -> None:
    with pytest.raises(ValueError, match="center_fraction alone samples 30"):
        pattern(4, 0.3)((8, 100), 0)


def test_magic_fraction_that_would_divide_by_zero() -> None:
    with pytest.raises(ValueError, match="leaves no line to space"):
        masks.CartesianMagicFraction(4, 0.25)((8, 100), 0)
