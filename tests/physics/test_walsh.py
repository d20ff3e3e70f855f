"""Walsh's maps: eigenvectors of a local covariance, close to the true ones, unmoved by noise."""

import jax.numpy as jnp
import numpy as np
import pytest

from deqjax.data import birdcage_maps, phantom_image
from deqjax.physics import combine_coils, fft2c, ifft2c, low_resolution_smaps, rss, walsh_smaps
from deqjax.physics.coils import low_resolution_images

SHAPE, COILS = (48, 45), 4
IMAGE, TRUE = phantom_image(3, (1, *SHAPE))[0], birdcage_maps(COILS, SHAPE)


def test_a_map_is_the_eigenvector_of_its_block() -> None:
    kspace = fft2c(jnp.asarray(TRUE * IMAGE))
    found, images = walsh_smaps(kspace, 0.5, block=3), np.asarray(low_resolution_images(kspace, 0.5))
    np.testing.assert_allclose(rss(found), 1, atol=1e-5)
    for y, x in ((24, 22), (15, 30), (0, 10), (47, 44)):
        near = images[:, max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2].reshape(COILS, -1)
        largest = np.linalg.eigh(near @ near.conj().T)[1][:, -1]
        assert abs(np.vdot(largest, found[:, y, x])) == pytest.approx(1, abs=1e-3)


def test_they_follow_the_true_maps_and_average_noise() -> None:
    noise = np.random.default_rng(0).normal(size=(2, COILS, *SHAPE, 2)) @ [0.05, 0.05j]
    kspace = jnp.asarray(fft2c(jnp.asarray(TRUE * IMAGE)) + noise, jnp.complex64)
    support = np.abs(IMAGE) > 0.3 * np.abs(IMAGE).max()
    agreement = lambda maps: float(jnp.mean(jnp.abs(combine_coils(TRUE, maps))[:, support]))
    walsh, plain = walsh_smaps(kspace, 1.0, block=7), low_resolution_smaps(kspace, 1.0)
    assert agreement(walsh) > 0.995
    assert 1 - agreement(walsh) < 0.5 * (1 - agreement(plain))
    np.testing.assert_allclose(walsh_smaps(1e6 * kspace[1], 1.0, block=7), walsh[1], atol=1e-3)
    error = jnp.abs(combine_coils(ifft2c(fft2c(jnp.asarray(TRUE * IMAGE))), walsh[0])) - jnp.abs(IMAGE)
    assert float(jnp.abs(error).max()) < 0.1


def test_an_empty_slice_has_no_maps_and_bad_settings_are_refused() -> None:
    assert not walsh_smaps(jnp.zeros((2, 16, 16), complex), 0.5).any()
    with pytest.raises(ValueError, match="block must be odd and at least 1, not 4"):
        walsh_smaps(jnp.zeros((2, 16, 16), complex), 0.5, block=4)
    with pytest.raises(ValueError, match="1 calibration lines along y"):
        walsh_smaps(jnp.zeros((2, 16, 16), complex), 0.08)
    with pytest.raises(ValueError, match=r"axes \(..., coil, y, x\)"):
        walsh_smaps(jnp.zeros((16, 16), complex))
