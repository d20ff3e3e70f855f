"""What holds for every pattern beyond fastMRI's: shape, centre, number of samples, seeds, padding, bad input."""

import dataclasses
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest

from deqjax import masks
from deqjax.physics import Sense
from deqjax.physics.sensitivities import calibration_size
from deqjax.training import center_fraction_of
from deqjax.types import Mask

LINES = [masks.Gaussian1D]
PLANES = [masks.Gaussian2D, masks.PoissonDisc, masks.Radial, masks.Spiral]
CINE = [masks.KtRandom, masks.KtInterleaved]
SIZES = [(64, 64), (41, 53), (54, 37)]


def shape_of(pattern: type, size: tuple[int, int]) -> tuple[int, ...]:
    if pattern in CINE:
        return (16, 1, size[1])
    return size if pattern in PLANES else (1, size[1])


@pytest.mark.parametrize("pattern", LINES + PLANES + CINE)
@pytest.mark.parametrize("size", SIZES)
def test_shape_values_centre_and_seeds(pattern: type, size: tuple[int, int]) -> None:
    mask: Mask = pattern(4, 0.1)
    before = np.random.get_state()[1].copy()
    first = mask((3, *size), "file.h5")
    assert first.shape == shape_of(pattern, size)
    assert first.dtype == np.float32
    assert set(np.unique(first)) == {0.0, 1.0}
    np.testing.assert_array_equal(first, mask(size, tuple(map(ord, "file.h5"))))
    assert len({mask(size, seed).tobytes() for seed in range(12)}) > 1
    np.testing.assert_array_equal(before, np.random.get_state()[1])
    rows, columns = (slice(start, start + n) for start, n in (calibration_size(s, 0.1) for s in size))
    for seed in range(3):
        full = np.broadcast_to(mask(size, seed), (first.shape[0] if pattern in CINE else 1, *size))
        assert full[:, rows, columns].all(), "the calibration square"
        assert full[:, size[0] // 2, size[1] // 2].all(), "the sample at frequency zero"


@pytest.mark.parametrize("pattern", [masks.Gaussian1D, masks.Gaussian2D, masks.PoissonDisc, masks.KtRandom])
@pytest.mark.parametrize("acceleration", [1.5, 4, 7.3])
def test_the_number_of_samples_is_exact(pattern: type, acceleration: float) -> None:
    for size in SIZES:
        mask = pattern(acceleration, 0.06)(size, 1)
        for frame in mask.reshape(-1, *(mask.shape[-2:] if mask.ndim == 2 else mask.shape[-1:])):
            assert frame.sum() == round(frame.size / acceleration)


@pytest.mark.parametrize("pattern", [masks.Radial, masks.Spiral])
@pytest.mark.parametrize(("acceleration", "tolerance"), [(2, 0.05), (4, 0.05), (8, 0.06)])
def test_realised_acceleration_of_spokes_and_spirals(pattern: type, acceleration: float, tolerance: float) -> None:
    for seed in range(3):
        realised = masks.realised_acceleration(pattern(acceleration)((128, 128), seed))
        assert realised == pytest.approx(acceleration, rel=tolerance)


def test_interleaved_frames_together_sample_every_line_once() -> None:
    mask = masks.KtInterleaved(acceleration=5, center_fraction=1e-6, frames=11)((8, 43), 3)[:, 0]
    without_center = np.delete(mask, 43 // 2, axis=1)
    for first in range(11 - 5):
        assert (without_center[first : first + 5].sum(axis=0) == 1).all()
    assert mask[:, 43 // 2].all()
    assert mask.shape == (11, 43)


def test_a_cine_is_a_batch_with_a_mask_for_each_frame() -> None:
    rng = np.random.default_rng(0)
    cine, smaps = (rng.normal(size=(*lead, 9, 20)) + 1j * rng.normal(size=(*lead, 9, 20)) for lead in ((3,), (2,)))
    mask = masks.KtInterleaved(4, 0.1, frames=3)((9, 20), 0)
    kspace = np.asarray(Sense(jnp.asarray(smaps), jnp.asarray(mask)).forward(jnp.asarray(cine)))
    for frame in range(3):
        alone = Sense(jnp.asarray(smaps), jnp.asarray(mask[frame])).forward(jnp.asarray(cine[frame]))
        np.testing.assert_allclose(kspace[frame], alone, atol=1e-5)
        assert not kspace[frame][..., mask[frame, 0] == 0].any()


def test_frames_of_a_random_cine_differ_and_each_is_dense_in_the_middle() -> None:
    mask = masks.KtRandom(acceleration=4, center_fraction=0.04, frames=40, spread=1 / 6)((8, 80), 0)[:, 0]
    assert len({frame.tobytes() for frame in mask}) == 40
    assert mask[:, 20:60].sum() > 3 * (mask[:, :20].sum() + mask[:, 60:].sum())


@pytest.mark.parametrize(("pattern", "axis"), [(masks.Gaussian1D, (0,)), (masks.Gaussian2D, (0, 1))])
def test_the_spread_is_that_of_the_density(pattern: type, axis: tuple[int, ...]) -> None:
    """Few draws from a narrow density: their standard deviation is ``spread`` of the size."""
    shape = (8, 400) if len(axis) == 1 else (120, 160)
    drawn = np.mean([pattern(50, 1e-6, spread=0.1)(shape, seed) for seed in range(100)], axis=0)
    drawn[..., shape[1] // 2] = 0  # the centre, which is not drawn
    x = (np.arange(shape[1]) - shape[1] // 2) / shape[1]
    assert np.sqrt((drawn.sum(axis=0) * x**2).sum() / drawn.sum()) == pytest.approx(0.1, rel=0.1)


def test_partial_fourier_keeps_one_side_alone_and_over_a_pattern() -> None:
    low, high = (masks.PartialFourier(0.6, side=side)((4, 10), 0)[0] for side in ("low", "high"))
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
def test_the_middle_of_partial_fourier_is_sampled(size: int, side: str) -> None:
    for fraction in (0.55, 0.625, 0.75, 1.0):
        mask = masks.PartialFourier(fraction, side=side)
        start, number = calibration_size(size, mask.center_fraction)
        lines = mask((4, size), 0)[0]
        assert lines[start : start + number].all()
        assert lines.sum() == pytest.approx(fraction * size, abs=1)


def test_every_pattern_tells_its_calibration_region() -> None:
    found = [getattr(masks, name) for name in masks.__all__]
    patterns = [cls for cls in found if isinstance(cls, type) and dataclasses.is_dataclass(cls)]
    assert len(patterns) >= 14
    for pattern in patterns:
        fraction = center_fraction_of(SimpleNamespace(mask=pattern()))
        rows, columns = (slice(start, start + n) for start, n in (calibration_size(s, fraction) for s in (150, 160)))
        full = np.broadcast_to(pattern()((150, 160), 1), (16 if pattern in CINE else 1, 150, 160))
        assert rows.stop - rows.start >= 2, pattern
        assert full[:, rows, columns].all(), pattern
    nested = masks.PartialFourier(0.75, pattern=masks.PoissonDisc((4, 8), (0.1, 0.05)))
    assert center_fraction_of(SimpleNamespace(mask=nested)) == 0.05


@pytest.mark.parametrize("pattern", [*LINES, *PLANES, *CINE, masks.PartialFourier])
def test_padding_is_zero_outside_and_settings_hash(pattern: type) -> None:
    assert len({pattern(), pattern()}) == 1
    plain, padded = (np.atleast_2d(pattern()((64, 60), 3, padding=padding)) for padding in (None, (5, 51)))
    assert not padded[..., :5].any()
    assert not padded[..., 51:].any()
    np.testing.assert_array_equal(padded[..., 5:51], plain[..., 5:51])
    with pytest.raises(ValueError, match="padding"):
        pattern()((64, 60), 3, padding=(41, 5))
    with pytest.raises(ValueError, match="shape must be"):
        pattern()((45,), 0)


@pytest.mark.parametrize("pattern", LINES + PLANES + CINE)
def test_choices_are_paired(pattern: type) -> None:
    counts = [int(pattern((2, 8), (0.1, 0.05))((48, 48), seed).sum()) for seed in range(8)]
    assert max(counts) > 2 * min(counts)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        *[(lambda p=p: p(0.5, 0.08), "acceleration must be a number of at least 1") for p in LINES + PLANES + CINE],
        *[(lambda p=p: p(4, 0.0), "center_fraction must lie") for p in LINES + PLANES + CINE],
        *[(lambda p=p: p(4, 0.6)((40, 40), 0), "lower acceleration or center") for p in [*LINES, *PLANES]],
        (lambda: masks.KtInterleaved(4.5), "whole number"),
        (lambda: masks.KtRandom(frames=0), "frames must be .* got 0"),
        (lambda: masks.KtInterleaved(frames=2.5), "frames must be"),
        (lambda: masks.Gaussian1D(spread=0.0), "spread must be above 0"),
        (lambda: masks.Gaussian2D(spread=float("inf")), "spread must be above 0"),
        (lambda: masks.Radial(order="random"), "order must be"),
        (lambda: masks.Radial(spokes=0), "spokes must be at least 1, got 0"),
        (lambda: masks.Spiral(interleaves=0), "interleaves must be"),
        (lambda: masks.Spiral(power=-1.0), "power must be"),
        (
            lambda: masks.Radial(1.1)((40, 40), 0),
            r"acceleration 1.1 of the grid \(40, 40\) .*nearest acceleration is 1\.",
        ),
        (lambda: masks.Spiral(1.1)((40, 40), 0), r"nearest acceleration is 1\.\d+; raise acceleration"),
        (lambda: masks.PartialFourier(0.5), r"fraction must lie in \(0.5, 1\], got 0.5"),
        (lambda: masks.PartialFourier(side="left"), "side must be"),
        (lambda: masks.PartialFourier(axis="z"), "axis must be"),
        (lambda: masks.PartialFourier(0.6)((4, 0), 0), "shape must be"),
    ],
)
def test_bad_input(build: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


def test_so_many_spokes() -> None:
    mask = masks.Radial(spokes=3, center_fraction=1e-6, order="uniform")((65, 65), 0)
    assert 3 * 50 < mask.sum() < 3 * 75
    assert masks.Radial(spokes=6, center_fraction=1e-6)((65, 65), 0).sum() > 1.8 * mask.sum()
