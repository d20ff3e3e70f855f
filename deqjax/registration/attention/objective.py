"""The objective of `ImageAttention`, which needs no known displacements."""

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp

from deqjax.registration.attention.image_attention import ImageAttention
from deqjax.registration.grid import Grid
from deqjax.registration.regularizers import Diffusion
from deqjax.registration.similarities import LocalNCC
from deqjax.registration.types import Regularizer, Similarity
from deqjax.registration.warping import warp


@dataclass(frozen=True)
class AttentionObjective:
    """The mean over pairs of ``similarity(B, A o Xi) + regularizer(Xi - id)``.

    Attributes:
      similarity: the measure of how much the fixed image B and the warped moving image A differ.
      regularizer: the penalty of the displacement, in mm.

    >>> grid = Grid.of((16, 16))
    >>> images = jnp.stack([grid.points()[..., 0], grid.points()[..., 1]])
    >>> network = ImageAttention(width=4)
    >>> parameters = network.init(jax.random.key(0), images[0], images[1], grid)
    >>> AttentionObjective()(network, parameters, images, images[::-1], grid).shape
    ()
    """

    similarity: Similarity = field(default_factory=lambda: LocalNCC(width=3.0))
    regularizer: Regularizer = field(default_factory=lambda: Diffusion(weight=0.1))

    def __call__(
        self, network: ImageAttention, parameters: Any, fixed: jax.Array, moving: jax.Array, grid: Grid
    ) -> jax.Array:
        """Return the objective of a batch of pairs.

        Args:
          network: the network.
          parameters: its parameters.
          fixed: the fixed images, (pairs, *grid.shape).
          moving: the moving images, (pairs, *grid.shape).
          grid: the grid of all images.

        Returns:
          A scalar.
        """

        def of_pair(fixed: jax.Array, moving: jax.Array) -> jax.Array:
            found: Any = network.apply(parameters, fixed, moving, grid)
            warped = warp(moving, found, grid, grid)
            return self.similarity(fixed, warped, jnp.ones(grid.shape), grid) + self.regularizer(found.vectors, grid)

        return jnp.mean(jax.vmap(of_pair)(fixed, moving))
