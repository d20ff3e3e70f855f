"""ESPIRiT: agreement with the true coil sensitivities and with sigpy, and input that it rejects."""

import jax.numpy as jnp
import numpy as np
import pytest

from deqjax.data import birdcage_maps, phantom_image
from deqjax.physics import espirit, fft2c, rss

SHAPE, COILS = (49, 60), 5


@pytest.fixture(scope="module")
def coil_images() -> tuple[np.ndarray, np.ndarray]:
    """The true coil sensitivities (coil, y, x), and the coil images."""
    smaps = birdcage_maps(COILS, SHAPE)
    image = phantom_image(0, (1, *SHAPE))[0]
    return smaps, (smaps * image).astype(np.complex64)


def correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The magnitude of the normalised inner product over the coils, where both are nonzero."""
    both = (np.abs(a).sum(axis=-3) > 0) & (np.abs(b).sum(axis=-3) > 0)
    sizes = np.linalg.norm(a, axis=-3) * np.linalg.norm(b, axis=-3)
    return np.abs((np.conj(a) * b).sum(axis=-3))[both] / sizes[both]


def test_espirit_finds_the_true_sensitivities(coil_images) -> None:
    smaps, images = coil_images
    found = np.asarray(espirit(fft2c(jnp.asarray(images)), 0.4, crop=0.9))
    inside_object = np.abs(images).sum(axis=0) > 0.2 * np.abs(images).sum(axis=0).max()
    support = rss(jnp.asarray(found)) > 0
    assert support[inside_object].mean() > 0.98
    np.testing.assert_allclose(rss(jnp.asarray(found))[support], 1, atol=1e-5)
    assert np.quantile(correlation(found * inside_object, smaps), 0.05) > 0.995


def test_espirit_equals_sigpy(coil_images) -> None:
    mri = pytest.importorskip("sigpy.mri")
    kspace = np.asarray(fft2c(jnp.asarray(coil_images[1][:, :48, :48])))  # its calibration region is a square
    kspace = kspace / np.abs(kspace).max()
    settings = {"calib_width": 20, "thresh": 0.02, "kernel_width": 6, "crop": 0.9, "max_iter": 600}
    theirs = mri.app.EspiritCalib(kspace, show_pbar=False, **settings).run()
    found = correlation(np.asarray(espirit(jnp.asarray(kspace), 20 / 48, crop=0.9)), theirs)
    assert found.size > 500
    assert found.mean() > 0.9999
    assert np.quantile(found, 0.01) > 0.999


def test_a_batch_equals_its_images_and_the_units_do_not_matter(coil_images) -> None:
    kspace = fft2c(jnp.asarray(coil_images[1]))
    other = kspace[::-1] * (1 + 1j)
    batch = espirit(jnp.stack([kspace, other]), 0.4)
    for one, maps in zip((kspace, other), batch):
        np.testing.assert_allclose(espirit(1e-7 * one, 0.4), maps, atol=2e-3)


@pytest.mark.slow
def test_the_soft_crop_has_intermediate_values(coil_images) -> None:
    kspace = fft2c(jnp.asarray(coil_images[1]))
    sizes = rss(espirit(kspace, 0.4, crop=0.8, soft=True))
    assert float(jnp.mean((sizes > 0.05) & (sizes < 0.95))) > 0.02
    hard = rss(espirit(kspace, 0.4, crop=0.8)) > 0
    assert float(sizes[hard].min()) >= 0.499


def test_zero_kspace_gives_zero_sensitivities() -> None:
    np.testing.assert_array_equal(espirit(jnp.zeros((3, 32, 32), jnp.complex64), 0.5), 0)


def test_too_few_calibration_lines_raise() -> None:
    with pytest.raises(ValueError, match=r"0.08 of 64 leaves 5 calibration lines along x; .* at least 7"):
        espirit(jnp.ones((3, 128, 64), jnp.complex64), 0.08)
    with pytest.raises(ValueError, match=r"needs the axes \(..., coil, y, x\); it has shape \(64, 64\)"):
        espirit(jnp.ones((64, 64), jnp.complex64))
