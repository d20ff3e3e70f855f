"""A network from coarse to fine: each level corrects the velocity of the level before it."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from deqjax.registration.grid import Grid
from deqjax.registration.nets.field_unet import FieldUNet
from deqjax.registration.nets.halving import halve, halved_grid, scaled_image
from deqjax.registration.transforms import DisplacementMap, VelocityMap
from deqjax.registration.warping import warp


class PyramidNet(nn.Module):
    """Velocities on several levels, each of them the interpolated velocity of the coarser level plus a `FieldUNet`.

    The U-Net of a level sees the fixed image, the moving image warped by the velocity so far, and that velocity, all at
    the resolution of the level. Its field is halved as in `VoxelMorph`, which is this network with one level. A coarse
    level sees far with few voxels, so that large displacements are found.

    Attributes:
      levels: the number of levels; the coarsest has voxels ``2^(levels - 1)`` times as large as the images.
      encoder: see `FieldUNet`.
      decoder: see `FieldUNet`.
      last: see `FieldUNet`.
      squarings: the number of squarings of the exponential of the velocity.

    Source: T. Mok, A. Chung, "Large deformation diffeomorphic image registration with Laplacian pyramid networks",
    MICCAI 2020, here with U-Nets, and with the velocity in place of features of the coarser level.

    >>> grid, image = Grid.of((17, 16)), jnp.eye(17, 16)
    >>> network = PyramidNet(levels=2, encoder=(4,), decoder=(4,), last=())
    >>> found = jax.eval_shape(network.init_with_output, jax.random.key(0), image, image, grid)[0]
    >>> found.velocity.shape
    (9, 8, 2)
    """

    levels: int = 3
    encoder: tuple[int, ...] = (16, 32)
    decoder: tuple[int, ...] = (32, 32)
    last: tuple[int, ...] = (16,)
    squarings: int = 7

    def __call__(self, fixed: jax.Array, moving: jax.Array, grid: Grid) -> VelocityMap:
        """Return the map of the finest level.

        Args:
          fixed: the fixed image, (*grid.shape).
          moving: the moving image, (*grid.shape).
          grid: the grid of both.
        """
        return self.maps(fixed, moving, grid)[-1]

    @nn.compact
    def maps(self, fixed: jax.Array, moving: jax.Array, grid: Grid) -> list[VelocityMap]:
        """Return the maps of all levels, the coarsest first; for `Unsupervised`, ``every_level``."""
        pyramid = [(scaled_image(fixed), scaled_image(moving), grid)]
        for _ in range(self.levels - 1):
            one, other, finer = pyramid[-1]
            pyramid.append((halve(one, grid.ndim), halve(other, grid.ndim), halved_grid(finer)))
        found: list[VelocityMap] = []
        for level, (one, other, coarse) in enumerate(reversed(pyramid)):
            half, axes = halved_grid(coarse), coarse.affine[:-1, :-1]
            so_far = found[-1] if found else VelocityMap(jnp.zeros((*half.shape, grid.ndim)), half, self.squarings)
            velocity = DisplacementMap(so_far.velocity, so_far.grid)
            warped = warp(other, so_far.exponential(), coarse, coarse)
            voxels = jnp.matmul(velocity.displacement(coarse), jnp.linalg.inv(axes).T, precision="highest")
            seen = jnp.concatenate([one[..., None], warped[..., None], voxels], axis=-1)
            correction = FieldUNet(self.encoder, self.decoder, self.last, name=f"level_{level}")(seen)
            correction = jnp.matmul(halve(correction, grid.ndim), axes.T, precision="highest")
            found.append(VelocityMap(velocity.displacement(half) + correction, half, self.squarings))
        return found
