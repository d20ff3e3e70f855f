"""Coil sensitivities from low-resolution images, and their refinement by a trained network."""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from deqjax.physics.calibration_region import calibration_size
from deqjax.physics.coils import check_coil_axis, compression_matrix, rss
from deqjax.physics.fourier import hann, ifft2c
from deqjax.scaling import power_of_two_scale
from deqjax.types import Net, Params


def low_resolution_images(kspace: jax.Array, center_fraction: float) -> jax.Array:
    """Compute coil images from the calibration region, ``x_c = F^H (h y_c)`` with a Hann window h.

    Args:
      kspace: (..., coil, y, x) complex.
      center_fraction: the size of the calibration region as a fraction of y and of x.

    Returns:
      (..., coil, y, x) complex, scaled so that the largest magnitude over coils and pixels is 1.

    Raises:
      ValueError: the coil axis is missing, or the calibration region has fewer than 2 lines along an axis.

    >>> low_resolution_images(jnp.ones((3, 32, 32), complex), 0.25).shape
    (3, 32, 32)
    """
    check_coil_axis(kspace)
    tapers = []
    for axis, size in zip("yx", kspace.shape[-2:]):
        start, number = calibration_size(size, center_fraction)
        if number < 2:
            raise ValueError(
                f"center_fraction {center_fraction} of {size} leaves {number} calibration lines along {axis}; "
                "coil sensitivities need at least 2"
            )
        tapers.append(hann(np.arange(size) - (start + (number - 1) / 2), number + 1))
    kspace = power_of_two_scale(kspace, (-3, -2, -1)).apply(kspace)
    images = ifft2c(jnp.asarray(np.outer(*tapers), kspace.real.dtype) * kspace)
    largest = jnp.max(jnp.abs(images), axis=(-3, -2, -1), keepdims=True)
    return images / jnp.where(largest > 0, largest, 1)


def low_resolution_smaps(kspace: jax.Array, center_fraction: float = 0.08) -> jax.Array:
    """Estimate coil sensitivities as the low-resolution coil images divided by their root sum of squares.

    ``s_c = x_c / rss(x)`` with ``x_c = F^H (h y_c)``, where h is a Hann window over the calibration region. The phase
    of the object remains in the sensitivities, so that the combined image is nearly real.

    Args:
      kspace: (..., coil, y, x) complex; only the calibration region is used, so that the k-space may be undersampled
        outside of it.
      center_fraction: the size of the calibration region as a fraction of y and of x.

    Returns:
      (..., coil, y, x) complex. The sum of squared magnitudes is 1 wherever a coil has signal, and 0 elsewhere.

    Raises:
      ValueError: the coil axis is missing, or the calibration region has fewer than 2 lines along an axis.

    Source: C. A. McKenzie et al., "Self-calibrating parallel imaging with automatic coil sensitivity extraction",
    Magn. Reson. Med. 47:529, 2002.

    >>> from deqjax.physics import fft2c
    >>> smaps = low_resolution_smaps(fft2c(jnp.ones((3, 32, 32), complex)), center_fraction=0.25)
    >>> bool(jnp.allclose(rss(smaps), 1, atol=1e-5))
    True
    """
    return normalise_smaps(low_resolution_images(kspace, center_fraction))


@partial(jax.jit, static_argnames=("center_fraction", "block"))
def walsh_smaps(kspace: jax.Array, center_fraction: float = 0.08, *, block: int = 5) -> jax.Array:
    """Estimate coil sensitivities by Walsh's adaptive combination: the first eigenvector of the local coil covariance.

    ``R(p) = sum_q x(q) x(q)^H`` over the ``block x block`` pixels q around p, where x are the low-resolution coil
    images. The sensitivity at p is the eigenvector of R(p) with the largest eigenvalue, which averages the noise over
    the block. Its phase is that of the strongest combination of coils in the entire image.

    Args:
      kspace: (..., coil, y, x) complex; only the calibration region is used.
      center_fraction: the size of the calibration region as a fraction of y and of x. With 1 and fully sampled data
        the sensitivities have the resolution of the image, as in the paper.
      block: the side of the block of pixels, odd; the images are zero beyond their border.

    Returns:
      (..., coil, y, x) complex. The sum of squared magnitudes is 1 wherever a pixel of the block has signal, and 0
      elsewhere.

    Raises:
      ValueError: the coil axis is missing, the calibration region has fewer than 2 lines along an axis, or ``block`` is
        not odd.

    Source: D. O. Walsh, A. F. Gmitro, M. W. Marcellin, "Adaptive reconstruction of phased array MR imagery", Magn.
    Reson. Med. 43:682, 2000, eqs. 6 to 12, for white noise.

    >>> from deqjax.physics import fft2c
    >>> smaps = walsh_smaps(fft2c(jnp.ones((3, 32, 32), complex)), center_fraction=0.25)
    >>> bool(jnp.allclose(rss(smaps), 1, atol=1e-5))
    True
    """
    if block < 1 or block % 2 == 0:
        raise ValueError(f"block must be odd and at least 1, not {block}")
    images = low_resolution_images(kspace, center_fraction)
    smaps = jax.lax.map(partial(_local_eigenvectors, block=block), images.reshape(-1, *images.shape[-3:]))
    return smaps.reshape(kspace.shape)


def _local_eigenvectors(images: jax.Array, block: int) -> jax.Array:
    """Return the first eigenvector of the covariance around each pixel of coil images (coil, y, x)."""
    _, y, x = images.shape
    covariance = partial(jnp.einsum, precision="highest")
    reference = compression_matrix(images, 1)[0]
    padded = jnp.pad(images, [(0, 0), (block // 2, block // 2), (block // 2, block // 2)])
    columns = np.arange(x)[:, None] + np.arange(block)

    def row(start: jax.Array) -> jax.Array:
        strip = jax.lax.dynamic_slice_in_dim(padded, start, block, axis=1)
        column_sums = covariance("cyx,dyx->xcd", strip, jnp.conj(strip))
        local = jnp.sum(column_sums[columns], axis=1)
        vector = jnp.linalg.eigh(local)[1][..., -1]
        phase = jnp.exp(-1j * jnp.angle(vector @ reference))
        has_signal = jnp.trace(local, axis1=-2, axis2=-1).real > 0
        return vector * (phase * has_signal)[:, None]

    return jnp.moveaxis(jax.lax.map(row, jnp.arange(y)), -1, 0)


@dataclass(frozen=True)
class LearnedSmaps:
    """Refine estimated coil sensitivities by a network: ``s_c <- r_c / rss(r)``, ``r_c = s_c + gain (D(s_c) - s_c)``.

    All coils share one net D. ``gain`` is a parameter that starts at 0, so that training starts from the given
    sensitivities, for instance those of :func:`low_resolution_smaps`. This is a setting of
    :class:`deqjax.Reconstructor`, which refines the sensitivities of its forward model once, before the solve. The
    parameters are stored under ``"smaps"``, and no bound on the iteration applies to them.

    The target of training is the root sum of squares of the coil images, with the phase that the given sensitivities
    leave in the image. It therefore favours no particular sensitivities. It also fixes the phase, which sensitivities
    and image could otherwise exchange.

    Attributes:
      net: D, for instance ``deqjax.nets.UNet(levels=3, features=8)``.

    Source: A. Sriram et al., "End-to-end variational networks for accelerated MRI reconstruction", MICCAI 2020, section
    3.2 (sensitivity map estimation); their net starts from the coil images before their normalisation.

    >>> import deqjax as dj
    >>> learned = LearnedSmaps(dj.nets.DnCNN(layers=2, features=4))
    >>> smaps = jnp.full((2, 8, 8), 0.5**0.5, complex)
    >>> bool(jnp.allclose(learned(learned.init(jax.random.key(0)), smaps), smaps))
    True
    """

    net: Net

    def init(self, key: jax.Array) -> Params:
        """Create the parameters ``{"net": ..., "gain": 0}``."""
        return {"net": self.net.init(key, jnp.zeros((1, 16, 16), jnp.complex64))["params"], "gain": jnp.zeros(())}

    def __call__(self, params: Params, smaps: jax.Array) -> jax.Array:
        """Refine ([batch,] coil, y, x); the sum of squared magnitudes is 1 wherever a coil is not 0."""
        images = smaps.reshape(-1, *smaps.shape[-2:])
        denoised = self.net.apply({"params": params["net"]}, images).reshape(smaps.shape)
        return normalise_smaps(smaps + params["gain"] * (denoised - smaps))


def normalise_smaps(smaps: jax.Array) -> jax.Array:
    """Divide coil sensitivities by their root sum of squares, ``s_c / rss(s)``; 0 where all coils are 0.

    The image that belongs to the result is weighted by ``rss(s)``. :class:`Sense` needs this norm for
    ``||A^H A|| <= 1``, which the maps of other programs may not have.

    Args:
      smaps: (..., coil, y, x) complex.

    >>> abs(normalise_smaps(jnp.full((4, 2, 2), 3j)))[0, 0, 0]
    Array(0.5, dtype=float32)
    """
    images = power_of_two_scale(smaps, -3).apply(smaps)
    combined = rss(images)[..., None, :, :]
    return jnp.where(combined > 0, images / jnp.where(combined > 0, combined, 1), 0)
