"""The start of a registration of two files: from the headers, the centres of mass, the axes, or a search."""

from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from deqjax.registration.grid import Grid, check_dimensions
from deqjax.registration.initial_maps import align_axes, align_centres, multi_start
from deqjax.registration.inputs import checked_mask, masked_image
from deqjax.registration.objective import Objective
from deqjax.registration.pyramid import plan_levels, shrink, shrink_mask
from deqjax.registration.transforms import LinearMap, Translation
from deqjax.registration.types import Similarity, has_curvature

Start = Literal["header", "centres", "axes", "search"]

STARTS: tuple[Start, ...] = get_args(Start)
"""The names of the starts."""


def find_start(
    name: Start | None,
    fixed: ArrayLike,
    moving: ArrayLike,
    fixed_grid: Grid,
    moving_grid: Grid,
    similarity: Similarity,
    mask: ArrayLike | None = None,
) -> tuple[LinearMap, Start]:
    """Find the map with which a registration starts.

    Args:
      name: "header": the identity, so the headers place both images; "centres": `align_centres`; "axes": `align_axes`;
        "search": `multi_start`; None: the better of "header" and "centres" by the similarity on a coarse level.
      fixed: the fixed image, (x, y[, z]).
      moving: the moving image, (x, y[, z]).
      fixed_grid: the grid of the fixed image.
      moving_grid: the grid of the moving image.
      similarity: the similarity that compares the starts.
      mask: weights on the fixed image; None for all voxels.

    Returns:
      The map, and the name of the start.

    Raises:
      ValueError: as `register`, or if "search" is chosen with a similarity without a curvature.

    >>> from deqjax.registration.similarities import NCC
    >>> image = jnp.zeros((9, 9)).at[2:4, 3:6].set(1.0)
    >>> find_start(None, image, image[1:], Grid.of((9, 9)), Grid.of((8, 9), origin=(1.0, 0.0)), NCC())[1]
    'header'
    """
    check_dimensions(fixed_grid, moving_grid)
    header = LinearMap(jnp.eye(fixed_grid.ndim), jnp.zeros(fixed_grid.ndim))
    if name == "header":
        return header, name
    if name == "axes":
        return align_axes(jnp.asarray(fixed), jnp.asarray(moving), fixed_grid, moving_grid), name
    centres = align_centres(jnp.asarray(fixed), jnp.asarray(moving), fixed_grid, moving_grid)
    if name == "centres":
        return centres, name
    fixed, fixed_grid, known = masked_image("fixed", fixed, fixed_grid)
    moving, moving_grid, moving_mask = masked_image("moving", moving, moving_grid)
    weights = checked_mask(mask, fixed.shape)
    weights = weights if known is None else weights * known
    if name == "search":
        if not has_curvature(similarity):
            raise ValueError(f"the start 'search' needs a similarity with a curvature, such as NCC, not {similarity}")
        found = multi_start(
            fixed,
            moving,
            fixed_grid=fixed_grid,
            moving_grid=moving_grid,
            similarity=similarity,
            mask=weights,
            moving_mask=moving_mask,
        )
        return found, name
    images = fixed, moving, weights, moving_mask
    values, overlaps = zip(
        *(_compare(start, *images, fixed_grid, moving_grid, similarity) for start in (header, centres))
    )
    usable = [value if overlap > 0.25 * max(overlaps) else np.inf for value, overlap in zip(values, overlaps)]
    return (header, "header") if usable[0] <= usable[1] else (centres, "centres")


def _compare(
    start: LinearMap,
    fixed: jax.Array,
    moving: jax.Array,
    mask: jax.Array,
    moving_mask: jax.Array | None,
    fixed_grid: Grid,
    moving_grid: Grid,
    similarity: Similarity,
) -> tuple[float, float]:
    """Return the similarity and the overlap of a start, with voxels of a thirty-second of the longest side."""
    size = float(np.max(np.asarray(fixed_grid.spacing()) * np.asarray(fixed_grid.shape))) / 32
    (level,) = plan_levels(fixed_grid, moving_grid, (size,))
    coarse_fixed, coarse_grid = shrink(fixed, fixed_grid, level.fixed_factors)
    coarse_moving, coarse_moving_grid = shrink(moving, moving_grid, level.moving_factors)
    coarse_mask, _ = shrink(mask, fixed_grid, level.fixed_factors)
    known = shrink_mask(moving_mask, moving_grid, level.moving_factors)
    images = coarse_fixed, coarse_moving, coarse_mask, coarse_grid, coarse_moving_grid
    objective = Objective(*images, start, Translation(), similarity, None, 1, 1, known)
    warped, covered = objective.warped(jnp.zeros((*coarse_grid.shape, coarse_grid.ndim)))
    overlap = float(jnp.sum(covered) / jnp.sum(coarse_mask))
    value = float(similarity(coarse_fixed, warped, covered, coarse_grid)) if overlap > 0 else np.inf
    return value if np.isfinite(value) else np.inf, overlap
