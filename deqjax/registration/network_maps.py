"""The map that a trained network finds between two images."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from deqjax.registration.grid import Grid, check_dimensions
from deqjax.registration.inputs import masked_image
from deqjax.registration.smoothing import smooth
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
    voxel_size: float | None = None,
    passes: int = 1,
) -> Composite:
    """Apply a trained network to the fixed image and ``moving o init``, and return the map ``init o Xi``, in mm.

    Each further pass applies the network to the moving image that the map so far has warped:
    ``map_k = map_(k-1) o Xi_k``. Several passes find displacements that are larger than those of the training.

    Args:
      fixed: the fixed image, real, (x, y[, z]). NaN voxels of both images get the nearest value.
      moving: the moving image, real, (x, y[, z]).
      network: the network.
      parameters: the parameters of the network.
      init: a map applied after Xi, for example that of an affine registration; None for the identity.
      fixed_grid: the grid of the fixed image; None for voxels of 1 mm.
      moving_grid: the grid of the moving image; None for voxels of 1 mm.
      voxel_size: the voxel size of the training, in mm: images with other voxels are resampled for the network. None
        gives the network the voxels of the fixed image.
      passes: the number of passes.

    Raises:
      ValueError: if there is no pass, the images are complex, constant, infinite or of different dimensions, or a
        grid has another shape.

    >>> grid = Grid.of((32, 32))
    >>> fixed, moving = (jnp.exp(-jnp.sum((grid.points() - c) ** 2, -1) / 30) for c in (15.0, 17.0))
    >>> from deqjax.registration.nets import ImageAttention
    >>> network = ImageAttention(width=8)
    >>> parameters = network.init(jax.random.key(0), fixed, moving, grid)
    >>> found = register_by_network(fixed, moving, network, parameters)
    >>> bool(jnp.all(found.apply_points(jnp.array([15.0, 15.0])) > 15.2))
    True
    """
    if passes < 1:
        raise ValueError(f"a network registers by at least 1 pass, not {passes}")
    fixed, fixed_grid, _ = masked_image("fixed", fixed, fixed_grid)
    moving, moving_grid, _ = masked_image("moving", moving, moving_grid)
    check_dimensions(fixed_grid, moving_grid)
    if jnp.iscomplexobj(fixed) or jnp.iscomplexobj(moving):
        raise ValueError("the fixed or the moving image is complex: the convolutions need real images, use jnp.abs")
    identity = LinearMap(jnp.eye(fixed_grid.ndim), jnp.zeros(fixed_grid.ndim))
    maps: tuple[Map, ...] = (identity if init is None else init,)
    grid = fixed_grid
    if voxel_size is not None and np.any(np.abs(np.asarray(fixed_grid.spacing()) / voxel_size - 1) > 0.01):
        grid = with_voxel_size(fixed_grid, voxel_size)
        moving = _smoothed(moving, moving_grid, voxel_size)
        fixed = warp(_smoothed(fixed, fixed_grid, voxel_size), identity, grid, fixed_grid)
    for _ in range(passes):
        maps = (_apply(network, parameters, fixed, _warped(moving, Composite(maps), grid, moving_grid), grid), *maps)
    return Composite(maps)


def with_voxel_size(grid: Grid, voxel_size: float) -> Grid:
    """Return the grid with the same first voxel centre and about the same extent, and cubic voxels of another size.

    >>> with_voxel_size(Grid.of((5, 9), spacing=(1.0, 0.5)), 2.0).shape
    (3, 3)
    """
    spacing = np.asarray(grid.spacing(), float)
    shape = tuple(int(n) for n in np.rint((np.asarray(grid.shape) - 1) * spacing / voxel_size) + 1)
    factors = jnp.asarray([*(voxel_size / spacing), 1.0], grid.affine.dtype)
    return Grid(grid.affine * factors, shape, grid.place)


def _smoothed(image: jax.Array, grid: Grid, voxel_size: float) -> jax.Array:
    """Smooth an image before its voxels become larger."""
    return smooth(image, 0.5 * jnp.sqrt(jnp.maximum((voxel_size / grid.spacing()) ** 2 - 1, 0)))


@jax.jit
def _warped(moving: jax.Array, mapping: Map, grid: Grid, moving_grid: Grid) -> jax.Array:
    return warp(moving, mapping, grid, moving_grid)


@partial(jax.jit, static_argnums=0)
def _apply(network: Network, parameters: Any, fixed: jax.Array, moving: jax.Array, grid: Grid) -> Map:
    found: Any = network.apply(parameters, fixed, moving, grid)
    return found
