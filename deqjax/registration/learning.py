"""Learning of registration networks: what is learned, and the pairs of images that each step uses."""

from typing import NamedTuple

import jax
import numpy as np
from jax.typing import ArrayLike

from deqjax.pytree import operand
from deqjax.registration.grid import Grid
from deqjax.registration.inputs import checked_image
from deqjax.registration.types import Network


class RegistrationProblem(NamedTuple):
    """What a training run learns: a network for images on one grid.

    Attributes:
      network: the network.
      grid: the grid of all images.
      labels: the number of labels of the images, without the background; 0 if there are none.
    """

    network: Network
    grid: Grid
    labels: int = 0


@operand
class PairBatch:
    """Pairs of images, (pairs, *grid.shape) each.

    Attributes:
      fixed: the fixed images.
      moving: the moving images.
      fixed_labels: the labels of the fixed images, numbered from 1, with 0 for the background; None without labels.
      moving_labels: likewise, of the moving images.
    """

    fixed: jax.Array | np.ndarray
    moving: jax.Array | np.ndarray
    fixed_labels: jax.Array | np.ndarray | None = None
    moving_labels: jax.Array | np.ndarray | None = None


def checked_images(images: ArrayLike, grid: Grid | None = None) -> tuple[np.ndarray, Grid]:
    """Check images on one grid, and return them with their grid.

    Args:
      images: (n, x, y[, z]), real.
      grid: the grid of all images; None for voxels of 1 mm.

    Returns:
      The images, (n, x, y[, z]), and their grid.

    Raises:
      ValueError: if there are fewer than two images, or an image is complex, constant or not finite.

    >>> images, grid = checked_images(np.stack([np.eye(4), 1 - np.eye(4)]))
    >>> images.shape, grid.shape
    ((2, 4, 4), (4, 4))
    """
    values = np.asarray(images)
    if values.ndim < 3 or len(values) < 2:
        raise ValueError(f"images of shape {values.shape}: training needs (n, x, y[, z]) with at least two images")
    if np.iscomplexobj(values):
        raise ValueError("the images are complex: the convolutions need real images, use jnp.abs")
    for k, image in enumerate(values):
        _, grid = checked_image(f"image {k}", image, grid)
    assert grid is not None
    return values, grid


def pair_at(count: int, batch_size: int, seed: int, step: int) -> np.ndarray:
    """Draw the ordered pairs of different images of one training step.

    The result depends on the arguments alone, so training that resumes at a step uses the same pairs.

    Args:
      count: the number of images.
      batch_size: the number of pairs.
      seed: the seed of the training.
      step: the step, from 0.

    Returns:
      The indices of the fixed and the moving images, (batch_size, 2).

    >>> pair_at(count=10, batch_size=4, seed=0, step=7).shape
    (4, 2)
    """
    random = np.random.default_rng((seed, step))
    return np.stack([random.choice(count, 2, replace=False) for _ in range(batch_size)])
