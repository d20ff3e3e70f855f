"""Regularizers that penalise first and second derivatives of a field, and the finite differences that they use."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from deqjax.registration.grid import Grid


@dataclass(frozen=True)
class Diffusion:
    """``weight sum_ab mean (du_a / dx_b)^2``, without unit; zero for translations.

    Attributes:
      weight: the weight of the term.

    Source: B. Fischer and J. Modersitzki, "Fast diffusion registration", Contemp. Math. 313:117, 2002, equation 2.

    >>> grid = Grid.of((3, 4))
    >>> Diffusion()(2 * grid.points(), grid)
    Array(8., dtype=float32)
    """

    weight: float = 1.0

    def __call__(self, vectors: jax.Array, grid: Grid) -> jax.Array:
        terms = [jnp.mean(jnp.sum(forward_difference(vectors, grid, axis) ** 2, -1)) for axis in range(grid.ndim)]
        return self.weight * jnp.sum(jnp.stack(terms))


@dataclass(frozen=True)
class Bending:
    """``weight sum_abc mean (d^2 u_a / dx_b dx_c)^2``, per mm^2; zero for affine maps.

    Attributes:
      weight: the weight of the term, in mm^2.

    Source: D. Rueckert et al. 1999, see `deqjax.registration.transforms.SplineMap`, equation 4.

    >>> grid = Grid.of((3, 4))
    >>> Bending()(grid.points() ** 2, grid)
    Array(8., dtype=float32)
    """

    weight: float = 1.0

    def __call__(self, vectors: jax.Array, grid: Grid) -> jax.Array:
        terms = []
        for b in range(grid.ndim):
            slope = forward_difference(vectors, grid, b)
            terms += [jnp.mean(jnp.sum(forward_difference(slope, grid, c) ** 2, -1)) for c in range(grid.ndim)]
        return self.weight * jnp.sum(jnp.stack(terms))


@dataclass(frozen=True)
class Curvature:
    """``weight sum_a mean (laplacian u_a)^2``, per mm^2; zero for affine and other harmonic fields.

    Attributes:
      weight: the weight of the term, in mm^2.

    Source: B. Fischer and J. Modersitzki, "Curvature based image registration", J. Math. Imaging Vis. 18:81, 2003,
    equation 4.

    >>> grid = Grid.of((5, 4))
    >>> Curvature()(grid.points() ** 2, grid)
    Array(8., dtype=float32)
    """

    weight: float = 1.0

    def __call__(self, vectors: jax.Array, grid: Grid) -> jax.Array:
        inner = tuple(slice(1, -1) for _ in range(grid.ndim))
        laplacian = jnp.zeros((), vectors.dtype)
        for axis in range(grid.ndim):
            second = forward_difference(forward_difference(vectors, grid, axis), grid, axis)
            laplacian = laplacian + second[(*inner[:axis], slice(None), *inner[axis + 1 :])]
        return self.weight * jnp.mean(jnp.sum(laplacian**2, -1))


@dataclass(frozen=True)
class Elastic:
    """``weight mean (stiffness |E|^2 + incompressibility (div u)^2 / 2)`` with ``E = (grad u + grad u^T) / 2``.

    It has no unit, and is zero for translations and, to first order, for rotations. In terms of the Lame constants,
    the stiffness is mu and the incompressibility is lambda.

    Attributes:
      weight: the weight of the term.
      stiffness: mu.
      incompressibility: lambda.

    Source: C. Broit, "Optimal registration of deformed images", PhD thesis, University of Pennsylvania, 1981; J.
    Modersitzki, "FAIR", 2009, equation 8.4.

    >>> grid = Grid.of((3, 4))
    >>> Elastic()(grid.points()[..., ::-1] * jnp.array([1.0, -1.0]), grid), Elastic()(grid.points(), grid)
    (Array(0., dtype=float32), Array(4., dtype=float32))
    """

    weight: float = 1.0
    stiffness: float = 1.0
    incompressibility: float = 1.0

    def __call__(self, vectors: jax.Array, grid: Grid) -> jax.Array:
        slope = cell_derivatives(vectors, grid)
        strain = (slope + jnp.swapaxes(slope, -1, -2)) / 2
        divergence = jnp.trace(slope, axis1=-2, axis2=-1)
        shape = self.stiffness * jnp.sum(strain**2, axis=(-2, -1))
        return self.weight * jnp.mean(shape + self.incompressibility * divergence**2 / 2)


@dataclass(frozen=True)
class TotalVariation:
    """``weight mean sqrt(sum_ab (du_a / dx_b)^2 + eps^2)``, without unit; it allows a field to slide along an edge.

    Attributes:
      weight: the weight of the term.
      smoothing: eps, without unit; it keeps the gradient finite where the field is constant.

    Source: V. Vishnevskiy et al., "Isotropic total variation regularization of displacements in parametric image
    registration", IEEE Trans. Med. Imaging 36:385, 2017, equation 4.

    >>> grid = Grid.of((3, 4))
    >>> TotalVariation(smoothing=0.0)(grid.points() * jnp.array([3.0, 4.0]), grid)
    Array(5., dtype=float32)
    """

    weight: float = 1.0
    smoothing: float = 1e-3

    def __call__(self, vectors: jax.Array, grid: Grid) -> jax.Array:
        energy = jnp.sum(cell_derivatives(vectors, grid) ** 2, axis=(-2, -1))
        return self.weight * jnp.mean(jnp.sqrt(energy + self.smoothing**2))


def forward_difference(vectors: jax.Array, grid: Grid, axis: int) -> jax.Array:
    """Return the forward difference along one axis divided by its spacing; that axis becomes shorter by one.

    >>> forward_difference(jnp.array([[[0.0], [4.0]]]), Grid.of((1, 2), spacing=2.0), axis=1)
    Array([[[2.]]], dtype=float32)
    """
    return jnp.diff(vectors, axis=axis) / grid.spacing()[axis]


def cell_derivatives(vectors: jax.Array, grid: Grid) -> jax.Array:
    """Return the derivatives ``du_a / dx_b`` along the world axes at the centre of every cell, (*shape - 1, d, d).

    >>> grid = Grid.of((2, 3), spacing=2.0)
    >>> cell_derivatives(grid.points() * jnp.array([1.0, 3.0]), grid)[0, 0]
    Array([[1., 0.],
           [0., 3.]], dtype=float32)
    """
    columns = []
    for axis in range(grid.ndim):
        column = jnp.diff(vectors, axis=axis)
        for other in range(grid.ndim):
            if other != axis:
                low = jax.lax.slice_in_dim(column, 0, -1, axis=other)
                column = (low + jax.lax.slice_in_dim(column, 1, None, axis=other)) / 2
        columns.append(column)
    by_index = jnp.stack(columns, axis=-1)
    return jnp.matmul(by_index, jnp.linalg.inv(grid.affine[:-1, :-1]), precision="highest")
