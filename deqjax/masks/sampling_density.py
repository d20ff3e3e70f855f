"""The sampling density of a pattern: how often each line or point is sampled."""

from functools import lru_cache

import numpy as np

from deqjax.types import Mask

DRAWS = 2000
"""The number of masks of which the density is the average. Its standard error is at most 0.011."""


def density(mask: Mask, shape: tuple[int, ...]) -> np.ndarray:
    """Return the probability P with which a pattern samples each line or point, the average of ``DRAWS`` masks.

    The result is kept, so that equal settings and shapes are averaged once.

    Args:
      mask: the pattern.
      shape: of the k-space, (..., y, x).

    Returns:
      (1, x), or (y, x) for a pattern of points, float32 and read-only.

    >>> from deqjax.masks import CartesianRandom
    >>> density(CartesianRandom(acceleration=2, center_fraction=0.25), (8, 8)).round(1)
    array([[0.4, 0.3, 0.3, 1. , 1. , 0.3, 0.3, 0.3]], dtype=float32)
    """
    return _density(mask, tuple(shape[-2:]))  # type: ignore[arg-type]


@lru_cache(maxsize=32)
def _density(mask: Mask, shape: tuple[int, ...]) -> np.ndarray:
    total = np.zeros((), np.float64)
    for seed in range(DRAWS):
        total = total + mask(shape, seed)
    mean = (total / DRAWS).astype(np.float32)
    mean.setflags(write=False)
    return mean


@lru_cache(maxsize=32)
def drawn_masks(mask: Mask, shape: tuple[int, ...], count: int) -> np.ndarray:
    """Return ``count`` masks of a pattern, (count, 1, x) or (count, y, x), float32 and read-only; kept like a density.

    >>> from deqjax.masks import CartesianRandom
    >>> drawn_masks(CartesianRandom(2, 0.25), (8, 8), 3).shape
    (3, 1, 8)
    """
    drawn = np.stack([mask(shape, (1, seed)) for seed in range(count)]).astype(np.float32)
    drawn.setflags(write=False)
    return drawn
