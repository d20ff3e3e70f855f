"""Mutual information of images of different contrast, from a differentiable joint histogram."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from deqjax.registration.grid import Grid
from deqjax.registration.interpolation import cubic_bspline
from deqjax.registration.similarities.intensity import standardised

CHUNK = 1 << 14
"""The number of voxels that are binned at once; the memory is at most this number times the number of bins."""


@dataclass(frozen=True)
class MutualInformation:
    """``-(H(f) + H(w) - H(f, w))`` in nats, for images of different contrast.

    Attributes:
      bins: the number of bins of the joint histogram along each axis.

    Source: P. Viola and W. Wells, "Alignment by maximization of mutual information", Int. J. Comput. Vis. 24:137,
    1997, equation 2.

    >>> image = jnp.arange(64.0).reshape(8, 8)
    >>> bool(MutualInformation()(image, -image, jnp.ones((8, 8)), Grid.of((8, 8))) < -1)
    True
    """

    bins: int = 32

    def __call__(self, fixed: jax.Array, warped: jax.Array, mask: jax.Array, grid: Grid) -> jax.Array:
        joint = joint_histogram(fixed, warped, mask, self.bins)
        return entropy(joint) - entropy(jnp.sum(joint, 1)) - entropy(jnp.sum(joint, 0))


@dataclass(frozen=True)
class NormalisedMutualInformation:
    """``-(H(f) + H(w)) / H(f, w)``, in [-2, -1]; it depends less on the size of the overlap.

    Attributes:
      bins: the number of bins of the joint histogram along each axis.

    Source: C. Studholme et al., "An overlap invariant entropy measure of 3D medical image alignment", Pattern
    Recognit. 32:71, 1999, equation 9.

    >>> image = jnp.arange(64.0).reshape(8, 8)
    >>> bool(NormalisedMutualInformation()(image, -image, jnp.ones((8, 8)), Grid.of((8, 8))) < -1.2)
    True
    """

    bins: int = 32

    def __call__(self, fixed: jax.Array, warped: jax.Array, mask: jax.Array, grid: Grid) -> jax.Array:
        joint = joint_histogram(fixed, warped, mask, self.bins)
        return -(entropy(jnp.sum(joint, 1)) + entropy(jnp.sum(joint, 0))) / entropy(joint)


def joint_histogram(fixed: jax.Array, warped: jax.Array, mask: jax.Array, bins: int) -> jax.Array:
    """Estimate the joint density of two images by Parzen windows: cubic B-splines with the width of one bin.

    The range of each image over the mask covers the bins, except for two empty bins on either side.

    Args:
      fixed: a real image.
      warped: a real image of the same shape.
      mask: weights of the same shape.
      bins: the number of bins along each axis.

    Returns:
      The density, (bins, bins), with the sum 1.

    Source: D. Mattes et al., "PET-CT image registration in the chest using free-form deformations", IEEE Trans. Med.
    Imaging 22:120, 2003, equation 3, here with the cubic window on both images.

    >>> joint_histogram(jnp.arange(8.0), jnp.arange(8.0), jnp.ones(8), bins=8).shape
    (8, 8)
    """
    count = -(-fixed.size // CHUNK) * CHUNK
    chunks = [
        jnp.pad(a.ravel(), (0, count - a.size)).reshape(-1, min(CHUNK, count))
        for a in (_bin_position(fixed, mask, bins), _bin_position(warped, mask, bins), mask)
    ]
    centres = jnp.arange(bins, dtype=fixed.dtype)

    @jax.checkpoint
    def add(histogram: jax.Array, chunk: list[jax.Array]) -> tuple[jax.Array, None]:
        f, w, weight = chunk
        windows = cubic_bspline(f[:, None] - centres) * weight[:, None], cubic_bspline(w[:, None] - centres)
        return histogram + jnp.matmul(windows[0].T, windows[1], precision="highest"), None

    histogram, _ = jax.lax.scan(add, jnp.zeros((bins, bins), fixed.dtype), chunks)
    return histogram / jnp.sum(histogram)


def entropy(density: jax.Array) -> jax.Array:
    """Return ``-sum p log p`` of a density of any shape, in nats; for a joint density it is the joint entropy.

    >>> round(float(entropy(jnp.array([0.5, 0.5, 0.0]))), 4)
    0.6931
    """
    return -jnp.sum(density * jnp.log(jnp.where(density > 1e-12, density, 1)))


def _bin_position(image: jax.Array, mask: jax.Array, bins: int) -> jax.Array:
    """Return the position of each voxel among the bins. The range of the image moves with it and has a derivative."""
    image, _ = standardised(image, mask)
    low, high = jnp.min(jnp.where(mask > 0, image, jnp.inf)), jnp.max(jnp.where(mask > 0, image, -jnp.inf))
    return 2 + jnp.clip((image - low) / jnp.where(high > low, high - low, 1), 0, 1) * (bins - 5)
