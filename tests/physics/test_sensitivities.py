"""Coil sensitivities from low-resolution images, and those of Walsh's adaptive combination."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deqjax.data import birdcage_maps, phantom_image
from deqjax.physics import combine_coils, fft2c, ifft2c, low_resolution_smaps, rss, walsh_smaps
from deqjax.physics.sensitivities import low_resolution_images


def scan(coils: int = 4, shape: tuple[int, int] = (64, 64)) -> tuple[jax.Array, jax.Array, jax.Array]:
    """K-space (coil, y, x), the image and the true coil sensitivities."""
    image, smaps = jnp.asarray(phantom_image(3, (1, *shape))[0]), jnp.asarray(birdcage_maps(coils, shape))
    return fft2c(smaps * image), image, smaps


def test_low_resolution_smaps_have_unit_norm_and_agree_with_the_true_sensitivities() -> None:
    kspace, image, smaps = scan()
    found = low_resolution_smaps(kspace, 0.25)
    np.testing.assert_allclose(jnp.sum(jnp.abs(found) ** 2, axis=0), 1, atol=1e-5)
    support = jnp.abs(image) > 0.3 * jnp.max(jnp.abs(image))
    assert 500 < int(jnp.sum(support)) < 3000
    for coil in range(1, len(found)):  # the common phase belongs to the object, so compare with the first coil
        relative, expected = found[coil] * jnp.conj(found[0]), smaps[coil] * jnp.conj(smaps[0])
        a, b = jnp.where(support, relative, 0), jnp.where(support, expected, 0)
        correlation = jnp.vdot(a, b).real / (jnp.linalg.norm(a) * jnp.linalg.norm(b))
        assert correlation > 0.98, (coil, correlation)
        phases = [jnp.exp(1j * jnp.angle(m))[support] for m in (relative, expected)]
        assert (jnp.vdot(*phases) / support.sum()).real > 0.98, coil


def test_low_resolution_smaps_use_only_the_calibration_region() -> None:
    kspace, *_ = scan()
    outside = jnp.ones((64, 64), bool).at[24:40, 24:40].set(False)
    changed = jnp.where(outside, 1e6, kspace)
    np.testing.assert_array_equal(low_resolution_smaps(changed, 0.25), low_resolution_smaps(kspace, 0.25))


def test_low_resolution_smaps_do_not_depend_on_the_units() -> None:
    kspace, *_ = scan()
    reference = low_resolution_smaps(kspace, 0.25)
    for scale in (2.0**-100, 2.0**-40, 2.0**40, 2.0**100):  # about 1e-30 to 1e30, exact also where there is no signal
        np.testing.assert_allclose(low_resolution_smaps(scale * kspace, 0.25), reference, atol=1e-6)


def test_low_resolution_smaps_of_zero_kspace_are_zero_with_a_finite_gradient() -> None:
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(2, 3, 16, 16))
    kspace = jnp.zeros(weight.shape, complex).at[1].set(rng.normal(size=weight.shape[1:]))

    def loss(kspace: jax.Array) -> tuple[jax.Array, jax.Array]:
        smaps = low_resolution_smaps(kspace, 0.25)
        return jnp.sum(weight * smaps.real), smaps

    gradient, smaps = jax.jit(jax.grad(loss, has_aux=True))(kspace)
    assert jnp.all(smaps[0] == 0)
    assert jnp.all(jnp.isfinite(gradient))
    assert jnp.any(gradient[1] != 0)


def test_low_resolution_smaps_of_a_batch_equal_those_of_its_images() -> None:
    rng = np.random.default_rng(0)
    images = rng.normal(size=(3, 2, 15, 16)) + 1j * rng.normal(size=(3, 2, 15, 16))
    kspace = jnp.asarray(images * np.array([1.0, 1e-6, 1e6]).reshape(3, 1, 1, 1), complex)
    together = low_resolution_smaps(kspace, 0.3)
    for index in (0, 2):
        np.testing.assert_allclose(together[index], low_resolution_smaps(kspace[index], 0.3), atol=1e-5)


def test_low_resolution_smaps_reject_a_missing_coil_axis_and_too_few_lines() -> None:
    with pytest.raises(ValueError, match=r"\(coil|\(\.\.\., coil.*\(16, 16\)"):
        low_resolution_smaps(jnp.ones((16, 16), complex))
    with pytest.raises(ValueError, match="1 calibration lines along y"):
        low_resolution_smaps(jnp.ones((2, 16, 32), complex), 0.08)
    with pytest.raises(ValueError, match="along x"):
        low_resolution_smaps(jnp.ones((2, 32, 16), complex), 0.08)


def test_walsh_smaps_are_eigenvectors_of_the_covariance_of_a_block() -> None:
    kspace, *_ = scan(shape=(48, 45))
    found, images = walsh_smaps(kspace, 0.5, block=3), np.asarray(low_resolution_images(kspace, 0.5))
    np.testing.assert_allclose(rss(found), 1, atol=1e-5)
    for y, x in ((24, 22), (15, 30), (0, 10), (47, 44)):
        block = images[:, max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2].reshape(len(images), -1)
        largest = np.linalg.eigh(block @ block.conj().T)[1][:, -1]
        assert abs(np.vdot(largest, found[:, y, x])) == pytest.approx(1, abs=1e-3)


def test_walsh_smaps_agree_with_the_true_sensitivities_and_average_noise() -> None:
    clean, image, true_smaps = scan(shape=(48, 45))
    noise = np.random.default_rng(0).normal(size=(2, *clean.shape, 2)) @ [0.05, 0.05j]
    kspace = jnp.asarray(clean + noise, jnp.complex64)
    support = np.abs(image) > 0.3 * np.abs(image).max()
    agreement = lambda smaps: float(jnp.mean(jnp.abs(combine_coils(true_smaps, smaps))[:, support]))
    walsh, plain = walsh_smaps(kspace, 1.0, block=7), low_resolution_smaps(kspace, 1.0)
    assert agreement(walsh) > 0.995
    assert 1 - agreement(walsh) < 0.5 * (1 - agreement(plain))
    np.testing.assert_allclose(walsh_smaps(1e6 * kspace[1], 1.0, block=7), walsh[1], atol=1e-3)
    error = jnp.abs(combine_coils(ifft2c(clean), walsh[0])) - jnp.abs(image)
    assert float(jnp.abs(error).max()) < 0.1


def test_walsh_smaps_do_not_depend_on_the_units() -> None:
    kspace, *_ = scan(shape=(32, 32))
    reference = walsh_smaps(kspace, 0.5)
    for scale in (2.0**-100, 2.0**100):
        np.testing.assert_allclose(walsh_smaps(scale * kspace, 0.5), reference, atol=1e-6)


def test_walsh_smaps_of_zero_kspace_are_zero_and_invalid_settings_raise() -> None:
    assert not walsh_smaps(jnp.zeros((2, 16, 16), complex), 0.5).any()
    with pytest.raises(ValueError, match="block must be odd and at least 1, not 4"):
        walsh_smaps(jnp.zeros((2, 16, 16), complex), 0.5, block=4)
    with pytest.raises(ValueError, match="1 calibration lines along y"):
        walsh_smaps(jnp.zeros((2, 16, 16), complex), 0.08)
    with pytest.raises(ValueError, match=r"axes \(..., coil, y, x\)"):
        walsh_smaps(jnp.zeros((16, 16), complex))
