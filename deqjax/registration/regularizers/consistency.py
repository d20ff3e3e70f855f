"""Regularizers that keep a map invertible: the change of volume and the inverse consistency."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from deqjax.registration.grid import Grid
from deqjax.registration.interpolation import interpolate
from deqjax.registration.regularizers.derivatives import Diffusion, cell_derivatives
from deqjax.registration.transforms.jacobians import determinant


@dataclass(frozen=True)
class Jacobian:
    """``weight mean (log det(I + grad u))^2``, without unit: expansion and contraction cost the same, folding most.

    Below ``floor`` the logarithm continues along its tangent, so that the gradient removes folds.

    Attributes:
      weight: the weight of the term.
      floor: the determinant below which the tangent replaces the logarithm.

    Source: T. Rohlfing et al., "Volume-preserving nonrigid registration of MR breast images", IEEE Trans. Med. Imaging
    22:730, 2003, equation 4, here squared.

    >>> grid = Grid.of((3, 4))
    >>> bool(Jacobian()(grid.points(), grid) > 1.9), Jacobian()(0 * grid.points(), grid)
    (True, Array(0., dtype=float32))
    """

    weight: float = 1.0
    floor: float = 0.05

    def __call__(self, vectors: jax.Array, grid: Grid) -> jax.Array:
        volume = determinant(jnp.eye(grid.ndim, dtype=vectors.dtype) + cell_derivatives(vectors, grid))
        safe = jnp.maximum(volume, self.floor)
        logarithm = jnp.log(safe) + jnp.minimum(volume - self.floor, 0) / self.floor
        return self.weight * jnp.mean(logarithm**2)


@dataclass(frozen=True)
class InverseConsistency:
    """``weight mean |r|^2``, in mm^2, with ``r(x) = u(x) + v(x + u(x))``: the displacement v should undo u.

    With ``gradient`` it is ``weight mean |grad r|^2``, without unit, which allows r to be a shift and regularises the
    map as well. As a regularizer of one field u, v is ``-u``; `between` takes the fields of both directions.

    Attributes:
      weight: the weight of the term, per mm^2, or without unit.
      gradient: whether the gradient of r is penalised.

    Sources: G. Christensen and H. Johnson, "Consistent image registration", IEEE Trans. Med. Imaging 20:568, 2001,
    equation 3, here for one direction; L. Tian et al., "GradICON: approximate diffeomorphisms via gradient inverse
    consistency", CVPR 2023, for the gradient, here by differences of voxels.

    >>> grid = Grid.of((3, 4))
    >>> InverseConsistency()(jnp.ones((3, 4, 2)), grid), InverseConsistency(2.0).between(jnp.ones((3, 4, 2)), 0.0, grid)
    (Array(0., dtype=float32), Array(4., dtype=float32))
    """

    weight: float = 1.0
    gradient: bool = False

    def __call__(self, vectors: jax.Array, grid: Grid) -> jax.Array:
        return self.between(vectors, -vectors, grid)

    def between(self, forward: jax.Array, backward: jax.Array, grid: Grid) -> jax.Array:
        """Return the term for the displacements of both directions.

        Args:
          forward: u, (*grid.shape, d), in mm.
          backward: v, in mm, of the same shape or broadcast to it.
          grid: the grid of both.
        """
        backward = jnp.broadcast_to(backward, forward.shape)
        returned = forward + interpolate(backward, grid.index(grid.points() + forward))
        if self.gradient:
            return Diffusion(self.weight)(returned, grid)
        return self.weight * jnp.mean(jnp.sum(returned**2, axis=-1))
