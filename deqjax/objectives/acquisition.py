"""Simulated acquisition: from fully sampled k-space to undersampled, noisy k-space and the target image."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from deqjax.data import Batch, MeasuredBatch
from deqjax.normalisation import EnergyScale
from deqjax.physics import MaskedFourier, Sense, add_noise, combine_coils, ifft2c, low_resolution_smaps, rss
from deqjax.physics.phase import unit_phase
from deqjax.types import ForwardModel, Mask


class Measurement(NamedTuple):
    """A batch of acquisitions with known targets."""

    A: ForwardModel
    kspace: jax.Array
    """Masked and noisy, (batch, [coil,] y, x)."""

    target: jax.Array
    """Complex image of the full k-space, (batch, y, x)."""


@dataclass(frozen=True)
class Acquisition:
    """Undersample a batch of fully sampled k-space, and add noise to each image separately.

    Attributes:
      noise: range of the standard deviation of the complex noise, relative to :func:`noise_unit` of the target. The
        level is drawn for each image.
      center_fraction: fraction of the width that the fully sampled centre lines cover; coil sensitivities are estimated
        from them. None if the mask has no such lines, which is enough for a single coil.
      pattern: the sampling pattern of the data. Objectives without targets compute the sampling density from it.

    >>> import numpy as np
    >>> batch = Batch(np.ones((1, 4, 4), np.complex64), np.array([[[0, 1, 1, 0]]], np.float32))
    >>> Acquisition()(batch, jax.random.split(jax.random.key(0), 1)).kspace[0, 0].real
    Array([0., 1., 1., 0.], dtype=float32)
    """

    noise: tuple[float, float] = (0.0, 0.0)
    center_fraction: float | None = None
    pattern: Mask | None = None

    def __call__(self, batch: Batch | MeasuredBatch, keys: jax.Array) -> Measurement:
        """Return the measurement of a batch.

        Args:
          batch: fully sampled k-space (batch, [coil,] y, x) and masks (batch, 1, x). Acquisitions with their full
            k-space are taken as they are, without more noise.
          keys: one JAX key per image, (batch,).

        Raises:
          ValueError: there are several coils and no centre lines, or the acquisitions have no full k-space.
        """
        if isinstance(batch, MeasuredBatch):
            if batch.full is None:
                raise ValueError("this objective needs targets, and the batch has none: choose one without targets")
            images = ifft2c(jnp.asarray(batch.full))
            return measurement(images, jnp.asarray(batch.kspace), jnp.asarray(batch.mask), self.center_fraction)
        full, mask = jnp.asarray(batch.kspace), jnp.asarray(batch.mask)
        images = ifft2c(full)
        scale = noise_unit(images)[:, 0, 0]

        def noisy(key: jax.Array, kspace: jax.Array, mask: jax.Array, scale: jax.Array) -> jax.Array:
            level_key, noise_key = jax.random.split(key)
            level = scale * jax.random.uniform(level_key, (), minval=self.noise[0], maxval=self.noise[1])
            return add_noise(noise_key, kspace, mask, level)

        coil_mask = mask[:, None] if full.ndim == 4 else mask
        kspace = coil_mask * full
        if self.noise[1] > 0:
            kspace = jax.vmap(noisy)(keys, kspace, coil_mask, scale)
        return measurement(images, kspace, mask, self.center_fraction)


def noise_unit(images: jax.Array) -> jax.Array:
    """Return the energy scale of full images (batch, [coil,] y, x), (batch, 1, 1). Noise levels are relative to it.

    >>> noise_unit(jnp.array([3j, 4j])[None, :, None, None])
    Array([[[5.]]], dtype=float32)
    """
    return EnergyScale()(rss(images) if images.ndim == 4 else images).scale


def measurement(
    images: jax.Array, kspace: jax.Array, mask: jax.Array, center_fraction: float | None = None
) -> Measurement:
    """Combine measured k-space with its forward model and its target image.

    With a coil axis, the sensitivities are estimated from the centre lines. The target is then the root sum of squares
    of the coil images, with the phase of ``sum_c conj(s_c) x_c``. Its magnitude does not depend on the maps, so that
    better maps give a better result; its phase is the one that the maps leave to the image.

    Args:
      images: images of the full k-space, (batch, [coil,] y, x).
      kspace: masked and noisy.
      mask: broadcasts against (y, x), shared or with a batch axis.
      center_fraction: see :class:`Acquisition`.

    Raises:
      ValueError: there are several coils and no centre lines.

    >>> kspace = jnp.full((1, 2, 4, 4), 0.5)
    >>> measurement(ifft2c(kspace), kspace, jnp.ones((1, 4)), 0.5).target[0, 2, 2].round(3)
    Array(2.828+0.j, dtype=complex64)
    """
    if images.ndim == 3:
        return Measurement(MaskedFourier(mask), kspace, images)
    if center_fraction is None:
        raise ValueError(
            f"k-space of shape {kspace.shape} has {kspace.shape[1]} coils. Their sensitivities are estimated from "
            "fully sampled centre lines, and the mask has none: choose a mask with a center_fraction"
        )
    smaps = low_resolution_smaps(kspace, center_fraction)
    return Measurement(Sense(smaps, mask), kspace, rss(images) * unit_phase(combine_coils(images, smaps)))
