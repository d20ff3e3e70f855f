"""Coil arrays: combination of coil images, compression to fewer coils, and prewhitening of the noise."""

import jax
import jax.numpy as jnp
import numpy as np

from deqjax.scaling import power_of_two_scale


def rss(images: jax.Array, axis: int = -3) -> jax.Array:
    """Combine coil images by the root of the sum of squares, ``sqrt(sum_c |x_c|^2)``.

    Args:
      images: (..., coil, y, x) complex.
      axis: the coil axis.

    Returns:
      (..., y, x) real, in the units of the images.

    Source: P. B. Roemer et al., "The NMR phased array", Magn. Reson. Med. 16:192, 1990, eq. 27.

    >>> float(rss(jnp.array([3.0, 4.0]).reshape(2, 1, 1))[0, 0])
    5.0
    """
    scale = power_of_two_scale(images, axis)  # of every pixel, so that no square overflows or underflows
    images = scale.apply(images)
    energy = jnp.sum(images.real**2 + images.imag**2, axis=axis, keepdims=True)
    combined = jnp.where(energy > 0, jnp.sqrt(jnp.where(energy > 0, energy, 1)), 0)  # the gradient at 0 is 0, not NaN
    return jnp.squeeze(scale.undo(combined), axis)


def combine_coils(images: jax.Array, smaps: jax.Array) -> jax.Array:
    """Combine coil images with their sensitivities, ``sum_c conj(s_c) x_c``: the least-squares image on the support.

    Args:
      images: (..., coil, y, x) complex.
      smaps: (..., coil, y, x); the sum of squared magnitudes over the coils is 1 on the support.

    Returns:
      (..., y, x) complex, in the units of the images.

    Source: Roemer et al. 1990, eq. 26, for white noise.

    >>> smaps = jnp.full((2, 1, 1), 0.5**0.5)
    >>> round(float(combine_coils(3 * smaps, smaps)[0, 0]), 5)
    3.0
    """
    return jnp.sum(jnp.conj(smaps) * images, axis=-3)


def check_coil_axis(kspace: jax.Array) -> None:
    """Check that a k-space has at least the axes (coil, y, x).

    Raises:
      ValueError: the k-space has fewer than three axes.

    >>> check_coil_axis(jnp.ones((2, 8, 8)))
    """
    if kspace.ndim < 3:
        raise ValueError(f"kspace needs the axes (..., coil, y, x); it has shape {kspace.shape}")


def compression_matrix(kspace: jax.Array, coils: int) -> jax.Array:
    """Find the combinations of coils with the most energy: the first left singular vectors, ``U[:, :coils]^H``.

    ``Y = U diag(s) V^H`` where Y is (coil, all samples). U is computed from the eigenvectors of ``Y Y^H``.

    Args:
      kspace: (..., coil, y, x) complex; all leading axes (slices, frames) share one matrix.
      coils: the number of virtual coils, from 1 to the number of coils.

    Returns:
      (coils, coil) complex, without unit, the strongest combination first. Its rows are orthonormal, so that white
      noise stays white.

    Raises:
      ValueError: the coil axis is missing, or ``coils`` is out of range.

    Source: F. Huang, S. Vijayakumar, Y. Li, S. Hertel, G. R. Duensing, "A software channel compression technique for
    faster reconstruction with many channels", Magn. Reson. Imaging 26:133, 2008, "Theory".

    >>> kspace = jnp.ones((4, 5, 6), complex) * jnp.array([1.0, 2.0, 2.0, 0.0]).reshape(4, 1, 1)
    >>> [round(abs(weight), 2) for weight in compression_matrix(kspace, 1)[0].tolist()]
    [0.33, 0.67, 0.67, 0.0]
    """
    check_coil_axis(kspace)
    if not 1 <= coils <= kspace.shape[-3]:
        raise ValueError(f"coils must lie in 1 .. {kspace.shape[-3]}, the coils of kspace {kspace.shape}; got {coils}")
    samples = jnp.moveaxis(power_of_two_scale(kspace).apply(kspace), -3, 0).reshape(kspace.shape[-3], -1)
    energy = jnp.matmul(samples, jnp.conj(samples.T), precision="highest")
    _, vectors = jnp.linalg.eigh(energy)  # in ascending order
    return jnp.conj(vectors[:, ::-1][:, :coils].T)


def compress_coils(kspace: jax.Array, coils: int) -> jax.Array:
    """Combine the coils to ``coils`` virtual coils that hold the most energy: ``y <- U[:, :coils]^H y``.

    The lost energy is that of the smaller singular values, ``sum_{i > coils} s_i^2``. Apply :func:`prewhiten` first, so
    that noise does not count as signal, and estimate the coil sensitivities from the compressed k-space.

    Args:
      kspace: (..., coil, y, x) complex; all leading axes (slices, frames) share one matrix.
      coils: the number of virtual coils, from 1 to the number of coils.

    Returns:
      (..., coils, y, x), in the units of the k-space, the strongest virtual coil first.

    Raises:
      ValueError: the coil axis is missing, or ``coils`` is out of range.

    Source: Huang et al. 2008, as for :func:`compression_matrix`.

    >>> compress_coils(jnp.ones((2, 16, 8, 8), complex), 4).shape
    (2, 4, 8, 8)
    """
    return jnp.einsum("ij,...jyx->...iyx", compression_matrix(kspace, coils), kspace, precision="highest")


def whitening_matrix(noise: np.ndarray) -> np.ndarray:
    """Find the matrix that makes noise white: ``W = L^-1`` with ``L L^H = N N^H / n``, L lower triangular.

    The covariance is divided by the number n of samples, and no mean is subtracted, because noise has none. ``W N``
    then has exactly the covariance I, that is, ``E|n|^2 = 1`` for real and imaginary part together. (sigpy does not
    divide by n.)

    Args:
      noise: N, (coil, ...) complex with any number of sample axes, from a scan without excitation.

    Returns:
      (coil, coil) complex128 on the host, in units of 1 / noise.

    Raises:
      ValueError: there is no sample axis, there are fewer samples than coils, the noise holds NaN or infinity, or a
        coil is a linear combination of the other coils.

    Source: K. P. Pruessmann, M. Weiger, P. Boernert, P. Boesiger, "Advances in sensitivity encoding with arbitrary
    k-space trajectories", Magn. Reson. Med. 46:638, 2001, appendix.

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
    scaled = covariance / np.outer(strength, strength)  # well conditioned for coils of very different gain
    if np.linalg.eigvalsh(scaled)[0] < 1e-10:
        raise ValueError("the noise of one coil is a combination of the others: leave out the coils that are copies")
    return np.linalg.inv(np.linalg.cholesky(scaled)) / strength


def prewhiten(kspace: jax.Array, noise: np.ndarray) -> jax.Array:
    """Make the noise of the coils white: ``y <- W y`` with W from :func:`whitening_matrix`.

    Estimate the coil sensitivities from the whitened k-space.

    Args:
      kspace: (..., coil, y, x) or (..., coil, spoke, sample) complex.
      noise: (coil, samples...) complex, in the units of the k-space, with the receiver bandwidth of the scan.

    Returns:
      The whitened k-space, with the shape of the k-space, in units of the standard deviation of the noise (real and
      imaginary part together).

    Raises:
      ValueError: k-space and noise have different numbers of coils, or :func:`whitening_matrix` rejects the noise.

    Source: Pruessmann et al. 2001, as for :func:`whitening_matrix`.

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
