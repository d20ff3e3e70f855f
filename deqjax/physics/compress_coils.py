"""Many coils to a few that hold most of the signal."""

import jax
import jax.numpy as jnp

from deqjax.physics.coils import check_coil_axis


def compression_matrix(kspace: jax.Array, coils: int) -> jax.Array:
    """Find the combinations of coils with the most energy: the first left singular vectors, ``U[:, :coils]^H``.

    ``Y = U diag(s) V^H`` with Y (coil, all samples); U comes from the eigenvectors of ``Y Y^H``, largest first.

    Args:
      kspace: (..., coil, y, x) complex; all leading axes (slices, frames) share the one matrix.
      coils: how many to keep, 1 to the number there are.

    Returns:
      (coils, coil) complex with orthonormal rows, no unit: noise that is white stays white.

    Raises:
      ValueError: no coil axis, or another number of coils.

    Source: Huang, Vijayakumar, Li, Hertel, Duensing, "A software channel compression technique for faster
    reconstruction with many channels", Magnetic Resonance Imaging 26:133-141, 2008, "Theory".

    >>> kspace = jnp.ones((4, 5, 6), complex) * jnp.array([1.0, 2.0, 2.0, 0.0]).reshape(4, 1, 1)
    >>> [round(abs(weight), 2) for weight in compression_matrix(kspace, 1)[0].tolist()]
    [0.33, 0.67, 0.67, 0.0]
    """
    check_coil_axis(kspace)
    if not 1 <= coils <= kspace.shape[-3]:
        raise ValueError(f"coils must lie in 1 .. {kspace.shape[-3]}, the coils of kspace {kspace.shape}; got {coils}")
    largest = jnp.max(jnp.abs(kspace))
    samples = jnp.moveaxis(kspace / jnp.where(largest > 0, largest, 1), -3, 0).reshape(kspace.shape[-3], -1)
    energy = jnp.matmul(samples, jnp.conj(samples.T), precision="highest")
    _, vectors = jnp.linalg.eigh(energy)  # smallest first
    return jnp.conj(vectors[:, ::-1][:, :coils].T)


def compress_coils(kspace: jax.Array, coils: int) -> jax.Array:
    """Combine coils to ``coils`` virtual ones that hold the most energy: ``y <- U[:, :coils]^H y``.

    What is lost is the energy in the smaller singular values: ``sum_{i > coils} s_i^2``. Whiten first
    (:func:`prewhiten`), so that noise does not count as signal; estimate coil sensitivities afterwards.

    Args:
      kspace: (..., coil, y, x) complex; all leading axes (slices, frames) share the one matrix.
      coils: how many to keep, 1 to the number there are.

    Returns:
      (..., coils, y, x), in the units of the k-space, the strongest virtual coil first.

    Raises:
      ValueError: no coil axis, or another number of coils.

    Source: Huang, Vijayakumar, Li, Hertel, Duensing, Magnetic Resonance Imaging 26:133-141, 2008, "Theory".

    >>> compress_coils(jnp.ones((2, 16, 8, 8), complex), 4).shape
    (2, 4, 8, 8)
    """
    return jnp.einsum("ij,...jyx->...iyx", compression_matrix(kspace, coils), kspace, precision="highest")
