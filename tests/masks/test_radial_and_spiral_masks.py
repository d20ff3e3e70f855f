"""Radial and spiral masks: accelerations, numbers of spokes and errors."""

from collections.abc import Callable
from typing import Any

import pytest

from deqjax import masks


@pytest.mark.parametrize("pattern", [masks.Radial, masks.Spiral])
@pytest.mark.parametrize(("acceleration", "tolerance"), [(2, 0.05), (4, 0.05), (8, 0.06)])
def test_realised_acceleration_of_spokes_and_spirals(pattern: Any, acceleration: float, tolerance: float) -> None:
    for seed in range(3):
        realised = masks.realised_acceleration(pattern(acceleration)((128, 128), seed))
        assert realised == pytest.approx(acceleration, rel=tolerance)


def test_the_number_of_spokes_can_be_given() -> None:
    mask = masks.Radial(spokes=3, center_fraction=1e-6, order="uniform")((65, 65), 0)
    assert 3 * 50 < mask.sum() < 3 * 75
    assert masks.Radial(spokes=6, center_fraction=1e-6)((65, 65), 0).sum() > 1.8 * mask.sum()


ANY: Any = masks  # settings that the annotations do not allow


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: ANY.Radial(order="random"), "order must be"),
        (lambda: masks.Radial(spokes=0), "spokes must be at least 1, got 0"),
        (lambda: masks.Spiral(interleaves=0), "interleaves must be"),
        (lambda: masks.Spiral(power=-1.0), "power must be"),
        (lambda: masks.Radial(1.1)((40, 40), 0), r"acceleration 1.1 of the grid \(40, 40\) .*acceleration is 1\."),
        (lambda: masks.Spiral(1.1)((40, 40), 0), r"nearest acceleration is 1\.\d+; raise acceleration"),
    ],
)
def test_bad_settings_of_spokes_and_spirals(build: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()
