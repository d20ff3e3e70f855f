"""MRI along any trajectory, with coil sensitivities."""

import dataclasses
import math

import jax
import jax.numpy as jnp

from deqjax.physics.conjugate_gradient import conjugate_gradient
from deqjax.physics.nufft import grid_samples, sample_grid
from deqjax.physics.shapes import is_array
from deqjax.pytree import operand


@operand
class NonCartesian:
    """The multi-coil forward model along a trajectory, ``A = sqrt(D) F S``.

    ``(F x)_k = sum_r x(r) exp(-2 pi i (ky ry / Y + kx rx / X)) / sqrt(Y X)``, r from ``-(N // 2)`` along each axis: on
    the points of the grid it equals :func:`fft2c`. D is the density of the samples: ``A^H A`` is near the identity
    where the trajectory samples in full, and A^H alone gives a fair image. The k-space of A is ``sqrt(density)`` times
    what the scanner measures, as that of ``Sense`` is ``mask`` times the full one.

    ``trajectory`` is (spoke, sample, 2), ky and kx in cycles per field of view; ``smaps`` (coil, y, x) or (batch, coil,
    y, x), of ones (1, y, x) for a single coil; ``density`` (spoke, sample), not negative, in squared cycles per field
    of view. ``tolerance`` is the relative error of the transform, about 1e-6 in float32. With ``spectrum`` from
    :func:`toeplitz_spectrum`, ``normal`` takes two FFTs of twice the size instead. Images are (y, x) or (batch, y, x),
    k-space ([batch,] coil, spoke, sample).

    The largest eigenvalue of A^H A is about the undersampling where samples are sparsest (1.45 for 64 golden-angle
    spokes at 32 x 32, 5.0 for 50 at 128 x 128); maps want at most 1: divide density and spectrum by
    :func:`largest_eigenvalue` of A.

    ``vmap`` of the methods raises (jax-finufft 1.3.1 on jax 0.10.2): give a batch instead.

    Raises:
      ValueError: an axis is missing, or density and trajectory differ in (spoke, sample).
      ImportError: jax-finufft is not installed, when a method is used.

    Source: Fessler and Sutton, "Nonuniform fast Fourier transforms using min-max interpolation", IEEE Transactions on
    Signal Processing 51:560-574, 2003, section II; transform by Barnett, Magland, af Klinteberg, "A parallel nonuniform
    fast Fourier transform library based on an 'exponential of semicircle' kernel", SIAM J. Sci. Comput. 41:C479, 2019.

    >>> import pytest
    >>> finufft = pytest.importorskip("jax_finufft")  # the extra nufft
    >>> A = NonCartesian(jnp.zeros((6, 32, 2)), jnp.ones((1, 16, 16)), jnp.ones((6, 32)))
    >>> A.forward(jnp.ones((3, 16, 16)) + 0j).shape
    (3, 1, 6, 32)
    """

    trajectory: jax.Array
    smaps: jax.Array
    density: jax.Array
    spectrum: jax.Array | None = None
    tolerance: float = dataclasses.field(default=1e-6, metadata={"static": True})

    def __post_init__(self) -> None:
        if not is_array(self.trajectory, self.smaps, self.density):
            return
        if self.trajectory.ndim != 3 or self.trajectory.shape[-1] != 2:
            raise ValueError(f"trajectory must be (spoke, sample, 2), ky and kx; it has shape {self.trajectory.shape}")
        if self.smaps.ndim < 3:
            raise ValueError(
                f"smaps needs the axes (coil, y, x) or (batch, coil, y, x); it has shape {self.smaps.shape}: "
                "for a single coil give jnp.ones((1, y, x))"
            )
        if self.density.shape != self.trajectory.shape[:2]:
            raise ValueError(
                f"density of shape {self.density.shape} must have the axes (spoke, sample) of the trajectory, "
                f"{self.trajectory.shape[:2]}"
            )
        if self.spectrum is not None and self.spectrum.shape != tuple(2 * n for n in self.smaps.shape[-2:]):
            raise ValueError(
                f"spectrum of shape {self.spectrum.shape} must be twice the size of the image {self.smaps.shape[-2:]}: "
                "make it with toeplitz_spectrum"
            )

    def forward(self, image: jax.Array) -> jax.Array:
        """Sample every coil along the trajectory: ``sqrt(D) F S x``, (..., y, x) to (..., coil, spoke, sample)."""
        samples = sample_grid(self.smaps * image[..., None, :, :], self.trajectory, self.tolerance)
        return jnp.sqrt(self.density) * samples

    def adjoint(self, kspace: jax.Array) -> jax.Array:
        """Combine the gridded coil images: ``S^H F^H sqrt(D) y``, (..., coil, spoke, sample) to (..., y, x)."""
        size = self.smaps.shape[-2:]
        images = grid_samples(jnp.sqrt(self.density) * kspace, self.trajectory, size, self.tolerance)
        return jnp.sum(jnp.conj(self.smaps) * images, axis=-3)

    def normal(self, image: jax.Array) -> jax.Array:
        """Forward and adjoint in one: ``S^H F^H D F S x``, shape (..., y, x)."""
        if self.spectrum is None:
            return self.adjoint(self.forward(image))
        height, width = self.smaps.shape[-2:]
        spread = jnp.fft.fft2(self.smaps * image[..., None, :, :], s=self.spectrum.shape)
        images = jnp.fft.ifft2(self.spectrum * spread)[..., :height, :width]
        return jnp.sum(jnp.conj(self.smaps) * images, axis=-3)

    def regularised_inverse(self, image: jax.Array, penalty: jax.Array | float, steps: int = 10) -> jax.Array:
        """Solve ``(A^H A + penalty I) z = x`` by ``steps`` conjugate gradient steps; penalty > 0, (..., y, x)."""
        return conjugate_gradient(lambda z: self.normal(z) + penalty * z, image, steps)


def toeplitz_spectrum(
    trajectory: jax.Array, density: jax.Array, size: tuple[int, int], tolerance: float = 1e-6
) -> jax.Array:
    """Transform the point spread of a trajectory, with which ``F^H D F`` is a convolution: two FFTs and a product.

    ``t(r) = sum_k d_k exp(2 pi i k r / N) / (Y X)`` for r from ``-N`` to ``N - 1``, the sample at -N left out, which no
    image needs: so the spectrum is real and ``normal`` exactly Hermitian.

    Args:
      trajectory: (spoke, sample, 2) in cycles per field of view.
      density: (spoke, sample).
      size: (y, x) of the image.
      tolerance: relative error of the transform.

    Returns:
      (2 y, 2 x) real, for ``NonCartesian(..., spectrum=...)``.

    Source: Fessler, Lee, Olafsson, Shi, Noll, "Toeplitz-based iterative image reconstruction for MRI with correction
    for magnetic field inhomogeneity", IEEE Transactions on Signal Processing 53:3393-3402, 2005, section III.

    >>> import pytest
    >>> finufft = pytest.importorskip("jax_finufft")  # the extra nufft
    >>> toeplitz_spectrum(jnp.zeros((6, 32, 2)), jnp.ones((6, 32)), (16, 16)).shape
    (32, 32)
    """
    doubled = (2 * size[0], 2 * size[1])
    spread = grid_samples(density + 0j, 2 * trajectory, doubled, tolerance) * (4 * math.prod(size)) ** 0.5
    spread = spread.at[0, :].set(0).at[:, 0].set(0) / math.prod(size)
    return jnp.fft.fft2(jnp.fft.ifftshift(spread)).real
