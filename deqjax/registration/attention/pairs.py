"""The training images of `ImageAttention`, and the pairs of them that each step uses."""

import numpy as np
from jax.typing import ArrayLike

from deqjax.registration.grid import Grid
from deqjax.registration.inputs import checked_image


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
