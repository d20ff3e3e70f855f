"""From a batch of fully sampled k-space to what a scanner would have given, and the image it should become."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from deqjax.data import Batch
from deqjax.normalisation import EnergyScale
from deqjax.physics import MaskedFourier, Sense, add_noise, combine_coils, ifft2c, low_resolution_smaps, rss
from deqjax.physics.phase import unit_phase
from deqjax.types import ForwardModel


class Measurement(NamedTuple):
    A: ForwardModel
    kspace: jax.Array
    """Masked and noisy, (batch, [coil,] y, x)."""

    target: jax.Array
    """Complex image of the full k-space, (batch, y, x)."""


def measure(batch: Batch, keys: jax.Array, noise: tuple[float, float], center_fraction: float) -> Measurement:
    """Undersample a batch and add noise, image by image.

    Args:
      batch: fully sampled k-space (batch, [coil,] y, x), and masks (batch, 1, x).
      keys: one JAX key an image, (batch,).
      noise: range of the standard deviation of the complex noise, relative to the energy scale of the target.
      center_fraction: of the calibration lines.
    """
    full, mask = jnp.asarray(batch.kspace), jnp.asarray(batch.mask)
    has_coils = full.ndim == 4
    images = ifft2c(full)
    scale = noise_unit(images)[:, 0, 0]

    def noisy(key: jax.Array, kspace: jax.Array, mask: jax.Array, scale: jax.Array) -> jax.Array:
        level_key, noise_key = jax.random.split(key)
        level = scale * jax.random.uniform(level_key, (), minval=noise[0], maxval=noise[1])
        return add_noise(noise_key, kspace, mask, level)

    coil_mask = mask[:, None] if has_coils else mask
    kspace = coil_mask * full
    if noise[1] > 0:
        kspace = jax.vmap(noisy)(keys, kspace, coil_mask, scale)
    return measurement(images, kspace, mask, center_fraction)


def noise_unit(images: jax.Array) -> jax.Array:
    """The energy scale of full images (batch, [coil,] y, x), to which noise is relative, (batch, 1, 1).

    >>> noise_unit(jnp.array([3j, 4j])[None, :, None, None])
    Array([[[5.]]], dtype=float32)
    """
    return EnergyScale()(rss(images) if images.ndim == 4 else images).scale


def measurement(images: jax.Array, kspace: jax.Array, mask: jax.Array, center_fraction: float) -> Measurement:
    """Put together the k-space that was measured, what is known of how, and the image that it should become.

    With a coil axis, the sensitivities are estimated from the calibration lines, and the target is the root sum of
    squares of the coil images, in the phase of ``sum_c conj(s_c) x_c``: the magnitude prefers no maps to others, so
    that better maps are better; the phase is what the maps leave to the image, which is otherwise free.

    Args:
      images: of the full k-space, (batch, [coil,] y, x).
      kspace: masked and noisy.
      mask: broadcasts against (y, x), one or one an image.
      center_fraction: of the calibration lines.

    >>> kspace = jnp.full((1, 2, 4, 4), 0.5)
    >>> measurement(ifft2c(kspace), kspace, jnp.ones((1, 4)), 0.5).target[0, 2, 2].round(3)
    Array(2.828+0.j, dtype=complex64)
    """
    if images.ndim == 3:
        return Measurement(MaskedFourier(mask), kspace, images)
    smaps = low_resolution_smaps(kspace, center_fraction)
    return Measurement(Sense(smaps, mask), kspace, rss(images) * unit_phase(combine_coils(images, smaps)))
