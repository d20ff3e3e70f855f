"""The contract of every export of `deqjax.masks`: one row for each pattern and each function."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

from deqjax import masks
from deqjax.types import Mask

SIZES = [(64, 64), (41, 53), (54, 37), (45, 160)]


class Row(NamedTuple):
    """One setting of a pattern, its shape for a grid (y, x), and its realised acceleration at 96 x 128."""

    pattern: Mask
    shape: Callable[[int, int], tuple[int, ...]]
    realised: tuple[float, float]


def lines(_: int, x: int) -> tuple[int, ...]:
    return (1, x)


def points(y: int, x: int) -> tuple[int, ...]:
    return (y, x)


def cine(_: int, x: int) -> tuple[int, ...]:
    return (16, 1, x)


def rows_of_lines(y: int, _: int) -> tuple[int, ...]:
    return (y, 1)


ROWS = [
    Row(masks.CartesianRandom(4, 0.08), lines, (3.2, 5.5)),
    Row(masks.CartesianEquispaced(4, 0.08), lines, (3.1, 3.4)),
    Row(masks.CartesianEquispacedFraction(4, 0.08), lines, (3.9, 4.2)),
    Row(masks.CartesianMagic(4, 0.08), lines, (3.1, 3.4)),
    Row(masks.CartesianMagicFraction(4, 0.08), lines, (4.2, 4.5)),
    Row(masks.CartesianNormal(4, 0.08), lines, (3.85, 3.9)),
    Row(masks.Gaussian1D(4, 0.08), lines, (4, 4)),
    Row(masks.Gaussian2D(4, 0.08), points, (4, 4)),
    Row(masks.KtInterleaved(4, 0.08), cine, (3.2, 3.3)),
    Row(masks.KtRandom(4, 0.08), cine, (4, 4)),
    Row(masks.PartialFourier(0.75), lines, (1.33, 1.34)),
    Row(masks.PartialFourier(0.75, side="high", axis="y"), rows_of_lines, (1.33, 1.34)),
    Row(masks.PartialFourier(0.75, pattern=masks.PoissonDisc((4, 4), (0.1, 0.05))), points, (4, 5.4)),
    Row(masks.PoissonDisc(4, 0.08), points, (4, 4)),
    Row(masks.PoissonDisc(1.3, 0.08, corners=True), points, (1.3, 1.301)),
    Row(masks.Radial(4, 0.08), points, (3.8, 4.2)),
    Row(masks.Radial(4, 0.08, order="uniform"), points, (3.8, 4.2)),
    Row(masks.Spiral(4, 0.08), points, (3.88, 4.12)),
    Row(masks.Spiral(4, 0.08, interleaves=3, power=2.0), points, (3.88, 4.12)),
]
each_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: type(row.pattern).__name__)

WITH_ACCELERATION = list({type(row.pattern): None for row in ROWS if hasattr(row.pattern, "acceleration")})
each_pattern: Any = pytest.mark.parametrize("pattern", WITH_ACCELERATION, ids=lambda pattern: pattern.__name__)

SPOKES = masks.radial_trajectory((9, 13), spokes=5, samples=7)
FUNCTIONS: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
    "density": (lambda: masks.density(masks.CartesianRandom(2, 0.5), (4, 8)), (1, 8)),
    "density_compensation": (lambda: masks.density_compensation(SPOKES), (5, 7)),
    "drawn_masks": (lambda: masks.drawn_masks(masks.CartesianRandom(2, 0.5), (4, 8), 3), (3, 1, 8)),
    "incoherence": (lambda: masks.incoherence(np.eye(5)), ()),
    "radial_density": (lambda: masks.radial_density(SPOKES), (5, 7)),
    "radial_trajectory": (lambda: SPOKES, (5, 7, 2)),
    "realised_acceleration": (lambda: masks.realised_acceleration(np.eye(5)), ()),
    "spiral_trajectory": (lambda: masks.spiral_trajectory((9, 13), 2.0, 3, samples=7), (3, 7, 2)),
}


def test_every_export_has_a_row() -> None:
    assert {type(row.pattern).__name__ for row in ROWS} | set(FUNCTIONS) == set(masks.__all__)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_return_finite_arrays_or_numbers(name: str) -> None:
    call, shape = FUNCTIONS[name]
    result = call()
    assert np.shape(result) == shape
    assert np.isfinite(result).all()
    assert isinstance(result, float) or result.dtype == np.float32


@each_row
@pytest.mark.parametrize("size", SIZES)
def test_shape_dtype_values_and_broadcasting(row: Row, size: tuple[int, int]) -> None:
    mask = row.pattern((3, *size), "file.h5")
    assert mask.shape == row.shape(*size)
    assert mask.dtype == np.float32
    assert set(np.unique(mask)) == {0.0, 1.0}
    frames = (16,) if mask.ndim == 3 else ()
    assert np.broadcast_shapes(mask.shape, (*frames, *size)) == (*frames, *size)


@each_row
def test_the_seed_determines_the_mask(row: Row) -> None:
    size = (45, 64)
    before = np.random.get_state(legacy=False)["state"]["key"].copy()
    for seed in ("file.h5", 7, (7, 0, 3)):
        np.testing.assert_array_equal(row.pattern(size, seed), row.pattern((5, *size), seed))
    np.testing.assert_array_equal(row.pattern(size, "file.h5"), row.pattern(size, tuple(map(ord, "file.h5"))))
    different = {row.pattern(size, seed).tobytes() for seed in range(12)}
    assert len(different) > 1 or row.pattern in (masks.PartialFourier(0.75), masks.PartialFourier(0.75, "high", "y"))
    np.testing.assert_array_equal(before, np.random.get_state(legacy=False)["state"]["key"])


@each_row
def test_realised_acceleration_is_in_its_range(row: Row) -> None:
    realised = [masks.realised_acceleration(row.pattern((96, 128), seed)) for seed in range(10)]
    assert row.realised[0] <= min(realised)
    assert max(realised) <= row.realised[1]


@each_row
def test_settings_are_frozen_hashable_and_equal(row: Row) -> None:
    pattern: Any = row.pattern
    assert len({pattern, dataclasses.replace(pattern)}) == 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        pattern.acceleration = 2


def assert_center_is_sampled(pattern: Mask, size: tuple[int, int], seed: int) -> None:
    """Assert that the central ``round(size * calibration_fraction)`` lines along each axis are sampled."""
    fraction = pattern.calibration_fraction
    assert fraction is not None
    counts = [round(n * fraction) for n in size]
    rows, columns = (slice((n - count + 1) // 2, (n + count + 1) // 2) for n, count in zip(size, counts))
    full = np.broadcast_to(pattern(size, seed), (16, *size))
    assert full[:, rows, columns].all(), f"{pattern} of {size}, seed {seed}"
    assert full[:, size[0] // 2, size[1] // 2].all(), "the sample at frequency zero"


@each_row
def test_the_calibration_fraction_is_really_sampled(row: Row) -> None:
    default = type(row.pattern)()
    for pattern in (row.pattern, default):
        assert round(150 * (pattern.calibration_fraction or 0)) >= 2
        for size in [*SIZES, (150, 161)]:
            for seed in range(3):
                assert_center_is_sampled(pattern, size, seed)


@each_row
def test_masks_are_zero_outside_the_padding(row: Row) -> None:
    plain, padded = (row.pattern((64, 60), 3, padding) for padding in (None, (5, 51)))
    plain = np.broadcast_to(plain, padded.shape)
    assert not padded[..., :5].any()
    assert not padded[..., 51:].any()
    np.testing.assert_array_equal(padded[..., 5:51], plain[..., 5:51])
    with pytest.raises(ValueError, match="padding must be"):
        row.pattern((64, 60), 3, padding=(41, 5))


@each_row
@pytest.mark.parametrize("shape", [(45,), (8, 0)])
def test_bad_shapes(row: Row, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="shape must be"):
        row.pattern(shape, 0)


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, (), (1, -2), "", None])
@each_pattern
def test_bad_seeds(pattern: Any, seed: Any) -> None:
    with pytest.raises(ValueError, match="seed must be"):
        pattern()((45, 45), seed)


@each_pattern
def test_choices_are_drawn_in_pairs(pattern: Any) -> None:
    mask = pattern((2, 8), (0.1, 0.05))
    assert mask.calibration_fraction == 0.05
    counts = [int(mask((48, 48), seed).sum()) for seed in range(8)]
    assert max(counts) > 1.8 * min(counts)
    np.testing.assert_array_equal(pattern((4,), (0.08,))((45, 64), "a.h5"), pattern(4, 0.08)((45, 64), "a.h5"))


@each_pattern
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
def test_bad_settings(pattern: Any, acceleration: Any, center_fraction: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pattern(acceleration, center_fraction)
