"""The forward model of MRI along arbitrary trajectories, and the nonuniform Fourier transform by jax-finufft."""

import dataclasses
import math
from types import ModuleType
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from deqjax.physics.array_checks import check_trajectory_range, is_array, is_concrete
from deqjax.physics.linear_solvers import conjugate_gradient
from deqjax.pytree import operand


@operand
class NonCartesian:
    """The multi-coil forward model along a trajectory, ``A = sqrt(D) F S``.

    ``(F x)_k = sum_r x(r) exp(-2 pi i (ky ry / Y + kx rx / X)) / sqrt(Y X)``, where r starts at ``-(N // 2)`` along
    each axis; at integer frequencies this equals :func:`fft2c`. D is the density of the samples. With it, ``A^H A`` is
    close to the identity where the trajectory is fully sampled, and A^H alone gives a fair image. The k-space of A is
    ``sqrt(density)`` times the measured samples, in the same way as the k-space of ``Sense`` is ``mask`` times the full
    k-space. Images are (y, x) or (batch, y, x); k-space is ([batch,] coil, spoke, sample).

    The largest eigenvalue of A^H A is about the undersampling factor where the samples are sparsest: 1.45 for 64
    golden-angle spokes at 32 x 32, and 5.0 for 50 spokes at 128 x 128. Iteration maps need at most 1: divide density
    and spectrum by :func:`largest_eigenvalue` of A.

    ``vmap`` of the methods raises an error (jax-finufft 1.3.1 on jax 0.10.2): pass a batch instead.

    Attributes:
      trajectory: (spoke, sample, 2), ky and kx in cycles per field of view, from -Y / 2 to Y / 2 and -X / 2 to X / 2.
      smaps: S, the coil sensitivities (coil, y, x) or (batch, coil, y, x); ones (1, y, x) for a single coil.
      density: D, (spoke, sample), not negative, in squared cycles per field of view.
      spectrum: (2 y, 2 x) from :func:`toeplitz_spectrum`, or None. With it, ``normal`` needs two FFTs of twice the
        image size instead of two nonuniform transforms.
      tolerance: the relative error of the transform, about 1e-6 in float32.

    Raises:
      ValueError: an axis is missing, density and trajectory differ in (spoke, sample), the trajectory leaves k-space or
        is in another unit, or the density holds NaN or negative values.
      ImportError: a method is used and jax-finufft is not installed.

    Sources: J. A. Fessler, B. P. Sutton, "Nonuniform fast Fourier transforms using min-max interpolation", IEEE Trans.
    Signal Process. 51:560, 2003, section II; the transform: A. H. Barnett, J. Magland, L. af Klinteberg, "A parallel
    nonuniform fast Fourier transform library based on an 'exponential of semicircle' kernel", SIAM J. Sci. Comput.
    41:C479, 2019.

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
    axes: ClassVar[str] = "yx"

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
        if is_concrete(self.trajectory):
            check_trajectory_range(self.trajectory, self.smaps.shape[-2:])
        if is_concrete(self.density):
            density = np.asarray(self.density)
            if not (np.isfinite(density) & (density >= 0)).all():
                raise ValueError("density holds NaN, infinity or negative values: give areas of k-space of at least 0")

    def forward(self, image: jax.Array) -> jax.Array:
        """Sample every coil along the trajectory: ``sqrt(D) F S x``, (..., y, x) to (..., coil, spoke, sample)."""
        samples = nufft(self.smaps * image[..., None, :, :], self.trajectory, self.tolerance)
        return jnp.sqrt(self.density) * samples

    def adjoint(self, kspace: jax.Array) -> jax.Array:
        """Combine the gridded coil images: ``S^H F^H sqrt(D) y``, (..., coil, spoke, sample) to (..., y, x)."""
        size = self.smaps.shape[-2:]
        images = nufft_adjoint(jnp.sqrt(self.density) * kspace, self.trajectory, size, self.tolerance)
        return jnp.sum(jnp.conj(self.smaps) * images, axis=-3)

    def normal(self, image: jax.Array) -> jax.Array:
        """Apply the forward model and its adjoint: ``S^H F^H D F S x``, shape (..., y, x)."""
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
    """Compute the spectrum of the point spread function, with which ``F^H D F`` is a convolution by two FFTs.

    The point spread function is ``t(r) = sum_k d_k exp(2 pi i k r / N) / (Y X)`` for r from ``-N`` to ``N - 1``. The
    sample at -N is set to zero, because no image needs it; the spectrum is then real and ``normal`` exactly Hermitian.

    Args:
      trajectory: (spoke, sample, 2), ky and kx in cycles per field of view.
      density: (spoke, sample), in squared cycles per field of view.
      size: the shape (y, x) of the image.
      tolerance: the relative error of the transform.

    Returns:
      (2 y, 2 x) real, for ``NonCartesian(..., spectrum=...)``.

    Raises:
      ImportError: jax-finufft is not installed.

    Source: J. A. Fessler, S. Lee, V. T. Olafsson, H. R. Shi, D. C. Noll, "Toeplitz-based iterative image reconstruction
    for MRI with correction for magnetic field inhomogeneity", IEEE Trans. Signal Process. 53:3393, 2005, section III.

    >>> import pytest
    >>> finufft = pytest.importorskip("jax_finufft")  # the extra nufft
    >>> toeplitz_spectrum(jnp.zeros((6, 32, 2)), jnp.ones((6, 32)), (16, 16)).shape
    (32, 32)
    """
    doubled = (2 * size[0], 2 * size[1])
    spread = nufft_adjoint(density + 0j, 2 * trajectory, doubled, tolerance) * (4 * math.prod(size)) ** 0.5
    spread = spread.at[0, :].set(0).at[:, 0].set(0) / math.prod(size)
    return jnp.fft.fft2(jnp.fft.ifftshift(spread)).real


def nufft(images: jax.Array, trajectory: jax.Array, tolerance: float = 1e-6) -> jax.Array:
    """Transform images to k-space samples along a trajectory (nonuniform Fourier transform of type 2).

    ``y_k = sum_r x(r) exp(-2 pi i k r / N) / sqrt(Y X)``, where r starts at ``-(N // 2)`` along each axis; at integer
    frequencies this equals ``fft2c``.

    Args:
      images: (..., y, x) complex.
      trajectory: (spoke, sample, 2), ky and kx in cycles per field of view.
      tolerance: the relative error.

    Returns:
      (..., spoke, sample) complex.

    Raises:
      ImportError: jax-finufft is not installed.

    >>> import pytest
    >>> finufft = pytest.importorskip("jax_finufft")  # the extra nufft
    >>> nufft(jnp.ones((5, 8, 8), complex), jnp.zeros((3, 16, 2))).shape
    (5, 3, 16)
    """
    size = images.shape[-2:]
    stack = images.reshape(-1, *size) + 0j  # the batch axis of jax-finufft: all images share the trajectory
    samples = _import_finufft().nufft2(stack, *_points(trajectory, size, stack.real.dtype), iflag=-1, eps=tolerance)
    return samples.reshape(*images.shape[:-2], *trajectory.shape[:-1]) / math.prod(size) ** 0.5


def nufft_adjoint(
    kspace: jax.Array, trajectory: jax.Array, size: tuple[int, ...], tolerance: float = 1e-6
) -> jax.Array:
    """Apply the adjoint of :func:`nufft` (type 1): ``x(r) = sum_k y_k exp(2 pi i k r / N) / sqrt(Y X)``.

    Args:
      kspace: (..., spoke, sample) complex.
      trajectory: (spoke, sample, 2), ky and kx in cycles per field of view.
      size: the shape (y, x) of the image.
      tolerance: the relative error.

    Returns:
      (..., y, x) complex.

    Raises:
      ImportError: jax-finufft is not installed.

    >>> import pytest
    >>> finufft = pytest.importorskip("jax_finufft")  # the extra nufft
    >>> nufft_adjoint(jnp.ones((5, 3, 16), complex), jnp.zeros((3, 16, 2)), (8, 8)).shape
    (5, 8, 8)
    """
    stack = kspace.reshape(-1, math.prod(trajectory.shape[:-1])) + 0j
    points = _points(trajectory, size, stack.real.dtype)
    images = _import_finufft().nufft1(size, stack, *points, iflag=1, eps=tolerance)
    return images.reshape(*kspace.shape[:-2], *size) / math.prod(size) ** 0.5


def _points(trajectory: jax.Array, size: tuple[int, ...], dtype: jnp.dtype) -> tuple[jax.Array, jax.Array]:
    """Convert a trajectory to radians per pixel, in the real data type of the images, as jax-finufft needs it."""
    radians = 2 * math.pi * jnp.asarray(trajectory, dtype).reshape(-1, 2) / jnp.asarray(size, dtype)
    return radians[:, 0], radians[:, 1]


def _import_finufft() -> ModuleType:
    try:
        import jax_finufft
    except ImportError as error:
        raise ImportError(
            "non-Cartesian sampling needs jax-finufft, which is not installed: pip install 'deqjax[nufft]'"
        ) from error
    return jax_finufft
