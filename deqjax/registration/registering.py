"""Registration of two images, or of many pairs of images, from coarse to fine. Start reading here."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from deqjax.registration.grid import Grid
from deqjax.registration.inputs import Images, checked_pair, in_default_type, settings_with_defaults
from deqjax.registration.interpolation import Order
from deqjax.registration.landmarks import Landmarks
from deqjax.registration.multiresolution import Pair, Registration, Settings, register_levels
from deqjax.registration.types import Map, Optimizer, Regularizer, Similarity, Transform

SMALLEST_OVERLAP = 0.01
"""The fraction of the mask that has to lie inside the moving image at the start."""


def register(
    fixed: Images,
    moving: Images,
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
    moving_mask: ArrayLike | None = None,
    landmarks: Landmarks | None = None,
    start: ArrayLike | None = None,
) -> Registration:
    """Find the map from fixed to moving points that minimises ``similarity(fixed, moving o map) + regularizer``.

    The result is deterministic. All levels are one compiled program, which other images of the same shape and voxel
    size reuse.

    Args:
      fixed: the fixed image, (x, y[, z]), or a list of arrays on one grid, its channels, such as T1 and T2. NaN voxels
        of both images do not count.
      moving: the moving image, (x, y[, z]), or as many channels. Similarities of complex images are minimised by
        `LBFGS` or `Adam`.
      transform: the family of maps, for example ``transforms.FreeForm(spacing=16.0)``.
      similarity: the measure of how much the images differ; `MSE` by default. Channels need a
        ``similarities.WeightedSum`` with one similarity for each.
      regularizer: a penalty of the field of the transform; None for no penalty.
      levels: the voxel sizes in mm, from coarse to fine; None for 4, 2 and 1 times the finest voxel.
      mask: weights (x, y[, z]) on the fixed image; None for all voxels.
      init: a map applied after the transform, for example the map of a coarser registration or `align_centres`.
      fixed_grid: the grid of the fixed image; None for voxels of 1 mm.
      moving_grid: the grid of the moving image; None for voxels of 1 mm.
      optimizer: by default `GaussNewton` if the similarity has a curvature and the images are real, else `LBFGS`.
      order: the interpolation order of the moving image, 1 or 3.
      moving_mask: (x, y[, z]), above 0 where the moving image counts; it moves with the image. None for all voxels.
      landmarks: corresponding points, whose squared distance after the map is another term of the objective.
      start: the parameters of the transform with which the first level starts, as the ``parameters`` of an earlier
        result whose last level is that level; None for the identity.

    Returns:
      The map, the history of the objective, and measures of the result. Its ``status`` says whether the result can be
      trusted: whether the last level converged, and whether the image stayed in view.

    Raises:
      ValueError: if the images have different dimensions, are constant, infinite or all NaN, or do not overlap; if a
        grid is impossible; if a mask has another shape, a negative weight or no weight; if the levels are out of
        order; if the landmarks have another dimension; if the start has another shape than the parameters; or if
        the optimizer does not suit the similarity, the transform or the landmarks.

    >>> points = Grid.of((16, 16)).points()
    >>> fixed, moving = (jnp.exp(-jnp.sum((points - centre) ** 2, -1) / 20) for centre in (7.0, 8.0))
    >>> from deqjax.registration.transforms import Translation
    >>> found = register(fixed, moving, Translation())
    >>> found.map.apply_points(jnp.array([7.0, 7.0])).round(1)
    Array([8., 8.], dtype=float32)
    """
    pair, fixed_grid, moving_grid = checked_pair(
        fixed, moving, fixed_grid, moving_grid, mask, moving_mask, init, landmarks
    )
    settings, identities = settings_with_defaults(
        pair, fixed_grid, moving_grid, transform, similarity, regularizer, levels, optimizer, order
    )
    if start is not None:
        if np.shape(start) != identities[0].shape:
            raise ValueError(
                f"start has the shape {np.shape(start)}, and the parameters on the first level {identities[0].shape}"
            )
        pair = replace(pair, start=jnp.asarray(start, identities[0].dtype))
    found = _register_pair(pair, fixed_grid, moving_grid, identities, settings=settings)
    if not float(found.measures["overlap_before"]) > SMALLEST_OVERLAP:
        raise ValueError(
            "the images or their masks do not overlap: give an init such as align_centres(fixed, moving, ...)"
        )
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
    moving_mask: ArrayLike | None = None,
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
      moving_mask: masks of the moving images, (pairs, x, y[, z]); None for all voxels.

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
    for given in (mask, moving_mask):
        if given is not None and np.shape(given)[:1] != (count,):
            raise ValueError(
                f"a mask of shape {np.shape(given)} for {count} pairs: it needs the same leading axis of pairs"
            )
    checked = []
    for k in range(count):
        weights, moving_weights = (None if given is None else np.asarray(given)[k] for given in (mask, moving_mask))
        pair, fixed_grid, moving_grid = checked_pair(
            fixed[k], moving[k], fixed_grid, moving_grid, weights, moving_weights, number=f" image {k}"
        )
        checked.append(pair)
    assert fixed_grid is not None
    assert moving_grid is not None
    if any(pair.moving_mask is not None for pair in checked):
        everywhere = jnp.ones(moving_grid.shape)
        checked = [replace(pair, moving_mask=everywhere) if pair.moving_mask is None else pair for pair in checked]
    pairs: Pair = jax.tree.map(lambda *leaves: jnp.stack(leaves), *checked)
    pairs = replace(pairs, init=in_default_type(init))
    settings, identities = settings_with_defaults(
        pairs, fixed_grid, moving_grid, transform, similarity, regularizer, levels, optimizer, order
    )
    found = _register_batch(pairs, fixed_grid, moving_grid, identities, settings=settings, at_once=at_once)
    apart = np.flatnonzero(~(np.asarray(found.measures["overlap_before"]) > SMALLEST_OVERLAP))
    if len(apart):
        raise ValueError(f"the images of pairs {apart.tolist()} do not overlap: give an init such as align_centres")
    return found


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
