"""The centred Fourier transform against NumPy and sigpy, and filtering without shifts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_arrays import random_complex

from deqjax.physics import fft2c, filter_frequencies, ifft2c

SHAPES = [(8, 10), (8, 9), (7, 9), (3, 7, 10), (3, 2, 5, 7), (1, 4)]


@pytest.mark.parametrize("shape", SHAPES)
def test_transforms_equal_numpy_and_sigpy(shape: tuple[int, ...], float64: None) -> None:
    sigpy = pytest.importorskip("sigpy")
    image, axes = random_complex(shape), (-2, -1)
    numpy_kspace = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(image, axes), norm="ortho"), axes)
    numpy_image = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(image, axes), norm="ortho"), axes)
    np.testing.assert_allclose(fft2c(image), numpy_kspace, atol=1e-12)
    np.testing.assert_allclose(ifft2c(image), numpy_image, atol=1e-12)
    np.testing.assert_allclose(fft2c(image), sigpy.fft(np.asarray(image), axes=axes), atol=1e-12)
    np.testing.assert_allclose(ifft2c(image), sigpy.ifft(np.asarray(image), axes=axes), atol=1e-12)
    np.testing.assert_allclose(ifft2c(fft2c(image)), image, atol=1e-12)


def test_the_batch_axis_is_not_shifted() -> None:
    image = jnp.zeros((3, 5, 5), complex).at[1].set(1.0)
    energy = jnp.sum(jnp.abs(fft2c(image)) ** 2, axis=(-2, -1))
    np.testing.assert_allclose(energy, [0, 25, 0], atol=1e-5)
    assert int(jnp.argmax(jnp.abs(fft2c(image)[1]))) == 2 * 5 + 2, "the mean lies at (y // 2, x // 2)"


@pytest.mark.parametrize("shape", SHAPES)
def test_filter_frequencies_equals_the_centred_pair_of_transforms(shape: tuple[int, ...], float64: None) -> None:
    image = random_complex(shape)
    for weight_shape in ((shape[-1],), (1, shape[-1]), (shape[-2], 1), shape[-2:], shape):
        weight = jnp.asarray(np.random.default_rng(1).uniform(size=weight_shape))
        expected = ifft2c(weight * fft2c(image))
        np.testing.assert_allclose(filter_frequencies(image, weight), expected, atol=1e-12)


def test_single_precision_is_preserved_and_parseval_holds() -> None:
    image = random_complex((3, 7, 9)).astype(jnp.complex64)
    assert fft2c(image).dtype == ifft2c(image).dtype == jnp.complex64
    np.testing.assert_allclose(jnp.vdot(image, image), jnp.vdot(fft2c(image), fft2c(image)), rtol=1e-5)
    assert fft2c(image.real).dtype == jnp.complex64
    np.testing.assert_allclose(jax.jit(fft2c)(image), fft2c(image), atol=1e-6)
