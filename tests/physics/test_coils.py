"""Coil combination, coil compression and prewhitening."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deqjax.data import birdcage_maps, phantom_image
from deqjax.physics import (
    combine_coils,
    compress_coils,
    compression_matrix,
    fft2c,
    ifft2c,
    prewhiten,
    rss,
    whitening_matrix,
)


def test_rss_is_the_root_of_the_sum_of_squares_over_one_axis() -> None:
    images = jnp.asarray(np.random.default_rng(0).normal(size=(2, 3, 4, 5, 2)) @ [1, 1j], complex)
    np.testing.assert_allclose(rss(images), np.sqrt(np.sum(np.abs(images) ** 2, axis=1)), rtol=1e-6)
    np.testing.assert_allclose(rss(images, axis=0), np.sqrt(np.sum(np.abs(images) ** 2, axis=0)), rtol=1e-6)


def test_rss_has_a_finite_gradient_at_zero() -> None:
    images = jnp.zeros((3, 2, 2), complex).at[:, 0, 0].set(3 + 4j)
    gradient = jax.jit(jax.grad(lambda images: jnp.sum(rss(images))))(images)
    assert jnp.all(jnp.isfinite(gradient))
    np.testing.assert_allclose(gradient[:, 0, 0], (3 - 4j) / (5 * 3**0.5), rtol=1e-5)


def test_combine_coils_gives_the_image_of_the_coil_images() -> None:
    image, smaps = jnp.asarray(phantom_image(3, (1, 64, 64))[0]), jnp.asarray(birdcage_maps(4, (64, 64)))
    np.testing.assert_allclose(combine_coils(ifft2c(fft2c(smaps * image)), smaps), image, atol=1e-5)


def coil_kspace(coils: int) -> jax.Array:
    image = jnp.asarray(phantom_image(3, (1, 48, 45))[0])
    return fft2c(jnp.asarray(birdcage_maps(coils, (48, 45))) * image)


@pytest.mark.parametrize("coils", [1, 4])
def test_compression_keeps_the_largest_singular_values(coils: int) -> None:
    kspace = coil_kspace(6) * 1e-6
    values = np.linalg.svd(np.asarray(kspace, np.complex128).reshape(6, -1), compute_uv=False)
    compressed = np.asarray(compress_coils(kspace, coils), np.complex128)
    np.testing.assert_allclose(np.linalg.norm(compressed, axis=(1, 2)), values[:coils], rtol=1e-3)
    matrix = np.asarray(compression_matrix(kspace, coils))
    np.testing.assert_allclose(matrix @ matrix.conj().T, np.eye(coils), atol=1e-5)


def test_compression_to_two_thirds_of_the_coils_hardly_changes_the_image() -> None:
    kspace = coil_kspace(6)
    full, compressed = (rss(ifft2c(k)) for k in (kspace, compress_coils(kspace, 4)))
    assert jnp.linalg.norm(compressed - full) < 0.03 * jnp.linalg.norm(full)
    np.testing.assert_allclose(rss(ifft2c(compress_coils(kspace, 6))), full, atol=1e-5)


@pytest.mark.parametrize("exponent", [-100, -40, 40, 100])
def test_the_units_do_not_matter(exponent: int) -> None:
    rng, scale = np.random.default_rng(0), jnp.float32(2.0**exponent)
    kspace = jnp.asarray(rng.normal(size=(4, 5, 6, 2)) @ [1, 1j], jnp.complex64)
    np.testing.assert_array_equal(rss(scale * kspace), scale * rss(kspace))
    np.testing.assert_array_equal(compression_matrix(scale * kspace, 2), compression_matrix(kspace, 2))
    gradient = jax.grad(lambda kspace: jnp.sum(rss(kspace)))
    np.testing.assert_allclose(gradient(scale * kspace), gradient(kspace), rtol=1e-6)


def test_slices_share_one_compression_matrix() -> None:
    volume = jnp.stack([coil_kspace(6), 2j * coil_kspace(6)])
    matrix = compression_matrix(volume, 2)
    expected = np.einsum("ij,sjyx->siyx", matrix, volume)
    np.testing.assert_allclose(compress_coils(volume, 2), expected, atol=1e-4)
    assert compress_coils(jnp.zeros((4, 8, 8), complex), 2).shape == (2, 8, 8)
    assert jnp.all(compress_coils(jnp.zeros((4, 8, 8), complex), 2) == 0)


@pytest.mark.parametrize(
    ("shape", "coils", "message"),
    [((4, 4), 1, r"\(4, 4\)"), ((3, 4, 4), 0, r"1 .. 3.*got 0"), ((3, 4, 4), 4, r"1 .. 3.*got 4")],
)
def test_compression_rejects_wrong_input(shape: tuple[int, ...], coils: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compress_coils(jnp.ones(shape, complex), coils)


def correlated_noise(coils: int = 5, samples: int = 400, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(coils, coils)) + 1j * rng.normal(size=(coils, coils))
    return mixing @ (rng.normal(size=(coils, samples)) + 1j * rng.normal(size=(coils, samples)))


@pytest.mark.parametrize("samples", [5, 401, 1000])
def test_whitened_noise_has_the_covariance_identity(samples: int) -> None:
    noise = correlated_noise(samples=samples) * np.array([1e-9, 1, 1, 1e3, 1e6])[:, None]
    white = whitening_matrix(noise) @ noise
    np.testing.assert_allclose(white @ white.conj().T / samples, np.eye(5), atol=1e-8)


def test_whitening_scales_with_the_noise_and_accepts_any_number_of_sample_axes() -> None:
    noise = correlated_noise()
    np.testing.assert_allclose(whitening_matrix(3 * noise), whitening_matrix(noise) / 3, rtol=1e-9)
    np.testing.assert_allclose(whitening_matrix(noise.reshape(5, 20, 20)), whitening_matrix(noise), rtol=1e-9)


@pytest.mark.parametrize("lead", [(), (3,)])
def test_prewhiten_applies_the_whitening_matrix_to_every_slice(lead: tuple[int, ...]) -> None:
    noise = correlated_noise(samples=7 * 9 * 30)
    one = correlated_noise(samples=7 * 9).reshape(5, 7, 9)
    kspace = np.broadcast_to(one, (*lead, *one.shape))
    white = prewhiten(jnp.asarray(kspace, complex), noise)
    assert white.shape == kspace.shape
    expected = np.einsum("ij,...jyx->...iyx", whitening_matrix(noise), kspace)
    np.testing.assert_allclose(white, expected, atol=1e-4)


def test_prewhiten_equals_sigpy_with_its_covariance_divided_by_the_samples() -> None:
    util = pytest.importorskip("sigpy.mri.util")
    noise = correlated_noise()
    noise -= noise.mean(axis=1, keepdims=True)  # sigpy subtracts the mean
    kspace = correlated_noise(samples=20, seed=3).reshape(5, 4, 5)
    theirs = util.whiten(kspace, util.get_cov(noise.copy()) / noise.shape[1])
    ours = prewhiten(jnp.asarray(kspace, complex), noise)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("noise", "message"),
    [
        (np.ones(5), r"noise must be \(coil, samples"),
        (np.ones((5, 4)), "4 samples for 5 coils"),
        (np.full((5, 40), np.nan), "NaN"),
        (np.vstack([correlated_noise()[:4], np.zeros(400)]), "zero throughout in coil 4"),
        (np.vstack([correlated_noise()[:4], 2 * correlated_noise()[:1]]), "combination of the others"),
        (correlated_noise(4), r"\(5, 4, 4\).*same number of coils"),
    ],
)
def test_prewhitening_rejects_unsuitable_noise(noise: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        prewhiten(jnp.ones((5, 4, 4), complex), noise)
