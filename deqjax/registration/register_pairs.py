"""Registration of many pairs of images at once."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from deqjax.registration.coarse_to_fine import Pair, Registration, Settings, coarse_to_fine
from deqjax.registration.door import checked_image, checked_mask, settle
from deqjax.registration.grid import Grid, check_dimensions
from deqjax.registration.optimisers import Optimiser
from deqjax.registration.regularisers import Regulariser
from deqjax.registration.sample import Order
from deqjax.registration.similarities import Similarity
from deqjax.registration.transforms import Map, Transform


def register_pairs(
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
    at_once: int = 1,
) -> Registration:
    """Register every pair of a batch as `register` would, in one compiled program.

    Args:
      fixed, moving: (pairs, x, y[, z]); all fixed images lie on one grid, all moving images on another.
      mask: (pairs, x, y[, z]), weights on the fixed images; None for everywhere.
      init: one map a pair: every array in it has a leading axis of pairs, as `jax.vmap` of `align_centres` makes it.
      transform, similarity, regulariser, levels, fixed_grid, moving_grid, optimiser, order: see `register`.
      at_once: pairs side by side under `vmap`, which is for accelerators: they run until the last of them has settled,
        and agree with `register` up to rounding, which many numbers with little regularisation amplify. With 1, pairs
        follow one another inside the program, each stops by itself, and the numbers are those of `register`.

    Returns:
      A `Registration` whose every array has a leading axis of pairs: ``jax.tree.map(lambda a: a[k], found)`` is that
      of pair k.

    Raises:
      ValueError: no pairs, unlike numbers of them, or none at once; else as `register`, naming the pair.

    >>> points = Grid.of((16, 16)).points()
    >>> images = jnp.stack([jnp.exp(-jnp.sum((points - place) ** 2, -1) / 20) for place in (7.0, 8.0, 6.5)])
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
        raise ValueError(f"at_once is {at_once}: at least 1 pair is registered at a time")
    fixed, moving = np.asarray(fixed), np.asarray(moving)
    if mask is not None and np.shape(mask)[:1] != (count,):
        raise ValueError(f"a mask of shape {np.shape(mask)} for {count} pairs: it needs the same leading axis of pairs")
    images, weights = [], []
    for k in range(count):
        one, fixed_grid = checked_image(f"fixed image {k}", fixed[k], fixed_grid)
        other, moving_grid = checked_image(f"moving image {k}", moving[k], moving_grid)
        images.append((one, other))
        weights.append(checked_mask(None if mask is None else np.asarray(mask)[k], one.shape))
    assert fixed_grid is not None
    assert moving_grid is not None
    check_dimensions(fixed_grid, moving_grid)
    ones, others = (jnp.stack(side) for side in zip(*images))
    pairs = Pair(ones, others, jnp.stack(weights), init)
    settings, starts = settle(
        pairs, fixed_grid, moving_grid, transform, similarity, regulariser, levels, optimiser, order
    )
    found = _run(pairs, fixed_grid, moving_grid, starts, settings=settings, at_once=at_once)
    apart = np.flatnonzero(~(np.asarray(found.measures["overlap_before"]) > 0.01))
    if len(apart):
        raise ValueError(f"the images of pairs {apart.tolist()} do not overlap: give an init such as align_centres")
    return found


@partial(jax.jit, static_argnames=("settings", "at_once"))
def _run(
    pairs: Pair,
    fixed_grid: Grid,
    moving_grid: Grid,
    starts: tuple[jax.Array, ...],
    settings: Settings,
    at_once: int,
) -> Registration:
    one = lambda pair: coarse_to_fine(pair, fixed_grid, moving_grid, starts, settings)
    return jax.lax.map(one, pairs, batch_size=None if at_once == 1 else at_once)
