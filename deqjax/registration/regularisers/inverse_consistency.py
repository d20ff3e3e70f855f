"""Inverse consistency."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from deqjax.registration.grid import Grid
from deqjax.registration.sample import sample


@dataclass(frozen=True)
class InverseConsistency:
    """``weight mean |u(x) + v(x + u(x))|^2``, mm^2: there and back again should end where it began.

    As a regulariser of one field u, v is ``-u``; `between` takes the fields of both directions.

    Attributes:
      weight: of the term, per mm^2.

    Source: G. Christensen and H. Johnson, "Consistent image registration", IEEE Trans. Med. Imaging 20:568, 2001,
    equation 3, here for one direction.

    >>> grid = Grid.of((3, 4))
    >>> InverseConsistency()(jnp.ones((3, 4, 2)), grid), InverseConsistency(2.0).between(jnp.ones((3, 4, 2)), 0.0, grid)
    (Array(0., dtype=float32), Array(4., dtype=float32))
    """

    weight: float = 1.0

    def __call__(self, vectors: jax.Array, grid: Grid) -> jax.Array:
        return self.between(vectors, -vectors, grid)

    def between(self, forward: jax.Array, backward: jax.Array, grid: Grid) -> jax.Array:
        """Return the same for displacements u and v of the two directions, (*grid.shape, d), mm, on one grid."""
        backward = jnp.broadcast_to(backward, forward.shape)
        returned = forward + sample(backward, grid.index(grid.points() + forward))
        return self.weight * jnp.mean(jnp.sum(returned**2, axis=-1))
