"""Registration of images by attention: learned features on a coarse grid say where each fixed place lies in moving."""

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from deqjax.registration.door import checked_image
from deqjax.registration.gaussian import smooth
from deqjax.registration.grid import Grid, check_dimensions
from deqjax.registration.transforms import Composite, DisplacementMap, LinearMap, Map, SplineMap
from deqjax.registration.warp import warp


class ImageAttention(nn.Module):
    """``Xi(p_i) = sum_j softmax_j(<phi_B(p_i), phi_A(p_j)> / temperature) p_j``: `AttentionRegistration` of images.

    phi are unit features of small strided convolutions, the same for the fixed image B and the moving image A, learned
    together with the temperature. Places farther apart than ``reach`` do not see one another, so that nothing moves
    where nothing is to be seen, except within ``reach`` of the border. A Gaussian average follows, in which a place
    counts by ``1 / (v + step^2 / 4)``, v the variance of where it looks; cubic B-splines lead to every voxel.

    Source: A. Vaswani et al., "Attention is all you need", NeurIPS 2017, equation 1, with coordinates for values; the
    weights by variance are ours.

    Attributes:
      width: channels.
      halvings: of the resolution: the coarse step is ``2**halvings`` voxels.
      reach: how far attention looks, mm.
      smoothing: standard deviation of the average, mm.
      passes: the second looks at what the first one has warped, and so on, with the same features.

    >>> grid = Grid.of((32, 32))
    >>> image = jnp.exp(-jnp.sum((grid.points() - 15.0) ** 2, -1) / 30)
    >>> attention = ImageAttention(width=8)
    >>> parameters = attention.init(jax.random.key(0), image, image, grid)
    >>> attention.apply(parameters, image, image, grid).vectors.shape
    (32, 32, 2)
    """

    width: int = 16
    halvings: int = 2
    reach: float = 14.0
    smoothing: float = 4.0
    passes: int = 2

    @nn.compact
    def __call__(self, fixed: jax.Array, moving: jax.Array, grid: Grid) -> DisplacementMap:
        """Return the map of two images (*grid.shape) that lie on one grid."""
        strides = [2] * self.halvings + [1, 1]
        layers = [nn.Conv(self.width, (3,) * grid.ndim, strides=s, padding="VALID") for s in strides]
        log_temperature = self.param("log_temperature", nn.initializers.constant(-3.0), ())
        factor = 2**self.halvings
        coarse = grid.strided((factor,) * grid.ndim)
        places = (coarse.points() - grid.centre()).reshape(-1, grid.ndim)
        seen = _squared(places[:, None] - places) <= self.reach**2
        step = jnp.max(coarse.spacing())

        def describe(image: jax.Array) -> jax.Array:
            values = ((image - jnp.mean(image)) / (jnp.std(image) + 1e-6))[..., None]
            for k, layer in enumerate(layers):  # the edge repeated: zeros beyond it would be something to see
                values = nn.gelu(values) if k else values
                values = layer(jnp.pad(values, [(1, 1)] * grid.ndim + [(0, 0)], mode="edge"))
            features = values.reshape(-1, self.width)
            return features / jnp.sqrt(_squared(features)[:, None] + 1e-6)

        def attend(warped: jax.Array) -> jax.Array:
            agreement = jnp.matmul(queries, describe(warped).T, precision="highest")
            weights = jax.nn.softmax(jnp.where(seen, agreement / jnp.exp(log_temperature), -jnp.inf), axis=-1)
            found = jnp.matmul(weights, places, precision="highest")
            variance = jnp.matmul(weights, _squared(places), precision="highest") - _squared(found)
            precision = 1 / (jnp.maximum(variance, 0) + step**2 / 4)
            both = jnp.concatenate([precision[:, None] * (found - places), precision[:, None]], axis=-1)
            both = smooth(both.reshape(*coarse.shape, -1), self.smoothing / coarse.spacing())
            return both[..., :-1] / both[..., -1:]

        queries = describe(fixed)
        found = DisplacementMap(jnp.zeros((*grid.shape, grid.ndim), places.dtype), grid)
        for _ in range(self.passes):
            step_map = DisplacementMap(_to_voxels(attend(warp(moving, found, grid, grid)), coarse, grid), grid)
            found = DisplacementMap(Composite((step_map, found)).displacement(grid), grid)
        return found


def register_by_attention(
    fixed: ArrayLike,
    moving: ArrayLike,
    attention: ImageAttention,
    parameters: Any,
    init: Map | None = None,
    *,
    fixed_grid: Grid | None = None,
    moving_grid: Grid | None = None,
) -> Composite:
    """Apply trained attention to the fixed image and ``moving o init``: the map ``init o Xi``, mm.

    Args:
      fixed, moving: real images (x, y[, z]).
      attention, parameters: as `train_attention` trained them, for voxels of about this size.
      init: applied after Xi, e.g. the map of an affine registration; None for the identity.
      fixed_grid, moving_grid: where the images lie; voxels of 1 mm by default.

    Raises:
      ValueError: images complex, constant, not finite or of different dimension; a grid of another shape.

    >>> grid = Grid.of((32, 32))
    >>> fixed, moving = (jnp.exp(-jnp.sum((grid.points() - c) ** 2, -1) / 30) for c in (15.0, 17.0))
    >>> attention = ImageAttention(width=8)
    >>> parameters = attention.init(jax.random.key(0), fixed, moving, grid)
    >>> found = register_by_attention(fixed, moving, attention, parameters)
    >>> bool(jnp.all(found.apply_points(jnp.array([15.0, 15.0])) > 15.2))
    True
    """
    fixed, fixed_grid = checked_image("fixed", fixed, fixed_grid)
    moving, moving_grid = checked_image("moving", moving, moving_grid)
    check_dimensions(fixed_grid, moving_grid)
    if jnp.iscomplexobj(fixed) or jnp.iscomplexobj(moving):
        raise ValueError("the fixed or the moving image is complex: the convolutions take real images, use jnp.abs")
    first = LinearMap(jnp.eye(fixed_grid.ndim), jnp.zeros(fixed_grid.ndim)) if init is None else init
    return Composite((_apply(attention, parameters, fixed, moving, first, fixed_grid, moving_grid), first))


@partial(jax.jit, static_argnums=0)
def _apply(
    attention: ImageAttention,
    parameters: Any,
    fixed: jax.Array,
    moving: jax.Array,
    init: Map,
    fixed_grid: Grid,
    moving_grid: Grid,
) -> DisplacementMap:
    found: Any = attention.apply(parameters, fixed, warp(moving, init, fixed_grid, moving_grid), fixed_grid)
    return found


def _to_voxels(vectors: jax.Array, coarse: Grid, grid: Grid) -> jax.Array:
    """Cubic B-splines with the coarse vectors for control points, the outermost repeated."""
    control = jnp.pad(vectors, [(1, 2)] * grid.ndim + [(0, 0)], mode="edge")
    corner = coarse.affine[:, -1:] - jnp.sum(coarse.affine[:, :-1], axis=1, keepdims=True)
    lattice = Grid(jnp.concatenate([coarse.affine[:, :-1], corner], axis=1), control.shape[:-1])
    return SplineMap(control, lattice).parallel_displacement(grid)


def _squared(vectors: jax.Array) -> jax.Array:
    return jnp.sum(vectors**2, axis=-1)
