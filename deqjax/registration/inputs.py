"""Checks of the inputs of a registration, and the default settings. These functions run outside ``jit``."""

from collections.abc import Sequence
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from scipy.ndimage import distance_transform_edt

from deqjax.registration.grid import Grid, check_dimensions, check_grid
from deqjax.registration.interpolation import Order
from deqjax.registration.landmarks import Landmarks, checked_landmarks
from deqjax.registration.multiresolution import Pair, Settings
from deqjax.registration.optimizers import LBFGS, Demons, GaussNewton, SyN
from deqjax.registration.pyramid import plan_levels
from deqjax.registration.similarities import MSE, WeightedSum
from deqjax.registration.transforms import Dense, Velocity
from deqjax.registration.types import Map, Optimizer, Regularizer, Similarity, Transform, has_curvature

Images = ArrayLike | Sequence[ArrayLike]
"""An image, or a list of images on one grid: its channels."""


def checked_image(name: str, image: ArrayLike, grid: Grid | None) -> tuple[jax.Array, Grid]:
    """Check an image and return it in floating point, with its grid.

    Args:
      name: the name of the image, for the error message.
      image: (x, y[, z]).
      grid: the grid of the image; None for voxels of 1 mm.

    Raises:
      ValueError: if the grid is impossible or has another shape, the image is constant or not finite, or its values are
        outside 1e-15 to 1e15 in single precision.

    >>> checked_image("fixed", np.ones((3, 3)), None)
    Traceback (most recent call last):
    ValueError: fixed: every voxel is 1.0: a constant image cannot be registered
    """
    values = _numbers(name, image)
    grid = Grid.of(values.shape) if grid is None else grid
    check_grid(grid, name)
    if values.shape != grid.shape:
        raise ValueError(f"{name}: an image of shape {values.shape} does not match a grid of shape {grid.shape}")
    if not np.all(np.isfinite(values)):
        raise ValueError(f"{name}: the image contains values that are not finite")
    if np.all(values == values.flat[0]):
        raise ValueError(f"{name}: every voxel is {values.flat[0]}: a constant image cannot be registered")
    largest, limit = float(np.max(np.abs(values))), float(jnp.finfo(jnp.zeros(()).dtype).max) ** 0.4
    if not 1 / limit <= largest <= limit:  # the squares of its differences must stay in the range of the type
        raise ValueError(f"{name}: values up to {largest:.1e}: multiply both images by {1 / largest:.0e}")
    return in_floating_point(values), in_default_type(grid)


def masked_image(name: str, image: ArrayLike, grid: Grid | None) -> tuple[jax.Array, Grid, jax.Array | None]:
    """Check an image whose NaN voxels do not count; they are replaced by the nearest value, so that no edge appears.

    The masked entries of a masked array of NumPy are NaN.

    Args:
      name: the name of the image, for the error message.
      image: (x, y[, z]).
      grid: the grid of the image; None for voxels of 1 mm.

    Returns:
      The image without NaN, its grid, and 1 where it had a value, else 0; None if it had one everywhere.

    Raises:
      ValueError: as `checked_image`, or if every voxel is NaN.

    >>> masked_image("fixed", np.array([[1.0, np.nan, 3.0, 3.0]]), None)[2]
    Array([[1., 0., 1., 1.]], dtype=float32)
    """
    values = _numbers(name, image)
    known = ~np.isnan(values)
    if known.all() or not known.any():
        return *checked_image(name, values, grid), None
    _, nearest = distance_transform_edt(~known, return_indices=True)
    filled, grid = checked_image(name, values[tuple(nearest)], grid)
    return filled, grid, jnp.asarray(known, float)


def checked_pair(
    fixed: Images,
    moving: Images,
    fixed_grid: Grid | None,
    moving_grid: Grid | None,
    mask: ArrayLike | None = None,
    moving_mask: ArrayLike | None = None,
    init: Map | None = None,
    landmarks: Landmarks | None = None,
    number: str = "",
) -> tuple[Pair, Grid, Grid]:
    """Check the arrays of a registration.

    Voxels of the moving image outside its mask become NaN: they are replaced by the nearest value and do not count.

    Args:
      fixed: see `deqjax.registration.register`.
      moving: see `deqjax.registration.register`.
      fixed_grid: see `deqjax.registration.register`.
      moving_grid: see `deqjax.registration.register`.
      mask: see `deqjax.registration.register`.
      moving_mask: see `deqjax.registration.register`.
      init: see `deqjax.registration.register`.
      landmarks: see `deqjax.registration.register`.
      number: what follows the name of an image in an error message, such as " image 3".

    Returns:
      The pair, and the grids of both images.

    Raises:
      ValueError: as `register`.

    >>> checked_pair(np.eye(3), np.eye(3), None, None)[0].mask.shape
    (3, 3)
    """
    if moving_mask is not None:
        channels = _channels(moving)
        first = moving if channels is None else channels[0]
        outside = np.asarray(checked_mask(moving_mask, np.shape(cast(ArrayLike, first)), "moving mask")) == 0
        hidden = lambda channel: np.where(outside, np.nan, _numbers("moving", channel))
        moving = hidden(moving) if channels is None else [hidden(channel) for channel in channels]
    fixed_image, fixed_grid, known = _masked_channels(f"fixed{number}", fixed, fixed_grid)
    moving_image, moving_grid, moving_known = _masked_channels(f"moving{number}", moving, moving_grid)
    check_dimensions(fixed_grid, moving_grid)
    if fixed_image.shape[fixed_grid.ndim :] != moving_image.shape[moving_grid.ndim :]:
        raise ValueError("the fixed and the moving image need the same number of channels")
    mask = checked_mask(mask, fixed_grid.shape)
    mask = mask if known is None else mask * known
    if not bool(jnp.any(mask > 0)):
        raise ValueError(f"fixed{number}: every voxel of the mask is NaN: there is nothing to register")
    landmarks = checked_landmarks(landmarks, fixed_grid)
    return (
        Pair(fixed_image, moving_image, mask, checked_init(init, fixed_grid.ndim), moving_known, landmarks),
        fixed_grid,
        moving_grid,
    )


def _channels(image: Images) -> Sequence[ArrayLike] | None:
    """Return the channels of a list of arrays; None for an image, which may also be a list of its rows."""
    if not isinstance(image, (list, tuple)):
        return None
    arrays = all(isinstance(one, (np.ndarray, jax.Array)) and one.ndim > 1 for one in image)
    return image if image and arrays else None


def _masked_channels(name: str, image: Images, grid: Grid | None) -> tuple[jax.Array, Grid, jax.Array | None]:
    """Do `masked_image` for an image or for each channel, (*grid.shape, channels); a voxel needs all channels."""
    channels = _channels(image)
    if channels is None:
        return masked_image(name, cast(ArrayLike, image), grid)
    checked = [masked_image(f"{name}, channel {k}", channel, grid) for k, channel in enumerate(channels)]
    shapes = [values.shape for values, _, _ in checked]
    if len(set(shapes)) > 1:
        raise ValueError(f"{name}: channels of shapes {shapes}: all channels lie on one grid")
    known = [one for _, _, one in checked if one is not None]
    together = jnp.prod(jnp.stack(known), axis=0) if known else None
    return jnp.stack([values for values, _, _ in checked], axis=-1), checked[0][1], together


def _numbers(name: str, image: ArrayLike) -> np.ndarray:
    if isinstance(image, np.ma.MaskedArray):
        image = np.ma.filled(image.astype(np.result_type(image.dtype, np.float32)), np.nan)
    values = np.asarray(image)
    if values.dtype.kind not in "biufc" and not jnp.issubdtype(values.dtype, jnp.floating):
        raise ValueError(f"{name}: an image of type {values.dtype}: it needs real or complex numbers")
    return values if values.dtype.isnative else values.astype(values.dtype.newbyteorder("="))


def in_floating_point(values: np.ndarray) -> jax.Array:
    """Convert an image to the default floating point type of JAX, or the complex type of the same precision.

    Integers of 64 bits are converted by NumPy, because JAX would cut them to 32 bits.

    >>> in_floating_point(np.array([2**40]))
    Array([1.0995116e+12], dtype=float32)
    """
    values = values if np.issubdtype(values.dtype, np.inexact) else values.astype(np.float64)
    floating = jnp.asarray(values)
    return floating.astype(jnp.promote_types(floating.dtype, jnp.zeros(()).dtype))


def in_default_type(tree: Any) -> Any:
    """Convert every real floating point leaf of a grid or a map to the default floating point type.

    >>> in_default_type(jnp.zeros(2, jnp.float16)).dtype
    dtype('float32')
    """
    default = jnp.zeros(()).dtype
    real = lambda leaf: jnp.issubdtype(jnp.asarray(leaf).dtype, jnp.floating)
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, default) if real(leaf) else leaf, tree)


def checked_mask(mask: ArrayLike | None, shape: tuple[int, ...], name: str = "mask") -> jax.Array:
    """Check a mask and return the weights of the voxels of its image: ones if there is no mask, 0 for NaN.

    Raises:
      ValueError: if the mask is not real, or has another shape, a weight below 0 or infinite, or no weight above 0.

    >>> checked_mask(None, (1, 2))
    Array([[1., 1.]], dtype=float32)
    """
    weights = np.ones(shape) if mask is None else np.asarray(mask)
    if weights.dtype.kind not in "biuf" and not jnp.issubdtype(weights.dtype, jnp.floating):
        raise ValueError(f"the {name} has the type {weights.dtype}: it needs real weights")
    weights = np.where(np.isnan(weights), 0, weights)
    if weights.shape != shape or not np.all((weights >= 0) & (weights < np.inf)) or not np.any(weights > 0):
        raise ValueError(
            f"the {name} has shape {weights.shape} and weights from {weights.min()} to {weights.max()}: it needs the "
            f"shape {shape} of its image, finite weights, none below 0, and some above 0"
        )
    return jnp.asarray(weights, float)


def checked_init(init: Map | None, ndim: int) -> Map | None:
    """Check that a map takes points of the dimension of the images, and return it in the default floating point type.

    Raises:
      ValueError: if it takes other points.

    >>> checked_init(None, 2) is None
    True
    """
    if init is None:
        return None
    init, points = in_default_type(init), jax.ShapeDtypeStruct((1, ndim), jnp.zeros(()).dtype)
    try:
        fits = jax.eval_shape(init.apply_points, points).shape == points.shape
    except (TypeError, ValueError):
        fits = False
    if not fits:
        raise ValueError(f"init is not a map of points of {ndim} coordinates, which the images have")
    return init


def checked_methods(
    similarity: Similarity | None,
    optimizer: Optimizer | None,
    transform: Transform,
    regularizer: Regularizer | None,
    real: bool,
    channels: int = 0,
    landmarks: bool = False,
) -> tuple[Similarity, Optimizer]:
    """Choose the similarity and the optimizer where they are None, and check that the methods work together.

    The defaults are `MSE`, for each channel, and `GaussNewton` if the similarity is a `LeastSquares` and the images are
    real, else `LBFGS`.

    Args:
      similarity: the similarity, or None.
      optimizer: the optimizer, or None.
      transform: the transform.
      regularizer: the regularizer, or None.
      real: whether the images are real.
      channels: the number of channels; 0 for images without an axis of channels.
      landmarks: whether there are landmarks.

    Raises:
      ValueError: if the images have channels and the similarity is not a `WeightedSum` of so many terms, if the
        optimizer needs a curvature and the similarity has none, or if `Demons` are used with a transform other than
        `Dense` and `Velocity`, with a regularizer or with landmarks, or `SyN` with another than
        ``Velocity(smoothing=0)``, with a regularizer, with landmarks or with complex images.

    >>> checked_methods(None, None, Velocity(), None, real=True)[0]
    MSE()
    """
    if similarity is None:
        similarity = WeightedSum((MSE(),) * channels) if channels else MSE()
    if channels and not (isinstance(similarity, WeightedSum) and len(similarity.similarities) == channels):
        raise ValueError(
            f"images of {channels} channels need a WeightedSum of {channels} similarities, not {similarity}"
        )
    quadratic = has_curvature(similarity) and real
    if optimizer is None:
        optimizer = GaussNewton() if quadratic else LBFGS()
    if isinstance(optimizer, (GaussNewton, Demons)) and not quadratic:
        raise ValueError(
            f"{type(optimizer).__name__} needs real images and a similarity with a curvature; {similarity} needs LBFGS"
        )
    if isinstance(optimizer, (Demons, SyN)) and landmarks:
        raise ValueError(
            f"{type(optimizer).__name__} has no landmark term: use landmarks with an affine, free-form, dense or "
            "velocity transform and another optimizer"
        )
    if isinstance(optimizer, Demons) and not isinstance(transform, (Dense, Velocity)):
        raise ValueError(f"Demons need a transform that moves every voxel: use Velocity or Dense, not {transform}")
    if isinstance(optimizer, Demons) and regularizer is not None:
        raise ValueError(f"Demons are regularised by the smoothing of the transform alone: leave out {regularizer}")
    if isinstance(optimizer, SyN):
        if not isinstance(transform, Velocity) or transform.smoothing != 0 or transform.steps < 1:
            raise ValueError(f"SyN smooths the velocity itself: use Velocity(smoothing=0), not {transform}")
        if regularizer is not None or not real:
            raise ValueError(f"SyN needs real images and is regularised by its smoothing alone, not by {regularizer}")
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
    channels = pair.fixed.shape[-1] if pair.fixed.ndim > pair.mask.ndim else 0
    given = real, channels, pair.landmarks is not None
    similarity, optimizer = checked_methods(similarity, optimizer, transform, regularizer, *given)
    plan = plan_levels(fixed_grid, moving_grid, levels)
    identities = tuple(transform.init(fixed_grid.strided(level.fixed_factors), level.scale) for level in plan)
    return Settings(transform, similarity, regularizer, optimizer, plan, order), identities
