"""Similarities of image structure, independent of contrast: gradient directions and neighbourhood descriptors."""

import itertools
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from deqjax.registration.grid import Grid
from deqjax.registration.similarities.intensity import standardised
from deqjax.registration.smoothing import smooth


@dataclass(frozen=True)
class NGF:
    """Normalised gradient fields: the mean over the mask of ``1 - <n(f), n(w)>^2``, which compares edge directions.

    ``n = grad / sqrt(|grad|^2 + eps^2)``.

    Attributes:
      edge: eps relative to the mean gradient of each image over the mask; weaker gradients count as noise.

    Source: E. Haber and J. Modersitzki, "Intensity gradient based registration and fusion of multi-modal images",
    MICCAI 2006, equations 2, 5 and 6.

    >>> image = jnp.arange(16.0).reshape(4, 4) ** 2
    >>> bool(abs(NGF(edge=1e-3)(image, -image, jnp.ones((4, 4)), Grid.of((4, 4)))) < 1e-4)
    True
    """

    edge: float = 0.5

    def __call__(self, fixed: jax.Array, warped: jax.Array, mask: jax.Array, grid: Grid) -> jax.Array:
        product = jnp.sum(self._directions(fixed, mask, grid) * self._directions(warped, mask, grid), axis=-1)
        return jnp.sum(mask * (1 - product**2)) / jnp.sum(mask)

    def _directions(self, image: jax.Array, mask: jax.Array, grid: Grid) -> jax.Array:
        image, _ = standardised(image, mask)
        axes = [jnp.asarray(jnp.gradient(image, axis=k)) if n > 1 else 0 * image for k, n in enumerate(image.shape)]
        gradient = jnp.stack(axes, axis=-1) / grid.spacing()
        energy = jnp.sum(gradient**2, axis=-1)
        typical = jnp.sum(mask * jnp.sqrt(energy + 1e-12)) / jnp.sum(mask)
        return gradient / jnp.sqrt(energy + (self.edge * typical) ** 2 + 1e-12)[..., None]


@dataclass(frozen=True)
class MIND:
    """The mean squared difference of MIND-SSC descriptors, which describe how similar the patches near a voxel are.

    A descriptor has one entry for each pair of neighbours at a right angle (12 in 3-D, 4 in 2-D):
    ``exp(-(D - min D) / V)``, D the Gaussian-weighted squared difference of the two patches, V the mean of D.

    Attributes:
      radius: the distance of the neighbours, in voxels.
      width: the standard deviation of the patches, in voxels.

    Source: M. Heinrich et al., "Towards realtime multimodal fusion for image-guided interventions using
    self-similarities", MICCAI 2013, equations 1 to 3.

    >>> image = jnp.sin(jnp.arange(64.0)).reshape(8, 8)
    >>> bool(MIND()(image, 2 - 3 * image, jnp.ones((8, 8)), Grid.of((8, 8))) < 1e-6)
    True
    """

    radius: int = 2
    width: float = 0.8

    def __call__(self, fixed: jax.Array, warped: jax.Array, mask: jax.Array, grid: Grid) -> jax.Array:
        difference = self.descriptor(fixed) - self.descriptor(warped)
        return jnp.sum(mask * jnp.mean(difference**2, axis=-1)) / jnp.sum(mask)

    def descriptor(self, image: jax.Array) -> jax.Array:
        """Compute the descriptor of every voxel: (*shape) to (*shape, pairs), each entry in [0, 1]."""
        image, _ = standardised(image, jnp.ones(image.shape, image.dtype))
        steps = self.radius * np.concatenate([np.eye(image.ndim), -np.eye(image.ndim)]).astype(int)
        pairs = [(a, b) for a, b in itertools.combinations(steps, 2) if a @ b == 0]
        squares = jnp.stack([(_shifted(image, a) - _shifted(image, b)) ** 2 for a, b in pairs], axis=-1)
        distances = smooth(squares, jnp.full(image.ndim, self.width))
        distances = distances - jnp.min(distances, axis=-1, keepdims=True)
        noise = jnp.mean(distances, axis=-1, keepdims=True)
        typical = jnp.mean(noise)
        return jnp.exp(-distances / jnp.clip(noise, 1e-3 * typical + 1e-12, 1e3 * typical + 1e-12))


def _shifted(image: jax.Array, step: np.ndarray) -> jax.Array:
    for axis, by in enumerate(step):
        index = np.clip(np.arange(image.shape[axis]) + by, 0, image.shape[axis] - 1)
        image = jnp.take(image, index, axis=axis)
    return image
