"""Coils whose noise is white: of unit variance each, and independent of each other."""

import jax
import jax.numpy as jnp
import numpy as np


def whitening_matrix(noise: np.ndarray) -> np.ndarray:
    """Find the matrix that makes noise white: ``W = L^-1`` with ``L L^H = N N^H / n``, L lower triangular.

    The covariance is divided by the number n of samples, nothing is subtracted (noise has no mean): then ``W N`` has
    exactly the covariance I, ``E|n|^2 = 1`` for real and imaginary part together. (sigpy's does not divide by n.)

    Args:
      noise: (coil, ...) complex, a scan without excitation, any number of axes of samples.

    Returns:
      (coil, coil) complex128 on the host, in one over the units of the noise.

    Raises:
      ValueError: no axis of samples, fewer samples than coils, NaN or infinity, or coils that are copies of others.

    Source: Pruessmann, Weiger, Boernert, Boesiger, "Advances in sensitivity encoding with arbitrary k-space
    trajectories", Magnetic Resonance in Medicine 46:638-651, 2001, appendix.

    >>> whitening_matrix(np.array([[2.0, -2.0, 2.0, -2.0], [0.0, 0.0, 1.0, -1.0j]])).shape
    (2, 2)
    """
    samples = np.asarray(noise, dtype=np.complex128)
    if samples.ndim < 2:
        raise ValueError(f"noise must be (coil, samples...), got shape {samples.shape}")
    samples = samples.reshape(samples.shape[0], -1)
    coils, number = samples.shape
    if number < coils:
        raise ValueError(f"noise has {number} samples for {coils} coils: at least {coils} are needed, 1000 are usual")
    if not np.isfinite(samples).all():
        raise ValueError(f"noise of shape {np.shape(noise)} holds NaN or infinity: leave those samples out")
    covariance = samples @ samples.conj().T / number
    strength = np.sqrt(np.diag(covariance).real)
    if not (strength > 0).all():
        raise ValueError(f"noise is zero throughout in coil {int(np.argmin(strength))}: leave that coil out")
    scaled = covariance / np.outer(strength, strength)  # coils of very different gain stay well conditioned
    if np.linalg.eigvalsh(scaled)[0] < 1e-10:
        raise ValueError("noise of some coil is a combination of the others': leave out the coils that are copies")
    return np.linalg.inv(np.linalg.cholesky(scaled)) / strength


def prewhiten(kspace: jax.Array, noise: np.ndarray) -> jax.Array:
    """Make the noise of the coils white: ``y <- W y`` with W from :func:`whitening_matrix`.

    Coil sensitivities belong to the whitened coils: estimate them afterwards.

    Args:
      kspace: (..., coil, y, x) or (..., coil, spoke, sample) complex.
      noise: (coil, samples...) complex, in the units of the k-space, with the receiver bandwidth of the scan.

    Returns:
      the shape of the k-space; in units of the noise's standard deviation, real and imaginary part together.

    Raises:
      ValueError: other numbers of coils in the two; noise as for :func:`whitening_matrix`.

    Source: Pruessmann, Weiger, Boernert, Boesiger, Magnetic Resonance in Medicine 46:638-651, 2001, appendix.

    >>> noise = np.random.default_rng(0).normal(size=(3, 50, 2)) @ [5, 5j]
    >>> white = prewhiten(jnp.asarray(noise)[..., None], noise)
    >>> round(float(jnp.mean(jnp.abs(white) ** 2)), 4)
    1.0
    """
    if kspace.ndim < 3 or kspace.shape[-3] != np.shape(noise)[0]:
        raise ValueError(
            f"kspace (..., coil, y, x) of shape {kspace.shape} and noise (coil, samples...) of shape "
            f"{np.shape(noise)} must have the same number of coils"
        )
    matrix = jnp.asarray(whitening_matrix(noise), jnp.result_type(kspace, jnp.complex64))
    return jnp.einsum("ij,...jyx->...iyx", matrix, kspace, precision="highest")
