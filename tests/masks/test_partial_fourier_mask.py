"""Partial-Fourier masks: the side that is kept, the symmetric middle, the combination with a pattern, and errors."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pytest

from deqjax import masks


@dataclass(frozen=True)
class WithoutCenter:
    """A pattern without a fully sampled centre."""

    calibration_fraction: float | None = None

    def __call__(self, shape: tuple[int, ...], seed: object, padding: object = None) -> np.ndarray:
        return np.zeros((1, shape[-1]), np.float32)


def test_one_side_is_kept_alone_and_over_a_pattern() -> None:
    low, high = masks.PartialFourier(0.6)((4, 10), 0)[0], masks.PartialFourier(0.6, side="high")((4, 10), 0)[0]
    np.testing.assert_array_equal(low, [1, 1, 1, 1, 1, 1, 0, 0, 0, 0])
    np.testing.assert_array_equal(high, low[::-1])
    rows = masks.PartialFourier(0.7, axis="y")((7, 10), 0)
    np.testing.assert_array_equal(rows[:, 0], [1, 1, 1, 1, 1, 0, 0])
    assert rows.shape == (7, 1)
    under = masks.Gaussian2D(4, 0.2)
    both = masks.PartialFourier(0.7, side="high", axis="y", pattern=under)((40, 30), 5)
    expected = under((40, 30), 5)
    expected[:12] = 0
    np.testing.assert_array_equal(both, expected)


@pytest.mark.parametrize("size", [10, 11, 37, 64])
@pytest.mark.parametrize("side", ["low", "high"])
@pytest.mark.parametrize("fraction", [0.55, 0.625, 0.75, 1.0])
def test_the_middle_is_sampled(size: int, side: Literal["low", "high"], fraction: float) -> None:
    mask = masks.PartialFourier(fraction, side=side)
    assert mask.calibration_fraction == 2 * fraction - 1
    number = round(size * mask.calibration_fraction)
    start = (size - number + 1) // 2
    lines = mask((4, size), 0)[0]
    assert lines[start : start + number].all()
    assert lines.sum() == pytest.approx(fraction * size, abs=1)


def test_the_calibration_fraction_is_the_smaller_one_of_the_two() -> None:
    nested = masks.PartialFourier(0.75, pattern=masks.PoissonDisc((4, 8), (0.1, 0.05)))
    assert nested.calibration_fraction == 0.05
    assert masks.PartialFourier(0.75, pattern=nested).calibration_fraction == 0.05
    assert masks.PartialFourier(0.51, pattern=masks.Radial(4, 0.1)).calibration_fraction == pytest.approx(0.02)
    assert masks.PartialFourier(0.75, pattern=WithoutCenter()).calibration_fraction is None


ANY: Any = masks  # settings that the annotations do not allow


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: masks.PartialFourier(0.5), r"fraction must lie in \(0.5, 1\], got 0.5"),
        (lambda: ANY.PartialFourier(side="left"), "side must be"),
        (lambda: ANY.PartialFourier(axis="z"), "axis must be"),
        (lambda: masks.PartialFourier(0.6)((4, 0), 0), "shape must be"),
        (lambda: masks.PartialFourier(0.51, "high")((4, 0), 0), "shape must be"),
    ],
)
def test_bad_settings_of_partial_fourier(build: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()
