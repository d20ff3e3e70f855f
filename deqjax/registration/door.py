"""What a registration refuses, and what it chooses where nothing was said; outside ``jit``, where things are known."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from deqjax.registration.coarse_to_fine import Pair, Settings
from deqjax.registration.grid import Grid, check_grid
from deqjax.registration.optimisers import LBFGS, Demons, GaussNewton, Optimiser
from deqjax.registration.pyramid import plan_levels
from deqjax.registration.regularisers import Regulariser
from deqjax.registration.sample import Order
from deqjax.registration.similarities import MSE, Similarity
from deqjax.registration.transforms import Dense, Transform, Velocity


def checked_image(name: str, image: ArrayLike, grid: Grid | None) -> tuple[jax.Array, Grid]:
    """Return an image as floating point and its grid, of 1 mm by default.

    Raises:
      ValueError: a grid that no image can have or of another shape; an image that is not finite, or constant.

    >>> checked_image("fixed", np.ones((3, 3)), None)
    Traceback (most recent call last):
    ValueError: fixed: every voxel is 1.0: a constant image shows no place
    """
    values = np.asarray(image)
    grid = Grid.of(values.shape) if grid is None else grid
    check_grid(grid, name)
    if values.shape != grid.shape:
        raise ValueError(f"{name}: an image of shape {values.shape} does not go with a grid of shape {grid.shape}")
    if not np.all(np.isfinite(values)):
        raise ValueError(f"{name}: the image holds numbers that are not finite")
    if np.all(values == values.flat[0]):
        raise ValueError(f"{name}: every voxel is {values.flat[0]}: a constant image shows no place")
    floating = jnp.asarray(image)
    return floating.astype(jnp.result_type(floating.dtype, jnp.float32)), grid


def checked_mask(mask: ArrayLike | None, shape: tuple[int, ...]) -> jax.Array:
    """Return the weights of the fixed image's voxels: ones where no mask was given.

    Raises:
      ValueError: another shape, a weight below 0, or none above.

    >>> checked_mask(None, (1, 2))
    Array([[1., 1.]], dtype=float32)
    """
    weights = jnp.ones(shape) if mask is None else jnp.asarray(mask, float)
    if weights.shape != shape or bool(jnp.any(weights < 0)) or not bool(jnp.any(weights > 0)):
        raise ValueError(
            f"the mask has shape {weights.shape} and weights from {weights.min()} to {weights.max()}: it needs the "
            f"fixed image's shape {shape}, weights from 0 on, and some above 0"
        )
    return weights


def choose(
    similarity: Similarity | None,
    optimiser: Optimiser | None,
    transform: Transform,
    regulariser: Regulariser | None,
    real: bool,
) -> tuple[Similarity, Optimiser]:
    """Choose `MSE`, and `GaussNewton` where the similarity has a curvature and the images are real, else `LBFGS`.

    Raises:
      ValueError: an optimiser that needs a curvature where there is none; `Demons` with another transform than
        `Dense` and `Velocity`, or with a regulariser.

    >>> choose(None, None, Velocity(), None, real=True)[0]
    MSE()
    """
    similarity = MSE() if similarity is None else similarity
    quadratic = hasattr(similarity, "curvature") and real
    if optimiser is None:
        optimiser = GaussNewton() if quadratic else LBFGS()
    if isinstance(optimiser, (GaussNewton, Demons)) and not quadratic:
        raise ValueError(
            f"{type(optimiser).__name__} needs real images and a similarity with a curvature, {similarity} needs LBFGS"
        )
    if isinstance(optimiser, Demons) and not isinstance(transform, (Dense, Velocity)):
        raise ValueError(f"Demons move every voxel by itself, {transform} cannot: use Velocity or Dense")
    if isinstance(optimiser, Demons) and regulariser is not None:
        raise ValueError(f"Demons regularise by the transform's smoothing alone: leave out {regulariser}")
    return similarity, optimiser


def settle(
    pair: Pair,
    fixed_grid: Grid,
    moving_grid: Grid,
    transform: Transform,
    similarity: Similarity | None,
    regulariser: Regulariser | None,
    levels: tuple[float, ...] | None,
    optimiser: Optimiser | None,
    order: Order,
) -> tuple[Settings, tuple[jax.Array, ...]]:
    """Return the settings with every choice made, and the numbers of the identity at each level.

    Raises:
      ValueError: as of `choose`; levels out of order.

    >>> grid = Grid.of((16, 16))
    >>> pair = Pair(jnp.zeros(grid.shape), jnp.zeros(grid.shape), jnp.ones(grid.shape), None)
    >>> settings, starts = settle(pair, grid, grid, Velocity(), None, None, (2.0, 1.0), None, 1)
    >>> settings.similarity, len(starts)
    (MSE(), 2)
    """
    real = not any(map(jnp.iscomplexobj, (pair.fixed, pair.moving)))
    similarity, optimiser = choose(similarity, optimiser, transform, regulariser, real)
    plan = plan_levels(fixed_grid, moving_grid, levels)
    starts = tuple(transform.init(fixed_grid.strided(level.fixed_factors), level.scale) for level in plan)
    return Settings(transform, similarity, regulariser, optimiser, plan, order), starts
