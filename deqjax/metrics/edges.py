"""The error of edges and fine structure: the high-frequency error norm."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike

from deqjax.metrics.volumes import nan_unless_finite, real_volumes

HFEN_WINDOW, HFEN_WIDTH = 15, 1.5
"""The size and the standard deviation of the filter in pixels."""


def hfen(image: ArrayLike, target: ArrayLike) -> jax.Array:
    """Return the high-frequency error norm of an image or a volume, relative to the edges of the target.

    ``|LoG(image - target)| / |LoG(target)|``, where LoG is the Laplacian of a Gaussian of 15 x 15 pixels with standard
    deviation 1.5 pixels that sums to zero, applied to every slice with zeros outside. Both norms are over the entire
    volume.

    Args:
        image: real magnitudes, (y, x) or (slice, y, x), any unit.
        target: the reference, same shape and unit.

    Returns:
        A scalar; 0 if image and target are equal, and about 1 for an image without any edge. For an all-zero target it
        is 0 if the image is all zero too, and ``inf`` otherwise. It is NaN if an input holds NaN or infinity.

    Raises:
        ValueError: The shapes differ or are not (y, x) or (slice, y, x), or an input is complex.

    Source: Ravishankar and Bresler 2011, MR image reconstruction from highly undersampled k-space data by dictionary
    learning, IEEE Trans. Med. Imaging 30:1028, section IV.A, here divided by the norm of the filtered target.

    >>> target = jnp.zeros((9, 9)).at[4:, 4:].set(1.0)
    >>> [round(float(hfen(image, target)), 3) for image in (target, 0.9 * target, 0 * target)]
    [0.0, 0.1, 1.0]
    """
    image, target = real_volumes(image, target)
    scale = jnp.max(jnp.abs(target))
    scale = jnp.where(scale == 0, 1, scale)
    error, edges = _squared_edges((image - target) / scale), _squared_edges(target / scale)
    return nan_unless_finite(jnp.where(error == 0, 0, _root(error) / _root(edges)), image, target)


@jax.jit
def _squared_edges(volume: jax.Array) -> jax.Array:
    kernel = jnp.asarray(_laplacian_of_gaussian(), volume.dtype)[..., None, None]
    layout = ("NHWC", "HWIO", "NHWC")
    filtered = lax.conv_general_dilated(
        volume[..., None], kernel, (1, 1), "SAME", dimension_numbers=layout, precision=lax.Precision.HIGHEST
    )
    return jnp.sum(filtered**2)


def _root(energy: jax.Array) -> jax.Array:
    """Take the square root, with the gradient 0 at 0."""
    return jnp.where(energy > 0, jnp.sqrt(jnp.where(energy > 0, energy, 1)), 0)


def _laplacian_of_gaussian() -> np.ndarray:
    offset = np.arange(HFEN_WINDOW) - HFEN_WINDOW // 2
    squared = offset[:, None] ** 2 + offset**2
    gaussian = np.exp(-squared / (2 * HFEN_WIDTH**2))
    laplacian = (squared - 2 * HFEN_WIDTH**2) / HFEN_WIDTH**4 * gaussian / gaussian.sum()
    return laplacian - laplacian.mean()
