"""Coil sensitivities from how the coil images vary together around each pixel."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from deqjax.physics.coils import low_resolution_images
from deqjax.physics.compress_coils import compression_matrix


@partial(jax.jit, static_argnames=("center_fraction", "block"))
def walsh_smaps(kspace: jax.Array, center_fraction: float = 0.08, *, block: int = 5) -> jax.Array:
    """Estimate coil sensitivities by Walsh's adaptive combination: the eigenvector of the local coil covariance.

    ``R(p) = sum_q x(q) x(q)^H`` over the square of ``block x block`` pixels q around p, with x the low-resolution coil
    images; the map at p is the eigenvector of R(p) to its largest eigenvalue, which averages noise over the square. Its
    phase is that of the strongest combination of coils in the whole image.

    Args:
      kspace: (..., coil, y, x) complex; only the calibration square is read. With ``center_fraction`` 1 and full data
        the maps have the resolution of the image, as in the paper.
      center_fraction: side of the calibration square as a fraction of y and of x.
      block: side of the square of pixels, odd; beyond the border there are zeros.

    Returns:
      (..., coil, y, x) complex; the sum of squared magnitudes is 1 wherever any pixel of the square has signal, else 0.

    Raises:
      ValueError: no coil axis, a calibration square of fewer than 2 lines, or a block that is not odd.

    Source: D. O. Walsh, A. F. Gmitro, M. W. Marcellin, "Adaptive reconstruction of phased array MR imagery", Magn.
    Reson. Med. 43:682, 2000, eqs. 6 to 12, for white noise.

    >>> from deqjax.physics import fft2c, rss
    >>> smaps = walsh_smaps(fft2c(jnp.ones((3, 32, 32), complex)), center_fraction=0.25)
    >>> bool(jnp.allclose(rss(smaps), 1, atol=1e-5))
    True
    """
    if block < 1 or block % 2 == 0:
        raise ValueError(f"block must be odd and at least 1, not {block}")
    images = low_resolution_images(kspace, center_fraction)
    maps = jax.lax.map(partial(_maps, block=block), images.reshape(-1, *images.shape[-3:]))
    return maps.reshape(kspace.shape)


def _maps(images: jax.Array, block: int) -> jax.Array:
    """The maps of one set of coil images, (coil, y, x)."""
    _, y, x = images.shape
    covariance = partial(jnp.einsum, precision="highest")
    strongest = compression_matrix(images, 1)[0]
    padded = jnp.pad(images, [(0, 0), (block // 2, block // 2), (block // 2, block // 2)])
    columns = np.arange(x)[:, None] + np.arange(block)

    def row(start: jax.Array) -> jax.Array:
        strip = jax.lax.dynamic_slice_in_dim(padded, start, block, axis=1)
        along = covariance("cyx,dyx->xcd", strip, jnp.conj(strip))
        local = jnp.sum(along[columns], axis=1)
        vector = jnp.linalg.eigh(local)[1][..., -1]
        turn = jnp.exp(-1j * jnp.angle(vector @ strongest))
        there = jnp.trace(local, axis1=-2, axis2=-1).real > 0
        return vector * (turn * there)[:, None]

    return jnp.moveaxis(jax.lax.map(row, jnp.arange(y)), -1, 0)
