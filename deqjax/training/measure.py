"""From a batch of fully sampled k-space to what a scanner would have given, and the image it should become."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from deqjax.data import Batch
from deqjax.normalisation import EnergyScale
from deqjax.physics import MaskedFourier, Sense, add_noise, combine_coils, ifft2c, low_resolution_smaps, rss
from deqjax.physics.modulated import unit_phase
from deqjax.types import ForwardModel


class Measurement(NamedTuple):
    A: ForwardModel
    kspace: jax.Array
    """Masked and noisy, (batch, [coil,] y, x)."""

    target: jax.Array
    """Complex image of the full k-space, (batch, y, x), as of :func:`full_image`."""


def measure(batch: Batch, keys: jax.Array, noise: tuple[float, float], center_fraction: float) -> Measurement:
    """Undersample a batch and add noise, image by image.

    With a coil axis, the sensitivities are estimated from the calibration lines of the undersampled k-space.

    Args:
      batch: fully sampled k-space (batch, [coil,] y, x), and masks (batch, 1, x).
      keys: one JAX key an image, (batch,).
      noise: range of the standard deviation of the complex noise, relative to the energy scale of the target.
      center_fraction: of the calibration lines.
    """
    full, mask = jnp.asarray(batch.kspace), jnp.asarray(batch.mask)
    has_coils = full.ndim == 4
    images = ifft2c(full)
    scale = EnergyScale()(jnp.sqrt(jnp.sum(jnp.abs(images) ** 2, axis=1)) if has_coils else images).scale[:, 0, 0]

    def noisy(key: jax.Array, kspace: jax.Array, mask: jax.Array, scale: jax.Array) -> jax.Array:
        level_key, noise_key = jax.random.split(key)
        level = scale * jax.random.uniform(level_key, (), minval=noise[0], maxval=noise[1])
        return add_noise(noise_key, kspace, mask, level)

    coil_mask = mask[:, None] if has_coils else mask
    kspace = coil_mask * full
    if noise[1] > 0:
        kspace = jax.vmap(noisy)(keys, kspace, coil_mask, scale)
    if not has_coils:
        return Measurement(MaskedFourier(mask), kspace, images)
    smaps = low_resolution_smaps(kspace, center_fraction)
    return Measurement(Sense(smaps, mask), kspace, full_image(images, smaps))


def full_image(images: jax.Array, smaps: jax.Array) -> jax.Array:
    """The image that coil images (..., coil, y, x) should become: their root sum of squares, in the phase of the maps.

    The magnitude prefers no maps to others, so that better maps are better; the phase is what the maps leave to the
    image, ``sum_c conj(s_c) x_c``, which is otherwise free.

    >>> smaps = jnp.full((2, 1, 1), 0.5**0.5)
    >>> full_image(jnp.array([3j, 4j])[:, None, None], smaps)[0, 0].round(3)
    Array(0.+5.j, dtype=complex64)
    """
    return rss(images) * unit_phase(combine_coils(images, smaps))
