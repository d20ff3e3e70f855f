"""Tests of random augmentation: each change does what it says and nothing else."""

import numpy as np
import pytest

from deqjax.data import Augment, birdcage_maps, phantom_volume
from deqjax.data.fourier_numpy import fft2c, ifft2c

SINGLE = phantom_volume(0, (1, 24, 17)).kspace[0]
MULTI = phantom_volume(0, (1, 24, 17), coils=3).kspace[0]


def draws(augment, kspace, count=24):
    """Return the images of an augmented slice for several seeds."""
    return [ifft2c(augment(kspace, np.random.default_rng(seed))) for seed in range(count)]


def test_default_changes_nothing_and_settings_are_hashable():
    assert Augment()(SINGLE, np.random.default_rng(0)) is SINGLE
    assert hash(Augment(crop=(4, 4))) == hash(Augment(crop=(4, 4)))


@pytest.mark.parametrize("kspace", [SINGLE, MULTI], ids=["single", "multi"])
def test_flips_reverse_either_axis(kspace):
    image = ifft2c(kspace)
    found = set()
    for drawn in draws(Augment(flips=True), kspace):
        match = [
            s
            for s in np.ndindex(2, 2)
            if np.allclose(drawn, np.flip(image, tuple(a - 2 for a in (0, 1) if s[a])), atol=1e-5)
        ]
        assert len(match) == 1
        found.add(match[0])
    assert len(found) == 4


def test_transpose_is_applied_to_about_half_of_the_square_images():
    square = Augment(crop=(17, 17), transpose=True)
    plain = Augment(crop=(17, 17))
    same = [np.allclose(a, b, atol=1e-5) for a, b in zip(draws(square, MULTI), draws(plain, MULTI))]
    turned = [np.allclose(a, b.swapaxes(-1, -2), atol=1e-5) for a, b in zip(draws(square, MULTI), draws(plain, MULTI))]
    assert all(a != b for a, b in zip(same, turned))
    assert any(turned)
    assert any(same)


def test_crop_is_a_window_at_a_random_position():
    image = ifft2c(MULTI)
    starts = set()
    for drawn in draws(Augment(crop=(20, 15)), MULTI, 60):
        windows = [
            (i, j)
            for i in range(5)
            for j in range(3)
            if np.allclose(drawn, image[:, i : i + 20, j : j + 15], atol=1e-5)
        ]
        assert len(windows) == 1
        starts.add(windows[0])
    assert {i for i, _ in starts} == set(range(5))
    assert {j for _, j in starts} == set(range(3))


def test_phase_is_smooth_bounded_and_equal_for_all_coils():
    flat = np.ones((24, 17), np.complex64)
    kspace = fft2c(birdcage_maps(3, flat.shape) * flat)
    largest = []
    for drawn in draws(Augment(phase=1.5), kspace):
        turn = drawn / ifft2c(kspace)
        np.testing.assert_allclose(np.abs(turn), 1, atol=1e-5)
        np.testing.assert_allclose(turn, turn[:1].repeat(3, 0), atol=1e-5)
        phase = np.angle(turn[0])
        largest.append(np.abs(phase).max())
        assert np.abs(np.diff(phase, axis=0)).max() < 0.6
    assert max(largest) < 1.5 + 1e-4
    assert max(largest) > 1.0
    assert min(largest) < 0.5


@pytest.mark.parametrize("kspace", [SINGLE, MULTI], ids=["single", "multi"])
def test_gamma_and_gain_change_magnitudes_as_defined(kspace):
    def magnitude(image):
        return np.sqrt((np.abs(image.reshape(-1, 24, 17)) ** 2).sum(axis=0))

    before = magnitude(ifft2c(kspace))
    for drawn in draws(Augment(gamma=0.3), kspace, 6):
        after = magnitude(drawn)
        np.testing.assert_allclose(after.max(), before.max(), rtol=1e-4)
        tissue = (before > 0.05 * before.max()) & (before < 0.9 * before.max())
        power = np.log(after[tissue] / after.max()) / np.log(before[tissue] / before.max())
        np.testing.assert_allclose(power, power.mean(), rtol=1e-2)
        assert abs(np.log(power.mean())) <= 0.3
    gains = [magnitude(drawn).max() / before.max() for drawn in draws(Augment(gain=0.5), kspace)]
    assert np.exp(-0.5) <= min(gains) < 0.9
    assert 1.1 < max(gains) <= np.exp(0.5)


def test_slice_of_zeros_stays_finite():
    drawn = Augment(flips=True, phase=1.0, gamma=0.5, gain=0.5)(
        np.zeros((8, 8), np.complex64), np.random.default_rng(0)
    )
    assert not drawn.any()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Augment(phase=-1), "augment.phase"),
        (lambda: Augment(gamma=float("nan")), "augment.gamma"),
        (lambda: Augment(crop=(0, 4)), "augment.crop must be"),
        (lambda: Augment(crop=(5, 4), transpose=True), "needs a square augment.crop"),
        (lambda: Augment(transpose=True)(SINGLE, np.random.default_rng(0)), "needs square images"),
        (lambda: Augment(crop=(25, 4))(SINGLE, np.random.default_rng(0)), "larger than the image"),
    ],
)
def test_invalid_settings_raise(make, message):
    with pytest.raises(ValueError, match=message):
        make()
