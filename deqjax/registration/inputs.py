"""Checks of the inputs of a registration, and the default settings. These functions run outside ``jit``."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from deqjax.registration.grid import Grid, check_grid
from deqjax.registration.interpolation import Order
from deqjax.registration.multiresolution import Pair, Settings
from deqjax.registration.optimizers import LBFGS, Demons, GaussNewton
from deqjax.registration.pyramid import plan_levels
from deqjax.registration.similarities import MSE
from deqjax.registration.transforms import Dense, Velocity
from deqjax.registration.types import LeastSquares, Optimizer, Regularizer, Similarity, Transform


def checked_image(name: str, image: ArrayLike, grid: Grid | None) -> tuple[jax.Array, Grid]:
    """Check an image and return it in floating point, with its grid.

    Args:
      name: the name of the image, for the error message.
      image: (x, y[, z]).
      grid: the grid of the image; None for voxels of 1 mm.

    Raises:
      ValueError: if the grid is impossible or has another shape, or the image is constant or not finite.

    >>> checked_image("fixed", np.ones((3, 3)), None)
    Traceback (most recent call last):
    ValueError: fixed: every voxel is 1.0: a constant image cannot be registered
    """
    values = np.asarray(image)
    grid = Grid.of(values.shape) if grid is None else grid
    check_grid(grid, name)
    if values.shape != grid.shape:
        raise ValueError(f"{name}: an image of shape {values.shape} does not match a grid of shape {grid.shape}")
    if not np.all(np.isfinite(values)):
        raise ValueError(f"{name}: the image contains values that are not finite")
    if np.all(values == values.flat[0]):
        raise ValueError(f"{name}: every voxel is {values.flat[0]}: a constant image cannot be registered")
    floating = jnp.asarray(image)
    return floating.astype(jnp.result_type(floating.dtype, jnp.float32)), grid


def checked_mask(mask: ArrayLike | None, shape: tuple[int, ...]) -> jax.Array:
    """Check a mask and return the weights of the voxels of the fixed image: ones if there is no mask.

    Raises:
      ValueError: if the mask has another shape, a weight below 0, or no weight above 0.

    >>> checked_mask(None, (1, 2))
    Array([[1., 1.]], dtype=float32)
    """
    weights = jnp.ones(shape) if mask is None else jnp.asarray(mask, float)
    if weights.shape != shape or bool(jnp.any(weights < 0)) or not bool(jnp.any(weights > 0)):
        raise ValueError(
            f"the mask has shape {weights.shape} and weights from {weights.min()} to {weights.max()}: it needs the "
            f"shape {shape} of the fixed image, no weight below 0, and some weights above 0"
        )
    return weights


def checked_methods(
    similarity: Similarity | None,
    optimizer: Optimizer | None,
    transform: Transform,
    regularizer: Regularizer | None,
    real: bool,
) -> tuple[Similarity, Optimizer]:
    """Choose the similarity and the optimizer where they are None, and check that the methods work together.

    The defaults are `MSE`, and `GaussNewton` if the similarity is a `LeastSquares` and the images are real, else
    `LBFGS`.

    Args:
      similarity: the similarity, or None.
      optimizer: the optimizer, or None.
      transform: the transform.
      regularizer: the regularizer, or None.
      real: whether the images are real.

    Raises:
      ValueError: if the optimizer needs a curvature and the similarity has none, or if `Demons` are used with a
        transform other than `Dense` and `Velocity` or with a regularizer.

    >>> checked_methods(None, None, Velocity(), None, real=True)[0]
    MSE()
    """
    similarity = MSE() if similarity is None else similarity
    quadratic = isinstance(similarity, LeastSquares) and real
    if optimizer is None:
        optimizer = GaussNewton() if quadratic else LBFGS()
    if isinstance(optimizer, (GaussNewton, Demons)) and not quadratic:
        raise ValueError(
            f"{type(optimizer).__name__} needs real images and a similarity with a curvature; {similarity} needs LBFGS"
        )
    if isinstance(optimizer, Demons) and not isinstance(transform, (Dense, Velocity)):
        raise ValueError(f"Demons need a transform that moves every voxel: use Velocity or Dense, not {transform}")
    if isinstance(optimizer, Demons) and regularizer is not None:
        raise ValueError(f"Demons are regularised by the smoothing of the transform alone: leave out {regularizer}")
    return similarity, optimizer


def settings_with_defaults(
    pair: Pair,
    fixed_grid: Grid,
    moving_grid: Grid,
    transform: Transform,
    similarity: Similarity | None,
    regularizer: Regularizer | None,
    levels: tuple[float, ...] | None,
    optimizer: Optimizer | None,
    order: Order,
) -> tuple[Settings, tuple[jax.Array, ...]]:
    """Return the complete settings, and the parameters of the identity on each level; see `register` for the arguments.

    Raises:
      ValueError: as `checked_methods`, or if the levels are out of order.

    >>> grid = Grid.of((16, 16))
    >>> pair = Pair(jnp.zeros(grid.shape), jnp.zeros(grid.shape), jnp.ones(grid.shape), None)
    >>> settings, identities = settings_with_defaults(
    ...     pair, grid, grid, Velocity(), None, None, (2.0, 1.0), None, 1
    ... )
    >>> settings.similarity, len(identities)
    (MSE(), 2)
    """
    real = not any(map(jnp.iscomplexobj, (pair.fixed, pair.moving)))
    similarity, optimizer = checked_methods(similarity, optimizer, transform, regularizer, real)
    plan = plan_levels(fixed_grid, moving_grid, levels)
    identities = tuple(transform.init(fixed_grid.strided(level.fixed_factors), level.scale) for level in plan)
    return Settings(transform, similarity, regularizer, optimizer, plan, order), identities
