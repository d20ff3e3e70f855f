"""Label fusion: one label image from the warped labels of many atlases."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from deqjax.registration.grid import Grid
from deqjax.registration.similarities import LocalNCC


def local_weights(
    target: ArrayLike, atlases: ArrayLike, grid: Grid | None = None, width: float = 3.0, power: float = 4.0
) -> jax.Array:
    """Weigh each warped atlas at each voxel by its local correlation with the target: ``max(correlation, 0)^power``.

    Args:
      target: the image to be labelled, (x, y[, z]).
      atlases: the images of the atlases, warped to the target, (atlases, x, y[, z]).
      grid: the grid of all; None for voxels of 1 mm.
      width: the standard deviation of the Gaussian window, in mm.
      power: a larger power follows the best atlas more closely.

    Returns:
      The weights, (atlases, x, y[, z]), at least 1e-6, so that a voxel without contrast gets a majority vote.

    Source: X. Artaechevarria, A. Munoz-Barrutia and C. Ortiz-de-Solorzano, "Combination strategies in multi-atlas image
    segmentation", IEEE Trans. Med. Imaging 28:1266, 2009, section II.C, with the correlation as the measure.

    >>> target = jnp.arange(16.0).reshape(4, 4) ** 2
    >>> weights = local_weights(target, jnp.stack([2 * target, -target]))
    >>> bool(jnp.all(weights[0] > weights[1]))
    True
    """
    target, atlases = jnp.asarray(target, float), jnp.asarray(atlases, float)
    grid = Grid.of(target.shape) if grid is None else grid
    measure, everywhere = LocalNCC(width), jnp.ones(grid.shape)
    correlation = jax.lax.map(lambda atlas: measure.correlation(target, atlas, everywhere, grid), atlases)
    return jnp.maximum(correlation, 0) ** power + 1e-6


def fuse_labels(labels: ArrayLike, weights: ArrayLike | None = None) -> np.ndarray:
    """Give each voxel the label with the largest sum of weights over the atlases; among equals, the smallest label.

    Args:
      labels: the labels of the atlases, warped to the target, (atlases, x, y[, z]), integers of any size.
      weights: (atlases, x, y[, z]), as `local_weights` returns them; None for a majority vote.

    Returns:
      The fused labels, (x, y[, z]), of the type of ``labels``.

    Raises:
      ValueError: if the labels are not integers, or the weights have another shape.

    Source: T. Rohlfing et al., "Evaluation of atlas selection strategies for atlas-based image segmentation",
    NeuroImage 21:1428, 2004, for the vote.

    >>> fuse_labels(np.array([[[1012, 0]], [[1012, 7]], [[3, 7]]]))
    array([[1012,    7]])
    """
    labels = np.asarray(labels)
    given = np.ones(labels.shape, np.float32) if weights is None else np.asarray(weights, np.float32)
    if labels.dtype.kind not in "biu" or labels.shape != given.shape:
        raise ValueError(
            f"labels of type {labels.dtype} and shape {labels.shape}, weights of shape {given.shape}: labels must be "
            "integers, and both (atlases, x, y[, z])"
        )
    best, largest = np.zeros(labels.shape[1:], labels.dtype), np.full(labels.shape[1:], -np.inf, np.float32)
    for value in np.unique(labels):
        votes = np.sum(given, axis=0, where=labels == value)
        better = votes > largest
        best[better], largest[better] = value, votes[better]
    return best
