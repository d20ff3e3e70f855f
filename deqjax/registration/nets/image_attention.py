"""Registration of images by attention: learned features on a coarse grid match fixed voxels to moving voxels."""

import itertools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from deqjax.registration.grid import Grid
from deqjax.registration.nets.field_unet import FieldUNet
from deqjax.registration.nets.halving import halve, halved_grid, scaled_image
from deqjax.registration.smoothing import smooth
from deqjax.registration.transforms import Composite, DisplacementMap, SplineMap
from deqjax.registration.warping import warp


class ImageAttention(nn.Module):
    """`AttentionRegistration` of images: ``Xi(p_i) = sum_j softmax_j(<phi_B(p_i), phi_A(p_j)> / temperature) p_j``.

    phi are unit features of small strided convolutions, the same for the fixed image B and the moving image A. They are
    learned together with the temperature. A point attends only to points within ``radius``. Regions without structure
    therefore do not move, except within ``radius`` of the border, where ``outside`` adds the missing points. A Gaussian
    average follows, in which a point has the weight ``1 / (v + step^2 / 4)``, v the variance of the points to which it
    attends. Cubic B-splines interpolate the result at every voxel.

    The rows of the softmax are computed in blocks, so that the memory does not grow with the square of the number of
    points, in training neither. What `CARL` adds is left out by default: points outside, features of a fixed norm in
    place of a learned temperature, normalised groups of channels, and U-Nets that refine the map.

    Sources: A. Vaswani et al., "Attention is all you need", NeurIPS 2017, equation 1, with coordinates as values, and
    without the weights by variance; H. Greer, L. Tian et al., "CARL: a framework for equivariant image registration",
    CVPR 2025, sections 3 and 4, for ``outside``, ``feature_norm`` and ``refinements``.

    Attributes:
      width: the number of channels.
      halvings: how often the resolution is halved: the coarse step is ``2**halvings`` voxels.
      radius: the largest distance over which a point attends to another, in mm.
      smoothing: the standard deviation of the average, in mm.
      passes: the number of passes; each pass after the first registers the image that the passes before it have
        warped, with the same features.
      outside: the number of coarse steps by which the edge of the moving image is repeated beyond it, so that points
        near the border can be mapped there.
      feature_norm: the norm of the features, 4 in the paper; 0 for unit features with a learned temperature.
      groups: the number of groups of channels that are normalised after a convolution; 0 for no normalisation.
      refinements: the number of U-Nets that correct the map, each at twice the resolution of the one before it, the
        last one at that of the images; 2 in the paper.
      turns: whether the features are the mean over all turns of the image that take a cubic grid to itself, 4 in 2-D,
        24 in 3-D. Turning both images then turns the map exactly, without U-Nets and if ``n - 1`` is a multiple of the
        coarse step along each axis; else approximately.
      block: the number of points whose softmax is computed at once.

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
    outside: int = 0
    feature_norm: float = 0.0
    groups: int = 0
    refinements: int = 0
    turns: bool = False
    block: int = 1024

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
        norms = [nn.GroupNorm(self.groups) for _ in strides[1:]] if self.groups else []
        if self.feature_norm:
            temperature = jnp.asarray(self.feature_norm**-2, float)
        else:
            temperature = jnp.exp(self.param("log_temperature", nn.initializers.constant(-3.0), ()))
        factor = 2**self.halvings
        coarse = grid.strided((factor,) * grid.ndim)
        wide = _grown(coarse, self.outside)
        points, targets = ((one.points() - grid.centre()).reshape(-1, grid.ndim) for one in (coarse, wide))
        step = jnp.max(coarse.spacing())

        def convolved(values: jax.Array) -> jax.Array:
            for k, layer in enumerate(layers):  # The edge is repeated, because zeros beyond it would act as structure.
                values = norms[k - 1](values) if norms and k else values
                values = nn.gelu(values) if k else values
                values = layer(jnp.pad(values, [(1, 1)] * grid.ndim + [(0, 0)], mode="edge"))
            return values

        def unit_features(image: jax.Array, outside: int) -> jax.Array:
            values = ((image - jnp.mean(image)) / (jnp.std(image) + 1e-6))[..., None]
            more = outside * factor
            if self.turns:  # The coarse points lie symmetrically if the image ends at one.
                margins = [(more, more + (1 - n) % factor) for n in grid.shape]
                padded = jnp.pad(values, [*margins, (0, 0)], mode="edge")
                values = _mean_over_turns(convolved, padded)
                values = values[tuple(slice(-(-n // factor) + 2 * outside) for n in grid.shape)]
            else:
                values = convolved(jnp.pad(values, [(more, more)] * grid.ndim + [(0, 0)], mode="edge"))
            features = values.reshape(-1, self.width)
            return features / jnp.sqrt(_squared_norm(features)[:, None] + 1e-6)

        def attend(warped: jax.Array) -> jax.Array:
            keys = unit_features(warped, self.outside)

            def rows(block: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
                queries, places = block
                near = _squared_norm(places[:, None] - targets) <= self.radius**2
                agreement = jnp.matmul(queries, keys.T, precision="highest")
                weights = jax.nn.softmax(jnp.where(near, agreement / temperature, -jnp.inf), axis=-1)
                found = jnp.matmul(weights, targets, precision="highest")
                return found, jnp.matmul(weights, _squared_norm(targets), precision="highest") - _squared_norm(found)

            found, variance = _in_blocks(rows, (queries, points), self.block)
            precision = 1 / (jnp.maximum(variance, 0) + step**2 / 4)
            both = jnp.concatenate([precision[:, None] * (found - points), precision[:, None]], axis=-1)
            both = smooth(both.reshape(*coarse.shape, -1), self.smoothing / coarse.spacing())
            return both[..., :-1] / both[..., -1:]

        queries = unit_features(fixed, 0)
        found = DisplacementMap(jnp.zeros((*grid.shape, grid.ndim), points.dtype), grid)
        for _ in range(self.passes):
            step_map = DisplacementMap(_at_voxels(attend(warp(moving, found, grid, grid)), coarse, grid), grid)
            found = DisplacementMap(Composite((step_map, found)).displacement(grid), grid)
        pyramid = [(scaled_image(fixed), scaled_image(moving), grid)]
        for _ in range(self.refinements - 1):
            one, other, finer = pyramid[-1]
            pyramid.append((halve(one, grid.ndim), halve(other, grid.ndim), halved_grid(finer)))
        for number, (one, other, level) in enumerate(reversed(pyramid[: self.refinements])):
            seen = jnp.stack([one, warp(other, found, level, level)], axis=-1)
            widths = self.width, 2 * self.width
            voxels = FieldUNet(widths, widths[::-1], (self.width,), name=f"refinement_{number}")(seen)
            correction = DisplacementMap(jnp.matmul(voxels, level.affine[:-1, :-1].T, precision="highest"), level)
            found = DisplacementMap(Composite((correction, found)).displacement(grid), grid)
        return found


CARL: dict[str, Any] = {"outside": 4, "feature_norm": 4.0, "groups": 4, "refinements": 2}
"""The settings of `ImageAttention` that follow CARL."""


def _mean_over_turns(function: Callable[[jax.Array], jax.Array], values: jax.Array) -> jax.Array:
    """Return the mean over all turns T of a cubic grid of ``T^-1 function(T values)``, (*shape, channels)."""
    ndim, found = values.ndim - 1, []
    for order in itertools.permutations(range(ndim)):
        for signs in itertools.product((1, -1), repeat=ndim):
            if np.linalg.det(np.eye(ndim)[list(order)] * signs) > 0:
                flipped = [axis for axis in range(ndim) if signs[axis] < 0]
                turned = function(jnp.flip(values.transpose(*order, ndim), flipped))
                found.append(jnp.flip(turned, flipped).transpose(*np.argsort(order), ndim))
    return sum(found[1:], start=found[0]) / len(found)


def _grown(grid: Grid, steps: int) -> Grid:
    """Return the grid with so many more voxels before the first and after the last one along each axis."""
    corner = grid.affine[:, -1] - steps * jnp.sum(grid.affine[:, :-1], axis=1)
    return Grid(grid.affine.at[:, -1].set(corner), tuple(n + 2 * steps for n in grid.shape), grid.place)


Rows = tuple[jax.Array, jax.Array]


def _in_blocks(function: Callable[[Rows], Rows], arrays: Rows, size: int) -> Rows:
    """Apply a function of the rows of arrays to one block after another; gradients compute a block again."""
    count = len(arrays[0])
    if count <= size:
        return function(arrays)
    blocks = -(-count // size)
    padded = jax.tree.map(lambda array: jnp.pad(array, [(0, blocks * size - count), (0, 0)], mode="edge"), arrays)
    split = jax.tree.map(lambda array: array.reshape(blocks, size, -1), padded)
    found = jax.lax.map(jax.checkpoint(function), split)
    joined: Rows = jax.tree.map(lambda array: array.reshape(blocks * size, *array.shape[2:])[:count], found)
    return joined


def _at_voxels(vectors: jax.Array, coarse: Grid, grid: Grid) -> jax.Array:
    """Evaluate cubic B-splines with the coarse vectors as control points, the outermost of them repeated."""
    control = jnp.pad(vectors, [(1, 2)] * grid.ndim + [(0, 0)], mode="edge")
    corner = coarse.affine[:, -1:] - jnp.sum(coarse.affine[:, :-1], axis=1, keepdims=True)
    lattice = Grid(jnp.concatenate([coarse.affine[:, :-1], corner], axis=1), control.shape[:-1])
    return SplineMap(control, lattice).parallel_displacement(grid)


def _squared_norm(vectors: jax.Array) -> jax.Array:
    return jnp.sum(vectors**2, axis=-1)
