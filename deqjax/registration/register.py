"""Registration of two images, from coarse to fine; a newcomer opens this file first."""

import jax
from jax.typing import ArrayLike

from deqjax.registration.coarse_to_fine import Pair, Registration, coarse_to_fine
from deqjax.registration.door import checked_image, checked_mask, settle
from deqjax.registration.grid import Grid, check_dimensions
from deqjax.registration.optimisers import Optimiser
from deqjax.registration.regularisers import Regulariser
from deqjax.registration.sample import Order
from deqjax.registration.similarities import Similarity
from deqjax.registration.transforms import Map, Transform

_run = jax.jit(coarse_to_fine, static_argnames="settings")


def register(
    fixed: ArrayLike,
    moving: ArrayLike,
    transform: Transform,
    similarity: Similarity | None = None,
    regulariser: Regulariser | None = None,
    levels: tuple[float, ...] | None = None,
    mask: ArrayLike | None = None,
    init: Map | None = None,
    *,
    fixed_grid: Grid | None = None,
    moving_grid: Grid | None = None,
    optimiser: Optimiser | None = None,
    order: Order = 1,
) -> Registration:
    """Find the map from fixed to moving points that minimises ``similarity(fixed, moving o map) + regulariser``.

    Deterministic, and one compiled program for all levels; other images of the same shape and voxel size reuse it.

    Args:
      fixed, moving: images (x, y[, z]); similarities of complex images are minimised by `LBFGS` or `Adam`.
      transform: which maps are looked for, e.g. ``transforms.FreeForm(spacing=16.0)``.
      similarity: `MSE` by default.
      regulariser: on the transform's field; None for none.
      levels: voxel sizes in mm from coarse to fine; None for 4, 2 and 1 times the finest voxel.
      mask: weights (x, y[, z]) on the fixed image; None for everywhere.
      init: applied after the transform, e.g. a coarser registration's map or `align_centres`.
      fixed_grid, moving_grid: where the images lie; voxels of 1 mm by default.
      optimiser: `GaussNewton` where the similarity has a curvature and the images are real, else `LBFGS`.
      order: of the interpolation of the moving image, 1 or 3.

    Raises:
      ValueError: images of different dimension, constant or not finite, without overlap; a grid that no image can
        have; a mask of another shape, negative or empty; levels out of order; an optimiser where it cannot be used.

    >>> import jax.numpy as jnp
    >>> points = Grid.of((16, 16)).points()
    >>> fixed, moving = (jnp.exp(-jnp.sum((points - place) ** 2, -1) / 20) for place in (7.0, 8.0))
    >>> from deqjax.registration.transforms import Translation
    >>> found = register(fixed, moving, Translation())
    >>> found.map.apply_points(jnp.array([7.0, 7.0])).round(1)
    Array([8., 8.], dtype=float32)
    """
    fixed, fixed_grid = checked_image("fixed", fixed, fixed_grid)
    moving, moving_grid = checked_image("moving", moving, moving_grid)
    check_dimensions(fixed_grid, moving_grid)
    pair = Pair(fixed, moving, checked_mask(mask, fixed.shape), init)
    settings, starts = settle(
        pair, fixed_grid, moving_grid, transform, similarity, regulariser, levels, optimiser, order
    )
    found = _run(pair, fixed_grid, moving_grid, starts, settings=settings)
    if not float(found.measures["overlap_before"]) > 0.01:
        raise ValueError("the images do not overlap: give an init such as align_centres(fixed, moving, ...)")
    return found
