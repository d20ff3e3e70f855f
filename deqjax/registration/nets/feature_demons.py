"""Registration as an equilibrium: the demons of learned features, differentiated by the implicit function theorem."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from deqjax.implicit import Unrolled
from deqjax.registration.grid import Grid
from deqjax.registration.interpolation import Order
from deqjax.registration.symmetric_demons import demons
from deqjax.registration.transforms import VelocityMap
from deqjax.solvers import Broyden
from deqjax.types import Adjoint, Solver


class FeatureDemons(nn.Module):
    """The symmetric demons of a feature image ``I / scale + N(I / scale)`` of the fixed and of the moving image.

    N has a few convolutions of 3 voxels with smooth activations, the same for both images. The map is the fixed point
    of `deqjax.registration.symmetric_demons.demons_step`, and its gradient with respect to the features is exact with
    the default adjoint, `deqjax.Implicit`. The weights of the last convolution start at 0, so that an untrained network
    gives the demons of the images. The scale is the standard deviation of each image.

    Sources: R. Jena, P. Chaudhari, J. Gee, "Deep implicit optimization enables robust learnable features for deformable
    image registration", Med. Image Anal. 103:103577, 2025, for features learned through an optimisation, there with
    approximate gradients.

    Attributes:
      widths: the numbers of channels of the convolutions before the last one.
      smoothing: see `demons`, in mm.
      strength: the weight of `demons`.
      squarings: the number of squarings of the exponential.
      order: the interpolation order. With 3 the fixed point is a smooth function of the features.
      solver: the solver of the fixed point; None for that of `demons`.
      adjoint: how to differentiate; None for `deqjax.Implicit`.

    >>> grid = Grid.of((16, 16))
    >>> fixed, moving = (jnp.exp(-jnp.sum((grid.points() - centre) ** 2, -1) / 20) for centre in (7.0, 7.5))
    >>> network = FeatureDemons(widths=(4,))
    >>> found = jax.eval_shape(network.init_with_output, jax.random.key(0), fixed, moving, grid)[0]
    >>> found.velocity.shape
    (16, 16, 2)
    """

    widths: tuple[int, ...] = (8, 8)
    smoothing: float = 3.0
    strength: float = 0.1
    squarings: int = 5
    order: Order = 3
    solver: Solver | None = None
    adjoint: Adjoint | Unrolled | None = None

    @nn.compact
    def __call__(self, fixed: jax.Array, moving: jax.Array, grid: Grid) -> VelocityMap:
        """Return the map between two images on one grid.

        Args:
          fixed: the fixed image, (*grid.shape).
          moving: the moving image, (*grid.shape).
          grid: the grid of both.
        """
        kernel = (3,) * grid.ndim
        layers = [nn.Conv(width, kernel, padding="VALID") for width in self.widths]
        last = nn.Conv(1, kernel, padding="VALID", kernel_init=nn.initializers.zeros)

        def features(image: jax.Array) -> jax.Array:
            image = image / (jnp.std(image) + 1e-6)
            edge = lambda values: jnp.pad(values, [(1, 1)] * grid.ndim + [(0, 0)], mode="edge")
            values = image[..., None]
            for layer in layers:
                values = nn.silu(layer(edge(values)))
            return image + last(edge(values))[..., 0]

        settings: dict[str, Any] = {"grid": grid, "squarings": self.squarings, "order": self.order}
        solver = Broyden(max_steps=60, rtol=1e-3) if self.solver is None else self.solver
        both = features(fixed), features(moving)
        return demons(*both, self.smoothing, self.strength, solver=solver, adjoint=self.adjoint, **settings)[0]
