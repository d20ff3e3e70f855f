"""VoxelMorph: a U-Net computes the displacement or the velocity between two images."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from deqjax.registration.grid import Grid
from deqjax.registration.nets.field_unet import FieldUNet
from deqjax.registration.nets.halving import halve, halved_grid, scaled_image
from deqjax.registration.transforms import DisplacementMap, VelocityMap


class VoxelMorph(nn.Module):
    """A `FieldUNet` of both images, whose field is the displacement or, half as fine, the velocity of the map.

    The field of the network is in voxels along the axes of the images, and the map is in mm along the axes of the
    world. Each image is divided by ``sum I^2 / sum |I|``, its mean weighted by itself, which changes neither with the
    unit of the image nor with the amount of zeros around the object.

    The velocity is the mean of the field over blocks of 2 voxels along each axis. Its inverse map is the flow of the
    negative velocity.

    A conditional network takes the weight of the regularizer as a further input, so that one training serves all
    weights; see `Unsupervised`, ``conditional``.

    Attributes:
      encoder: see `FieldUNet`.
      decoder: see `FieldUNet`.
      last: see `FieldUNet`.
      diffeomorphic: whether the field is a velocity, for maps that hardly fold; otherwise it is the displacement.
      squarings: the number of squarings of the exponential of the velocity.
      conditional: whether every layer depends on the weight.
      weight: the weight, from 0 to 1, of a call that gives none.

    Sources: G. Balakrishnan et al., "VoxelMorph: a learning framework for deformable medical image registration", IEEE
    Trans. Med. Imaging 38:1788, 2019; A. Dalca et al., "Unsupervised learning of probabilistic diffeomorphic
    registration for images and surfaces", Med. Image Anal. 57:226, 2019, section 3.2, without the variance; A. Hoopes
    et al., "HyperMorph: amortized hyperparameter learning for image registration", IPMI 2021, for the weight.

    >>> grid = Grid.of((33, 20), spacing=2.0)
    >>> image = jnp.exp(-jnp.sum((grid.points() - 30.0) ** 2, -1) / 99)
    >>> network = VoxelMorph(encoder=(4,), decoder=(4,), last=())
    >>> found = jax.eval_shape(network.init_with_output, jax.random.key(0), image, image, grid)[0]
    >>> type(found).__name__, found.velocity.shape
    ('VelocityMap', (17, 10, 2))
    """

    encoder: tuple[int, ...] = (16, 32, 32, 32)
    decoder: tuple[int, ...] = (32, 32, 32, 32)
    last: tuple[int, ...] = (32, 16, 16)
    diffeomorphic: bool = True
    squarings: int = 7
    conditional: bool = False
    weight: float = 0.5

    @nn.compact
    def __call__(
        self, fixed: jax.Array, moving: jax.Array, grid: Grid, weight: jax.Array | None = None
    ) -> DisplacementMap | VelocityMap:
        """Return the map between two images on one grid.

        Args:
          fixed: the fixed image, (*grid.shape).
          moving: the moving image, (*grid.shape).
          grid: the grid of both.
          weight: the weight of a conditional network, a number from 0 to 1.
        """
        images = jnp.stack([scaled_image(fixed), scaled_image(moving)], axis=-1)
        condition = jnp.reshape(jnp.asarray(self.weight if weight is None else weight, images.dtype), 1)
        unet = FieldUNet(self.encoder, self.decoder, self.last, name="unet")
        voxels = unet(images, condition if self.conditional else None)
        vectors = jnp.matmul(voxels, grid.affine[:-1, :-1].T, precision="highest")
        if not self.diffeomorphic:
            return DisplacementMap(vectors, grid)
        return VelocityMap(halve(vectors, grid.ndim), halved_grid(grid), self.squarings)
