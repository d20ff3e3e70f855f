"""The classical methods by name: each converges, and the linear ones agree with their formula."""

import jax.numpy as jnp
import numpy as np
import pytest

import deqjax as dj
from deqjax.classical_methods import LeastSquares, classical_method
from deqjax.reconstruction import load_method

MASK = np.array(dj.masks.CartesianRandom(2, 0.2)((12, 12), 0))
SMAPS = np.asarray(dj.data.birdcage_maps(3, (12, 12)), np.complex64)
SENSE = dj.physics.Sense(jnp.asarray(SMAPS), jnp.asarray(MASK))
IMAGE = np.random.default_rng(0).normal(size=(12, 12)).astype(np.complex64)
KSPACE = SENSE.forward(jnp.asarray(IMAGE))


@pytest.mark.parametrize(
    "name",
    [
        "zero-filled",
        "cg-sense",
        pytest.param("total-variation", marks=pytest.mark.slow),
        pytest.param("l1-wavelet", marks=pytest.mark.slow),
    ],
)
def test_every_method_converges_and_needs_no_parameters(name):
    image, stats = classical_method(name)({}, SENSE, KSPACE)
    assert bool(stats.converged)
    assert image.shape == (12, 12)
    assert load_method(name).recon == classical_method(name)


def test_zero_filled_is_the_adjoint():
    image, stats = classical_method("zero-filled")({}, SENSE, KSPACE)
    np.testing.assert_allclose(image, SENSE.adjoint(KSPACE), atol=1e-6)
    assert int(stats.num_steps) == 1


def test_cg_sense_solves_the_normal_equation():
    """Against a dense solve: the matrix is made from NumPy's transform alone."""
    transform = np.fft.fftshift(np.fft.fft(np.fft.ifftshift(np.eye(12), 0), axis=0, norm="ortho"), 0)
    both = np.kron(transform, transform)
    A = np.concatenate([MASK.repeat(12, 0).reshape(-1, 1) * (both * one.reshape(1, -1)) for one in SMAPS])
    penalty = 0.01
    right = A.conj().T @ np.asarray(KSPACE).reshape(-1)
    expected = np.linalg.solve(A.conj().T @ A + penalty * np.eye(144), right).reshape(12, 12)
    recon = classical_method("cg-sense")
    assert recon.map == LeastSquares(penalty)
    image, _ = recon.replace(solver=dj.solvers.Picard(max_steps=50, rtol=1e-6))({}, SENSE, KSPACE)
    assert np.linalg.norm(image - expected) < 1e-4 * np.linalg.norm(expected)


def test_an_unknown_name_lists_the_methods():
    with pytest.raises(ValueError, match="total-variation"):
        classical_method("tv")
    with pytest.raises(ValueError, match=r"tv: no such model.*brain-small.*total-variation"):
        load_method("tv")
