"""A loss that is one minus the structural similarity."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from deqjax.metrics import ssim
from deqjax.metrics.volumes import check_same_shape
from deqjax.types import Params


def ssim_loss(image: ArrayLike, target: ArrayLike) -> jax.Array:
    """Return ``mean(1 - SSIM(|image|, |target|))`` over the batch.

    Each image has the data range of its own target. The phases are ignored.

    Args:
        image: (y, x) or (batch, y, x), real or complex, y and x at least 7.
        target: the reference, same shape and unit; an all-zero target has the data range 1, see `deqjax.metrics.ssim`.

    Returns:
        A real scalar, from 0 (equal magnitudes) to 2.

    Raises:
        ValueError: The shapes differ, are not (y, x) or (batch, y, x), or are smaller than the 7 x 7 window.

    Source: Wang, Bovik, Sheikh, Simoncelli 2004, Image quality assessment: from error visibility to structural
    similarity, eq. 13.

    >>> ramp = jnp.outer(jnp.arange(8.0), jnp.arange(9.0))
    >>> [round(float(ssim_loss(image, ramp)), 3) for image in (1j * ramp, 0.9 * ramp)]
    [0.0, 0.011]
    """
    image, target = jnp.asarray(image), jnp.asarray(target)
    check_same_shape(image, target)
    if image.ndim not in (2, 3):
        raise ValueError(
            f"image and target have shape {image.shape}; SSIM takes (y, x) or (batch, y, x): merge the other axes "
            "into the batch"
        )
    pixels = (-1, *image.shape[-2:])
    return 1 - jnp.mean(jax.vmap(ssim)(jnp.abs(image).reshape(pixels), jnp.abs(target).reshape(pixels)))


@dataclass(frozen=True)
class SSIMLoss:
    """The setting of `ssim_loss`. It has no options and no learned parameters.

    >>> ramp = jnp.outer(jnp.arange(8.0), jnp.arange(9.0))
    >>> round(float(SSIMLoss()(0.9 * ramp, ramp)), 3)
    0.011
    """

    def init(self) -> Params:
        """Return the learned parameters: none."""
        return {}

    def __call__(self, image: ArrayLike, target: ArrayLike, params: Params | None = None) -> jax.Array:
        """Return ``ssim_loss(image, target)``; ``params`` is not used."""
        return ssim_loss(image, target)
