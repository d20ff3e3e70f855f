"""White noise: its exact covariance, units, and what is refused."""

import jax.numpy as jnp
import numpy as np
import pytest

from deqjax.physics import prewhiten, whitening_matrix


def correlated(coils: int = 5, samples: int = 400, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(coils, coils)) + 1j * rng.normal(size=(coils, coils))
    return mixing @ (rng.normal(size=(coils, samples)) + 1j * rng.normal(size=(coils, samples)))


@pytest.mark.parametrize("samples", [5, 401, 1000])
def test_the_covariance_is_exactly_the_identity(samples: int) -> None:
    noise = correlated(samples=samples) * np.array([1e-9, 1, 1, 1e3, 1e6])[:, None]
    white = whitening_matrix(noise) @ noise
    np.testing.assert_allclose(white @ white.conj().T / samples, np.eye(5), atol=1e-8)


def test_it_follows_the_scale_and_any_number_of_sample_axes() -> None:
    noise = correlated()
    np.testing.assert_allclose(whitening_matrix(3 * noise), whitening_matrix(noise) / 3, rtol=1e-9)
    np.testing.assert_allclose(whitening_matrix(noise.reshape(5, 20, 20)), whitening_matrix(noise), rtol=1e-9)


@pytest.mark.parametrize("lead", [(), (3,)])
def test_the_noise_of_a_kspace_becomes_white(lead: tuple[int, ...]) -> None:
    noise = correlated(samples=7 * 9 * 30)
    kspace = (
        np.stack([correlated(samples=7 * 9, seed=0).reshape(5, 7, 9)] * 3) if lead else noise[:, :63].reshape(5, 7, 9)
    )
    white = prewhiten(jnp.asarray(kspace, complex), noise)
    assert white.shape == kspace.shape
    expected = np.einsum("ij,...jyx->...iyx", whitening_matrix(noise), kspace)
    np.testing.assert_allclose(white, expected, atol=1e-4)


def test_sigpy_agrees_once_its_covariance_is_divided() -> None:
    util = pytest.importorskip("sigpy.mri.util")
    noise = correlated()
    noise -= noise.mean(axis=1, keepdims=True)  # which sigpy takes off, and we do not
    kspace = correlated(samples=20, seed=3).reshape(5, 4, 5)
    theirs = util.whiten(kspace, util.get_cov(noise.copy()) / noise.shape[1])
    ours = prewhiten(jnp.asarray(kspace, complex), noise)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("noise", "message"),
    [
        (np.ones(5), r"noise must be \(coil, samples"),
        (np.ones((5, 4)), "4 samples for 5 coils"),
        (np.full((5, 40), np.nan), "NaN"),
        (np.vstack([correlated()[:4], np.zeros(400)]), "zero throughout in coil 4"),
        (np.vstack([correlated()[:4], 2 * correlated()[:1]]), "combination of the others"),
        (correlated(4), r"\(5, 4, 4\).*same number of coils"),
    ],
)
def test_bad_input(noise: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        prewhiten(jnp.ones((5, 4, 4), complex), noise)
