"""Registration of images by attention: learned features on a coarse grid match fixed voxels to moving voxels."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from deqjax.registration.grid import Grid
from deqjax.registration.smoothing import smooth
from deqjax.registration.transforms import Composite, DisplacementMap, SplineMap
from deqjax.registration.warping import warp


class ImageAttention(nn.Module):
    """`AttentionRegistration` of images: ``Xi(p_i) = sum_j softmax_j(<phi_B(p_i), phi_A(p_j)> / temperature) p_j``.

    phi are unit features of small strided convolutions, the same for the fixed image B and the moving image A. They are
    learned together with the temperature. A point attends only to points within ``radius``. Regions without structure
    therefore do not move, except within ``radius`` of the border. A Gaussian average follows, in which a point has the
    weight ``1 / (v + step^2 / 4)``, v the variance of the points to which it attends. Cubic B-splines interpolate the
    result at every voxel.

    Source: A. Vaswani et al., "Attention is all you need", NeurIPS 2017, equation 1, with coordinates as values. The
    weights by variance are not in it.

    Attributes:
      width: the number of channels.
      halvings: how often the resolution is halved: the coarse step is ``2**halvings`` voxels.
      radius: the largest distance over which a point attends to another, in mm.
      smoothing: the standard deviation of the average, in mm.
      passes: the number of passes; each pass after the first registers the image that the passes before it have
        warped, with the same features.

    >>> grid = Grid.of((32, 32))
    >>> image = jnp.exp(-jnp.sum((grid.points() - 15.0) ** 2, -1) / 30)
    >>> attention = ImageAttention(width=8)
    >>> parameters = attention.init(jax.random.key(0), image, image, grid)
    >>> attention.apply(parameters, image, image, grid).vectors.shape
    (32, 32, 2)
    """

    width: int = 16
    halvings: int = 2
    radius: float = 14.0
    smoothing: float = 4.0
    passes: int = 2

    @nn.compact
    def __call__(self, fixed: jax.Array, moving: jax.Array, grid: Grid) -> DisplacementMap:
        """Return the map between two images on one grid.

        Args:
          fixed: the fixed image, (*grid.shape).
          moving: the moving image, (*grid.shape).
          grid: the grid of both.
        """
        strides = [2] * self.halvings + [1, 1]
        layers = [nn.Conv(self.width, (3,) * grid.ndim, strides=s, padding="VALID") for s in strides]
        log_temperature = self.param("log_temperature", nn.initializers.constant(-3.0), ())
        factor = 2**self.halvings
        coarse = grid.strided((factor,) * grid.ndim)
        points = (coarse.points() - grid.centre()).reshape(-1, grid.ndim)
        near = _squared_norm(points[:, None] - points) <= self.radius**2
        step = jnp.max(coarse.spacing())

        def unit_features(image: jax.Array) -> jax.Array:
            values = ((image - jnp.mean(image)) / (jnp.std(image) + 1e-6))[..., None]
            for k, layer in enumerate(layers):  # The edge is repeated, because zeros beyond it would act as structure.
                values = nn.gelu(values) if k else values
                values = layer(jnp.pad(values, [(1, 1)] * grid.ndim + [(0, 0)], mode="edge"))
            features = values.reshape(-1, self.width)
            return features / jnp.sqrt(_squared_norm(features)[:, None] + 1e-6)

        def attend(warped: jax.Array) -> jax.Array:
            agreement = jnp.matmul(queries, unit_features(warped).T, precision="highest")
            weights = jax.nn.softmax(jnp.where(near, agreement / jnp.exp(log_temperature), -jnp.inf), axis=-1)
            found = jnp.matmul(weights, points, precision="highest")
            variance = jnp.matmul(weights, _squared_norm(points), precision="highest") - _squared_norm(found)
            precision = 1 / (jnp.maximum(variance, 0) + step**2 / 4)
            both = jnp.concatenate([precision[:, None] * (found - points), precision[:, None]], axis=-1)
            both = smooth(both.reshape(*coarse.shape, -1), self.smoothing / coarse.spacing())
            return both[..., :-1] / both[..., -1:]

        queries = unit_features(fixed)
        found = DisplacementMap(jnp.zeros((*grid.shape, grid.ndim), points.dtype), grid)
        for _ in range(self.passes):
            step_map = DisplacementMap(_at_voxels(attend(warp(moving, found, grid, grid)), coarse, grid), grid)
            found = DisplacementMap(Composite((step_map, found)).displacement(grid), grid)
        return found


def _at_voxels(vectors: jax.Array, coarse: Grid, grid: Grid) -> jax.Array:
    """Evaluate cubic B-splines with the coarse vectors as control points, the outermost of them repeated."""
    control = jnp.pad(vectors, [(1, 2)] * grid.ndim + [(0, 0)], mode="edge")
    corner = coarse.affine[:, -1:] - jnp.sum(coarse.affine[:, :-1], axis=1, keepdims=True)
    lattice = Grid(jnp.concatenate([coarse.affine[:, :-1], corner], axis=1), control.shape[:-1])
    return SplineMap(control, lattice).parallel_displacement(grid)


def _squared_norm(vectors: jax.Array) -> jax.Array:
    return jnp.sum(vectors**2, axis=-1)
