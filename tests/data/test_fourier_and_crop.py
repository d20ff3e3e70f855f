"""Tests of the Fourier transform in NumPy and of the four crops."""

import numpy as np
import pytest

from deqjax.data import crop_field_of_view, crop_image, crop_kspace, lower_resolution
from deqjax.data.fourier_numpy import fft2c, ifft2c


def noise(*shape):
    rng = np.random.default_rng(0)
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64)


def dft(size):
    """Return the matrix of the centred orthonormal transform, by its definition."""
    n = np.arange(size) - size // 2
    return np.exp(-2j * np.pi * np.outer(n, n) / size) / np.sqrt(size)


@pytest.mark.parametrize("shape", [(8, 6), (7, 5), (3, 7, 6), (2, 3, 5, 8)])
def test_transform_is_the_centred_dft_over_the_last_two_axes(shape):
    image = noise(*shape)
    expected = dft(shape[-2]) @ image @ dft(shape[-1]).T
    assert fft2c(image).dtype == np.complex64
    np.testing.assert_allclose(fft2c(image), expected, atol=2e-6)
    np.testing.assert_allclose(ifft2c(fft2c(image)), image, atol=2e-6)


@pytest.mark.parametrize("size", [8, 9])
@pytest.mark.parametrize("keep", [4, 5])
def test_crop_image_follows_fastmri_and_crop_kspace_keeps_the_centre(size, keep):
    data = np.arange(size)[None].repeat(3, 0)
    assert crop_image(data, (3, keep))[0, 0] == (size - keep) // 2
    assert crop_kspace(data, (3, keep))[0, keep // 2] == size // 2


@pytest.mark.parametrize("size", [16, 15])
@pytest.mark.parametrize("keep", [10, 11])
def test_crop_field_of_view_crops_the_image(size, keep):
    image = noise(2, size, size)
    small = ifft2c(crop_field_of_view(fft2c(image), (keep, keep)))
    np.testing.assert_allclose(small, crop_image(image, (keep, keep)), atol=3e-6)


@pytest.mark.parametrize("size", [16, 15])
@pytest.mark.parametrize("keep", [8, 9])
def test_lower_resolution_keeps_positions_and_intensity(size, keep):
    """A wave that both grids resolve has the same values at the same positions in the field of view."""
    wave = lambda n: 2 + np.exp(2j * np.pi * 2 * ((np.arange(n) - n // 2) / n))
    image = (wave(size)[:, None] * wave(size)).astype(np.complex64)
    small = ifft2c(lower_resolution(fft2c(image), (keep, keep)))
    np.testing.assert_allclose(small, wave(keep)[:, None] * wave(keep), atol=1e-5)


@pytest.mark.parametrize("crop", [crop_image, crop_kspace, crop_field_of_view, lower_resolution])
def test_full_size_changes_nothing_and_a_larger_size_raises(crop):
    data = noise(3, 7, 6)
    np.testing.assert_allclose(crop(data, (7, 6)), data, atol=2e-6)
    for shape in ((8, 6), (7, 7), (0, 6)):
        with pytest.raises(ValueError, match=r"cannot crop .*shape \(3, 7, 6\)"):
            crop(data, shape)
    with pytest.raises(ValueError, match="the crop"):
        crop(data, (3,))
