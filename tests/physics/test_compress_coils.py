"""Virtual coils: energy kept, agreement with the singular values, and what is refused."""

import jax.numpy as jnp
import numpy as np
import pytest

from deqjax.data import birdcage_maps, phantom_image
from deqjax.physics import compress_coils, compression_matrix, fft2c, ifft2c, rss


def kspace_of(coils: int) -> jnp.ndarray:
    image = jnp.asarray(phantom_image(3, (1, 48, 45))[0])
    return fft2c(jnp.asarray(birdcage_maps(coils, (48, 45))) * image)


@pytest.mark.parametrize("coils", [1, 4])
def test_what_is_lost_is_the_rest_of_the_singular_values(coils: int) -> None:
    kspace = kspace_of(6) * 1e-6
    values = np.linalg.svd(np.asarray(kspace, np.complex128).reshape(6, -1), compute_uv=False)
    compressed = np.asarray(compress_coils(kspace, coils), np.complex128)
    np.testing.assert_allclose(np.linalg.norm(compressed, axis=(1, 2)), values[:coils], rtol=1e-3)
    matrix = np.asarray(compression_matrix(kspace, coils))
    np.testing.assert_allclose(matrix @ matrix.conj().T, np.eye(coils), atol=1e-5)


def test_two_thirds_of_the_coils_give_nearly_the_same_image() -> None:
    kspace = kspace_of(6)
    full, half = (rss(ifft2c(k)) for k in (kspace, compress_coils(kspace, 4)))
    assert jnp.linalg.norm(half - full) < 0.03 * jnp.linalg.norm(full)
    np.testing.assert_allclose(rss(ifft2c(compress_coils(kspace, 6))), full, atol=1e-5)


def test_slices_share_one_matrix() -> None:
    volume = jnp.stack([kspace_of(6), 2j * kspace_of(6)])
    matrix = compression_matrix(volume, 2)
    expected = np.einsum("ij,sjyx->siyx", matrix, volume)
    np.testing.assert_allclose(compress_coils(volume, 2), expected, atol=1e-4)
    assert compress_coils(jnp.zeros((4, 8, 8), complex), 2).shape == (2, 8, 8)
    assert jnp.all(compress_coils(jnp.zeros((4, 8, 8), complex), 2) == 0)


@pytest.mark.parametrize(
    ("shape", "coils", "message"),
    [((4, 4), 1, r"\(4, 4\)"), ((3, 4, 4), 0, r"1 .. 3.*got 0"), ((3, 4, 4), 4, r"1 .. 3.*got 4")],
)
def test_bad_input(shape: tuple[int, ...], coils: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compress_coils(jnp.ones(shape, complex), coils)
