"""Registration of two images, or of many pairs of images, from coarse to fine. Start reading here."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from deqjax.registration.grid import Grid, check_dimensions
from deqjax.registration.inputs import checked_init, checked_mask, in_default_type, masked_image, settings_with_defaults
from deqjax.registration.interpolation import Order
from deqjax.registration.multiresolution import Pair, Registration, Settings, register_levels
from deqjax.registration.types import Map, Optimizer, Regularizer, Similarity, Transform

SMALLEST_OVERLAP = 0.01
"""The fraction of the mask that has to lie inside the moving image at the start."""


def register(
    fixed: ArrayLike,
    moving: ArrayLike,
    transform: Transform,
    similarity: Similarity | None = None,
    regularizer: Regularizer | None = None,
    levels: tuple[float, ...] | None = None,
    mask: ArrayLike | None = None,
    init: Map | None = None,
    *,
    fixed_grid: Grid | None = None,
    moving_grid: Grid | None = None,
    optimizer: Optimizer | None = None,
    order: Order = 1,
) -> Registration:
    """Find the map from fixed to moving points that minimises ``similarity(fixed, moving o map) + regularizer``.

    The result is deterministic. All levels are one compiled program, which other images of the same shape and voxel
    size reuse.

    Args:
      fixed: the fixed image, (x, y[, z]). NaN voxels of both images do not count.
      moving: the moving image, (x, y[, z]). Similarities of complex images are minimised by `LBFGS` or `Adam`.
      transform: the family of maps, for example ``transforms.FreeForm(spacing=16.0)``.
      similarity: the measure of how much the images differ; `MSE` by default.
      regularizer: a penalty of the field of the transform; None for no penalty.
      levels: the voxel sizes in mm, from coarse to fine; None for 4, 2 and 1 times the finest voxel.
      mask: weights (x, y[, z]) on the fixed image; None for all voxels.
      init: a map applied after the transform, for example the map of a coarser registration or `align_centres`.
      fixed_grid: the grid of the fixed image; None for voxels of 1 mm.
      moving_grid: the grid of the moving image; None for voxels of 1 mm.
      optimizer: by default `GaussNewton` if the similarity has a curvature and the images are real, else `LBFGS`.
      order: the interpolation order of the moving image, 1 or 3.

    Returns:
      The map, the history of the objective, and measures of the result. Its ``status`` says whether the result can be
      trusted: whether the last level converged, and whether the image stayed in view.

    Raises:
      ValueError: if the images have different dimensions, are constant, infinite or all NaN, or do not overlap; if a
        grid is impossible; if the mask has another shape, a negative weight or no weight; if the levels are out of
        order; or if the optimizer does not suit the similarity or the transform.

    >>> points = Grid.of((16, 16)).points()
    >>> fixed, moving = (jnp.exp(-jnp.sum((points - centre) ** 2, -1) / 20) for centre in (7.0, 8.0))
    >>> from deqjax.registration.transforms import Translation
    >>> found = register(fixed, moving, Translation())
    >>> found.map.apply_points(jnp.array([7.0, 7.0])).round(1)
    Array([8., 8.], dtype=float32)
    """
    fixed, fixed_grid, known = masked_image("fixed", fixed, fixed_grid)
    moving, moving_grid, moving_mask = masked_image("moving", moving, moving_grid)
    check_dimensions(fixed_grid, moving_grid)
    weights = _known_weights("fixed", checked_mask(mask, fixed.shape), known)
    pair = Pair(fixed, moving, weights, checked_init(init, fixed_grid.ndim), moving_mask)
    settings, identities = settings_with_defaults(
        pair, fixed_grid, moving_grid, transform, similarity, regularizer, levels, optimizer, order
    )
    found = _register_pair(pair, fixed_grid, moving_grid, identities, settings=settings)
    if not float(found.measures["overlap_before"]) > SMALLEST_OVERLAP:
        raise ValueError("the images do not overlap: give an init such as align_centres(fixed, moving, ...)")
    return found


def register_pairs(
    fixed: ArrayLike,
    moving: ArrayLike,
    transform: Transform,
    similarity: Similarity | None = None,
    regularizer: Regularizer | None = None,
    levels: tuple[float, ...] | None = None,
    mask: ArrayLike | None = None,
    init: Map | None = None,
    *,
    fixed_grid: Grid | None = None,
    moving_grid: Grid | None = None,
    optimizer: Optimizer | None = None,
    order: Order = 1,
    at_once: int = 1,
) -> Registration:
    """Register every pair of a batch as `register` does, in one compiled program.

    Args:
      fixed: the fixed images, (pairs, x, y[, z]), all on one grid.
      moving: the moving images, (pairs, x, y[, z]), all on another grid.
      transform: see `register`.
      similarity: see `register`.
      regularizer: see `register`.
      levels: see `register`.
      mask: weights on the fixed images, (pairs, x, y[, z]); None for all voxels.
      init: one map for each pair: every array in it has a leading axis of pairs, as `jax.vmap` of `align_centres`
        returns it.
      fixed_grid: see `register`.
      moving_grid: see `register`.
      optimizer: see `register`.
      order: see `register`.
      at_once: the number of pairs that are registered together under `vmap`, which is for accelerators: all of them
        run until the last has converged, and the results agree with `register` up to rounding, which many parameters
        with little regularisation amplify. With 1, the pairs are registered one after another inside the program,
        each until it has converged, and the results are those of `register`.

    Returns:
      A `Registration` whose every array has a leading axis of pairs; ``jax.tree.map(lambda a: a[k], found)`` is the
      result of pair k.

    Raises:
      ValueError: if there are no pairs, the numbers of images differ, or ``at_once`` is below 1; else as `register`,
        with the number of the pair.

    >>> points = Grid.of((16, 16)).points()
    >>> images = jnp.stack([jnp.exp(-jnp.sum((points - centre) ** 2, -1) / 20) for centre in (7.0, 8.0, 6.5)])
    >>> from deqjax.registration.transforms import Translation
    >>> found = register_pairs(images[:2], images[1:], Translation())
    >>> found.map.offset.round(1)
    Array([[ 1. ,  1. ],
           [-1.5, -1.5]], dtype=float32)
    """
    shapes = np.shape(fixed), np.shape(moving)
    count = shapes[0][0] if shapes[0] else 0
    if count == 0 or any(not shape or shape[0] != count for shape in shapes):
        raise ValueError(f"images of shapes {shapes[0]} and {shapes[1]}: both need the same leading axis of pairs")
    if at_once < 1:
        raise ValueError(f"at_once is {at_once}: it must be at least 1")
    fixed, moving = np.asarray(fixed), np.asarray(moving)
    if mask is not None and np.shape(mask)[:1] != (count,):
        raise ValueError(f"a mask of shape {np.shape(mask)} for {count} pairs: it needs the same leading axis of pairs")
    images, weights, moving_masks = [], [], []
    for k in range(count):
        fixed_image, fixed_grid, known = masked_image(f"fixed image {k}", fixed[k], fixed_grid)
        moving_image, moving_grid, moving_mask = masked_image(f"moving image {k}", moving[k], moving_grid)
        images.append((fixed_image, moving_image))
        weight = checked_mask(None if mask is None else np.asarray(mask)[k], fixed_image.shape)
        weights.append(_known_weights(f"fixed image {k}", weight, known))
        moving_masks.append(moving_mask)
    assert fixed_grid is not None
    assert moving_grid is not None
    check_dimensions(fixed_grid, moving_grid)
    fixed_images, moving_images = (jnp.stack(side) for side in zip(*images))
    filled = [jnp.ones(moving_grid.shape) if known is None else known for known in moving_masks]
    moving_masks_or_none = None if all(known is None for known in moving_masks) else jnp.stack(filled)
    pairs = Pair(fixed_images, moving_images, jnp.stack(weights), in_default_type(init), moving_masks_or_none)
    settings, identities = settings_with_defaults(
        pairs, fixed_grid, moving_grid, transform, similarity, regularizer, levels, optimizer, order
    )
    found = _register_batch(pairs, fixed_grid, moving_grid, identities, settings=settings, at_once=at_once)
    apart = np.flatnonzero(~(np.asarray(found.measures["overlap_before"]) > SMALLEST_OVERLAP))
    if len(apart):
        raise ValueError(f"the images of pairs {apart.tolist()} do not overlap: give an init such as align_centres")
    return found


def _known_weights(name: str, weights: jax.Array, known: jax.Array | None) -> jax.Array:
    """Set the weights of the voxels without a value to 0."""
    weights = weights if known is None else weights * known
    if not bool(jnp.any(weights > 0)):
        raise ValueError(f"{name}: every voxel of the mask is NaN: there is nothing to register")
    return weights


_register_pair = jax.jit(register_levels, static_argnames="settings")


@partial(jax.jit, static_argnames=("settings", "at_once"))
def _register_batch(
    pairs: Pair,
    fixed_grid: Grid,
    moving_grid: Grid,
    identities: tuple[jax.Array, ...],
    settings: Settings,
    at_once: int,
) -> Registration:
    one = lambda pair: register_levels(pair, fixed_grid, moving_grid, identities, settings)
    return jax.lax.map(one, pairs, batch_size=None if at_once == 1 else at_once)
