"""A spatial transformer: a network that computes an affine map of two images."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from deqjax.registration.grid import Grid
from deqjax.registration.nets.halving import scaled_image
from deqjax.registration.transforms import LinearMap


class AffineNet(nn.Module):
    """Convolutions of stride 2, their mean over the image, and a dense layer give ``y = c + (I + A) (x - c) + t``.

    c is the centre of the image. A and t are in units of the image: along its axes, with half its extent as the length.
    The last layer starts at 0, so that an untrained network is the identity.

    Attributes:
      widths: the numbers of channels of the convolutions.
      dense: the width of the dense layer.

    Source: M. Jaderberg, K. Simonyan, A. Zisserman, K. Kavukcuoglu, "Spatial transformer networks", NeurIPS 2015,
    section 3, here with both images as the input.

    >>> grid, image = Grid.of((20, 16)), jnp.eye(20, 16)
    >>> network = AffineNet(widths=(4,), dense=4)
    >>> found, _ = network.init_with_output(jax.random.key(0), image, image, grid)
    >>> found.apply_points(jnp.array([3.0, 4.0]))
    Array([3., 4.], dtype=float32)
    """

    widths: tuple[int, ...] = (16, 32, 64, 64)
    dense: int = 64

    @nn.compact
    def __call__(self, fixed: jax.Array, moving: jax.Array, grid: Grid) -> LinearMap:
        """Return the map between two images on one grid.

        Args:
          fixed: the fixed image, (*grid.shape).
          moving: the moving image, (*grid.shape).
          grid: the grid of both.
        """
        ndim = grid.ndim
        values = jnp.stack([scaled_image(fixed), scaled_image(moving)], axis=-1)
        for width in self.widths:
            values = nn.leaky_relu(nn.Conv(width, (3,) * ndim, strides=2, padding=1)(values), 0.2)
        features = nn.leaky_relu(nn.Dense(self.dense)(jnp.mean(values.reshape(-1, values.shape[-1]), axis=0)), 0.2)
        numbers = nn.Dense(ndim * (ndim + 1), kernel_init=nn.initializers.zeros)(features)
        axes = grid.affine[:-1, :-1] * (jnp.asarray(grid.shape, grid.affine.dtype) - 1) / 2
        multiply = lambda a, b: jnp.matmul(a, b, precision="highest")
        slope = multiply(multiply(axes, numbers[: ndim**2].reshape(ndim, ndim)), jnp.linalg.inv(axes))
        return LinearMap(jnp.eye(ndim) + slope, multiply(axes, numbers[ndim**2 :]) - multiply(slope, grid.centre()))
