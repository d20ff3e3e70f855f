"""GRAPPA: exact for spatial harmonics, better than zero-filled otherwise, and input that it rejects."""

import jax.numpy as jnp
import numpy as np
import pytest

from deqjax.data import birdcage_maps, phantom_image
from deqjax.masks import CartesianEquispaced, CartesianRandom
from deqjax.metrics import psnr
from deqjax.physics import fft2c, grappa, ifft2c, rss
from deqjax.physics.parallel_imaging import RegularPattern, regular_pattern


def lines(width: int, step: int, first: int, number: int) -> np.ndarray:
    mask = np.zeros((1, width), np.float32)
    mask[:, first::step] = 1
    mask[:, (width - number) // 2 : (width + number) // 2] = 1
    return mask


def harmonic_coils(coils: int, shape: tuple[int, int]) -> np.ndarray:
    """K-space of coils that are spatial harmonics: a line of one coil equals the neighbouring line of the next coil."""
    rng, (y, x) = np.random.default_rng(0), shape
    image = np.zeros(shape, complex)  # zero near the edges of the image and of k-space
    inner = rng.normal(size=(y, x // 2, 2)) @ [1, 1j]
    image[:, x // 4 : x // 4 + x // 2] = inner
    kspace = np.array(fft2c(jnp.asarray(image)))
    kspace[:, : x // 8], kspace[:, -x // 8 :] = 0, 0
    band_limited = ifft2c(jnp.asarray(kspace))
    harmonics = jnp.exp(2j * np.pi * np.arange(coils)[:, None, None] * np.arange(x) / x)
    return np.asarray(fft2c(harmonics * band_limited))


@pytest.mark.parametrize(("step", "first"), [(2, 1), (3, 0)])
def test_exact_for_spatial_harmonics(step: int, first: int, float64: None) -> None:
    kspace = harmonic_coils(step + 1, (12, 48))
    mask = lines(48, step, first, 16)
    filled = np.asarray(grappa(jnp.asarray(mask * kspace), mask, kernel=(3, 4), ridge=1e-12))
    assert np.linalg.norm(mask * kspace - kspace) > 0.3 * np.linalg.norm(kspace)
    assert np.linalg.norm(filled - kspace) < 1e-4 * np.linalg.norm(kspace)


def test_psnr_rises_by_ten_decibels_and_measured_samples_do_not_change() -> None:
    shape = (64, 65)
    image = jnp.asarray(phantom_image(1, (2, *shape)))
    kspace = np.asarray(fft2c(jnp.asarray(birdcage_maps(8, shape)) * image[:, None]))
    mask = CartesianEquispaced(acceleration=3, center_fraction=0.25)(shape, seed=1)
    measured = jnp.asarray(mask * kspace)
    filled = grappa(measured, mask)
    np.testing.assert_array_equal(mask * filled, measured)
    score = lambda kspace: float(psnr(rss(ifft2c(kspace)), jnp.abs(image)))
    assert score(filled) > score(measured) + 10
    np.testing.assert_allclose(grappa(1e5 * measured[1], mask), 1e5 * filled[1], rtol=1e-2, atol=50)


def test_fully_sampled_and_all_zero_kspace_do_not_change() -> None:
    kspace = jnp.ones((2, 6, 16), complex)
    np.testing.assert_array_equal(grappa(kspace, np.ones(16)), kspace)
    assert not grappa(0 * kspace, lines(16, 2, 0, 8), kernel=(3, 2)).any()


def test_regular_pattern_finds_acceleration_and_calibration_lines() -> None:
    assert regular_pattern(lines(40, 4, 1, 10)[0] > 0) == RegularPattern(4, 1, 10, 15, 11)  # line 25 is the eleventh
    padded = lines(40, 4, 1, 10)[0] > 0
    padded[:7] = False
    assert regular_pattern(padded) == RegularPattern(4, 9, 8, 15, 11)


def coil_scan(coils: int, shape: tuple[int, int]) -> np.ndarray:
    image = phantom_image(1, (1, *shape))[0]
    return np.asarray(fft2c(jnp.asarray(birdcage_maps(coils, shape) * image)))


@pytest.mark.parametrize(("width", "step"), [(64, 2), (65, 2), (64, 3), (96, 4)])
@pytest.mark.parametrize("side", ["low", "high"])
def test_lines_beside_a_calibration_run_at_the_end_of_the_samples(width: int, step: int, side: str) -> None:
    kspace = coil_scan(6, (48, width))
    first = width // 2 % step
    full = lines(width, step, first, 24)[0] > 0
    run = np.flatnonzero(full & np.roll(full, 1) & np.roll(full, -1))
    part = full & (np.arange(width) <= run[-1] + 1 if side == "low" else np.arange(width) >= run[0] - 1)
    every, some = (np.asarray(grappa(jnp.asarray(kspace * mask), mask, ridge=1e-4)) for mask in (full, part))
    error = lambda found, where: np.linalg.norm((found - kspace)[..., where]) / np.linalg.norm(kspace[..., where])
    sampled = np.flatnonzero(part)
    between = ~part & (np.arange(width) > sampled[0]) & (np.arange(width) < sampled[-1])
    assert error(some, between) < 1.1 * error(every, between)
    beyond = ~part & ~between & ((np.arange(width) < sampled[0] - step) | (np.arange(width) > sampled[-1] + step))
    assert beyond.any()
    np.testing.assert_array_equal(some[..., beyond], 0)  # nothing is extrapolated past the data


def test_nothing_is_extrapolated_but_the_lines_at_the_edge_are_filled() -> None:
    kspace, mask = coil_scan(6, (32, 48)), lines(48, 3, 2, 16)
    cut = mask.copy()
    cut[:, 41:] = 0
    filled = np.asarray(grappa(jnp.asarray(cut * kspace), cut, kernel=(3, 4)))
    assert np.abs(filled[..., [0, 1, 3, 4]]).min(axis=(0, 1)).min() > 0
    np.testing.assert_array_equal(filled[..., np.flatnonzero(cut)[-1] + 1 :], 0)


def test_the_units_of_grappa_do_not_matter() -> None:
    kspace, mask = coil_scan(4, (24, 40)), lines(40, 2, 0, 12)
    expected = np.asarray(grappa(jnp.asarray(mask * kspace), mask, kernel=(3, 4)))
    for exponent in (-100, -40, 40, 100):
        scale = np.float32(2.0**exponent)
        found = np.asarray(grappa(jnp.asarray(mask * kspace * scale), mask, kernel=(3, 4))) / scale
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


KSPACE = jnp.ones((2, 8, 40), complex)


@pytest.mark.parametrize(
    ("kspace", "mask", "kernel", "message"),
    [
        (KSPACE[0], lines(40, 2, 0, 8), (5, 4), r"axes \(..., coil, y, x\)"),
        (KSPACE, np.ones((8, 40)), (5, 4), r"\(8, 40\) must be \(1, x\)"),
        (KSPACE, lines(40, 2, 0, 8), (4, 4), r"kernel must be \(odd, even\)"),
        (KSPACE, lines(40, 2, 0, 8), (9, 4), "at most y = 8"),
        (KSPACE, lines(40, 4, 0, 8), (5, 4), "9 calibration lines; a kernel of 4 lines at acceleration 4 spans 13"),
        (KSPACE, CartesianRandom(4, 0.1)((8, 40), seed=0), (3, 2), "not regular"),
        (KSPACE, np.zeros(40), (3, 2), "not regular"),
    ],
)
def test_grappa_rejects_unsuitable_input(kspace, mask, kernel, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        grappa(kspace, mask, kernel)
