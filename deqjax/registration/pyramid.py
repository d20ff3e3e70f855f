"""The levels of a registration: their voxel sizes in mm, and the smoothed and subsampled images."""

from itertools import pairwise
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from deqjax.registration.grid import Grid
from deqjax.registration.smoothing import smooth


class Level(NamedTuple):
    """One level: the factor by which each image shrinks along each axis, and the scale relative to the last level."""

    fixed_factors: tuple[int, ...]
    moving_factors: tuple[int, ...]
    scale: int


def plan_levels(fixed_grid: Grid, moving_grid: Grid, levels: tuple[float, ...] | None) -> tuple[Level, ...]:
    """Choose integer shrink factors for voxel sizes in mm. An axis whose voxels are already as coarse does not shrink.

    The affines must be known, so this does not run inside ``jit``.

    Args:
      fixed_grid: the grid of the fixed image.
      moving_grid: the grid of the moving image.
      levels: the voxel sizes in mm, from coarse to fine; None for 4, 2 and 1 times the finest voxel, without those
        that leave fewer than 8 voxels.

    Returns:
      The levels, the coarsest first.

    Raises:
      ValueError: if there is no level, a voxel size is not above zero, or the order is not from coarse to fine.

    >>> grid = Grid.of((64, 64, 16), spacing=(1.0, 1.0, 4.0))
    >>> [level.fixed_factors for level in plan_levels(grid, grid, (4.0, 1.0))]
    [(4, 4, 1), (1, 1, 1)]
    """
    levels = default_levels(fixed_grid) if levels is None else levels
    if not levels or not all(0 < size < np.inf for size in levels) or any(a < b for a, b in pairwise(levels)):
        raise ValueError(f"levels {levels}: give voxel sizes above zero in mm, from coarse to fine")
    count = len(levels)
    return tuple(
        Level(_shrink_factors(fixed_grid, size), _shrink_factors(moving_grid, size), 2 ** (count - 1 - k))
        for k, size in enumerate(levels)
    )


def default_levels(grid: Grid) -> tuple[float, ...]:
    """Return 4, 2 and 1 times the finest voxel in mm, without those that leave fewer than 8 voxels.

    >>> default_levels(Grid.of((20, 20)))
    (2.0, 1.0)
    """
    finest = float(np.min(grid.spacing()))
    size = max(n * float(s) for n, s in zip(grid.shape, np.asarray(grid.spacing()), strict=True))
    return tuple(f * finest for f in (4, 2, 1) if f == 1 or size / (f * finest) >= 8)


def shrink(image: jax.Array, grid: Grid, factors: tuple[int, ...]) -> tuple[jax.Array, Grid]:
    """Low-pass filter an image and keep every f-th voxel: ``sigma = sqrt(f^2 - 1) / 2`` voxels.

    Args:
      image: (*grid.shape).
      grid: the grid of the image.
      factors: f, one for each axis.

    Returns:
      The smaller image and its grid.

    >>> image, coarse = shrink(jnp.ones((5, 4)), Grid.of((5, 4)), (2, 2))
    >>> image.shape, coarse.spacing()
    ((3, 2), Array([2., 2.], dtype=float32))
    """
    sigma = jnp.sqrt(jnp.asarray(factors, image.real.dtype) ** 2 - 1) / 2
    smoothed = smooth(image, sigma) if max(factors) > 1 else image
    return smoothed[tuple(slice(None, None, f) for f in factors)], grid.strided(factors)


def shrink_mask(mask: jax.Array | None, grid: Grid, factors: tuple[int, ...]) -> jax.Array | None:
    """Shrink a mask of zeros and ones to zeros and ones; None stays None.

    >>> shrink_mask(jnp.array([[1.0, 1.0, 0.0, 0.0]]), Grid.of((1, 4)), (1, 2))
    Array([[1., 0.]], dtype=float32)
    """
    return None if mask is None else (shrink(mask, grid, factors)[0] > 0.5).astype(mask.dtype)


def _shrink_factors(grid: Grid, size: float) -> tuple[int, ...]:
    return tuple(
        max(1, min(round(size / float(s)), n)) for n, s in zip(grid.shape, np.asarray(grid.spacing()), strict=True)
    )
