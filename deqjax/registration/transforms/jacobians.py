"""Jacobian matrices of maps and displacement fields, their determinants, and small linear systems."""

import itertools

import jax
import jax.numpy as jnp

from deqjax.registration.grid import Grid
from deqjax.registration.types import Map


def jacobian(mapping: Map, points: jax.Array) -> jax.Array:
    """Differentiate a map at points (..., d), each independently: ``dy_a / dx_b``, (..., d, d).

    >>> from deqjax.registration.transforms import LinearMap
    >>> jacobian(LinearMap(jnp.array([[1.0, 2.0], [3.0, 4.0]]), jnp.zeros(2)), jnp.zeros(2))
    Array([[1., 2.],
           [3., 4.]], dtype=float32)
    """
    directions = [jnp.broadcast_to(unit, points.shape) for unit in jnp.eye(points.shape[-1], dtype=points.dtype)]
    columns = [jax.jvp(mapping.apply_points, (points,), (direction,))[1] for direction in directions]
    return jnp.stack(columns, axis=-1)


def jacobian_determinant(mapping: Map, points: jax.Array) -> jax.Array:
    """Differentiate a map at points (..., d), each independently, and return the determinants, (...).

    >>> from deqjax.registration.transforms import LinearMap
    >>> jacobian_determinant(LinearMap(2 * jnp.eye(3), jnp.zeros(3)), jnp.zeros((1, 3)))
    Array([8.], dtype=float32)
    """
    return determinant(jacobian(mapping, points))


def central_differences(vectors: jax.Array, grid: Grid) -> jax.Array:
    """Return the derivatives ``du_a / dx_b`` along the world axes at every voxel; they are one-sided at the edges.

    Args:
      vectors: u, (*grid.shape, d), in mm.
      grid: the grid of the vectors.

    Returns:
      The derivatives, (*grid.shape, d, d), without unit.

    >>> grid = Grid.of((3, 3), spacing=2.0)
    >>> central_differences(grid.points(), grid)[1, 1]
    Array([[1., 0.],
           [0., 1.]], dtype=float32)
    """
    columns = [
        jnp.asarray(jnp.gradient(vectors, axis=axis)) if n > 1 else jnp.zeros_like(vectors)
        for axis, n in enumerate(grid.shape)
    ]
    return jnp.matmul(jnp.stack(columns, axis=-1), jnp.linalg.inv(grid.affine[:-1, :-1]), precision="highest")


def cell_determinants(vectors: jax.Array, grid: Grid) -> jax.Array:
    """Return the smallest Jacobian determinant of ``x + u`` at the corners of every cell between the voxel centres.

    At a corner, the derivatives of the multilinear interpolation in the cell are the differences along its edges.

    Args:
      vectors: u, (*grid.shape, d), in mm.
      grid: the grid of the vectors; at least two voxels along each axis.

    Returns:
      (*(n - 1 for n in grid.shape)).

    >>> grid = Grid.of((2, 3), spacing=2.0)
    >>> cell_determinants(jnp.zeros((2, 3, 2)).at[0, 0, 0].set(1.0), grid)
    Array([[0.5, 1. ]], dtype=float32)
    """
    axes, steps = range(grid.ndim), grid.affine[:-1, :-1]
    edges = [jnp.diff(vectors, axis=axis) for axis in axes]
    smallest = jnp.full([n - 1 for n in grid.shape], jnp.inf)
    for corner in itertools.product((slice(None, -1), slice(1, None)), repeat=grid.ndim):
        sides = [edges[a][tuple(slice(None) if b == a else corner[b] for b in axes)] for a in axes]
        smallest = jnp.minimum(smallest, determinant(steps + jnp.stack(sides, axis=-1)))
    return smallest / determinant(steps)


def determinant(matrix: jax.Array) -> jax.Array:
    """Return the determinants of many small matrices (..., d, d), d 2 or 3, by the explicit formula.

    An LU factorisation would be slow for so many matrices.

    >>> determinant(jnp.diag(jnp.array([2.0, 3.0])))
    Array(6., dtype=float32)
    """
    if matrix.shape[-1] == 2:
        return matrix[..., 0, 0] * matrix[..., 1, 1] - matrix[..., 0, 1] * matrix[..., 1, 0]
    a, b, c = (matrix[..., i] for i in range(3))
    return jnp.sum(a * jnp.cross(b, c), axis=-1)


def solve_small(matrix: jax.Array, right: jax.Array) -> jax.Array:
    """Solve many systems ``matrix x = right``, (..., d, d) and (..., d), d 2 or 3, by Cramer's rule.

    >>> solve_small(jnp.array([[2.0, 0.0], [1.0, 1.0]]), jnp.array([4.0, 3.0]))
    Array([2., 1.], dtype=float32)
    """
    columns = [matrix[..., i] for i in range(matrix.shape[-1])]
    replaced = [jnp.stack([*columns[:i], right, *columns[i + 1 :]], axis=-1) for i in range(len(columns))]
    return jnp.stack([determinant(m) for m in replaced], axis=-1) / determinant(matrix)[..., None]
