"""The map that a trained network finds between two images."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from deqjax.registration.grid import Grid, check_dimensions
from deqjax.registration.inputs import checked_image
from deqjax.registration.transforms import Composite, LinearMap
from deqjax.registration.types import Map, Network
from deqjax.registration.warping import warp


def register_by_network(
    fixed: ArrayLike,
    moving: ArrayLike,
    network: Network,
    parameters: Any,
    init: Map | None = None,
    *,
    fixed_grid: Grid | None = None,
    moving_grid: Grid | None = None,
) -> Composite:
    """Apply a trained network to the fixed image and ``moving o init``, and return the map ``init o Xi``, in mm.

    Args:
      fixed: the fixed image, real, (x, y[, z]).
      moving: the moving image, real, (x, y[, z]).
      network: the network.
      parameters: the parameters of the network, trained on voxels of about the same size.
      init: a map applied after Xi, for example that of an affine registration; None for the identity.
      fixed_grid: the grid of the fixed image; None for voxels of 1 mm.
      moving_grid: the grid of the moving image; None for voxels of 1 mm.

    Raises:
      ValueError: if the images are complex, constant, not finite or of different dimensions, or a grid has another
        shape.

    >>> grid = Grid.of((32, 32))
    >>> fixed, moving = (jnp.exp(-jnp.sum((grid.points() - c) ** 2, -1) / 30) for c in (15.0, 17.0))
    >>> from deqjax.registration.nets import ImageAttention
    >>> network = ImageAttention(width=8)
    >>> parameters = network.init(jax.random.key(0), fixed, moving, grid)
    >>> found = register_by_network(fixed, moving, network, parameters)
    >>> bool(jnp.all(found.apply_points(jnp.array([15.0, 15.0])) > 15.2))
    True
    """
    fixed, fixed_grid = checked_image("fixed", fixed, fixed_grid)
    moving, moving_grid = checked_image("moving", moving, moving_grid)
    check_dimensions(fixed_grid, moving_grid)
    if jnp.iscomplexobj(fixed) or jnp.iscomplexobj(moving):
        raise ValueError("the fixed or the moving image is complex: the convolutions need real images, use jnp.abs")
    first = LinearMap(jnp.eye(fixed_grid.ndim), jnp.zeros(fixed_grid.ndim)) if init is None else init
    return Composite((_apply(network, parameters, fixed, moving, first, fixed_grid, moving_grid), first))


@partial(jax.jit, static_argnums=0)
def _apply(
    network: Network,
    parameters: Any,
    fixed: jax.Array,
    moving: jax.Array,
    init: Map,
    fixed_grid: Grid,
    moving_grid: Grid,
) -> Map:
    found: Any = network.apply(parameters, fixed, warp(moving, init, fixed_grid, moving_grid), fixed_grid)
    return found
