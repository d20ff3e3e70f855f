"""What every map offers and every transform knows."""

from typing import Protocol

import jax
import jax.numpy as jnp

from deqjax.registration.grid import Grid


class Map(Protocol):
    """An operand that takes fixed points to moving points, in world mm."""

    def apply_points(self, points: jax.Array) -> jax.Array:
        """Map points (..., d), mm."""
        ...

    def displacement(self, grid: Grid) -> jax.Array:
        """``map(x) - x`` at every voxel centre, (*shape, d), mm."""
        ...

    def inverse(self) -> "Map":
        """The map from moving points to fixed points."""
        ...

    def jacobian_determinant(self, points: jax.Array) -> jax.Array:
        """Local change of volume at points (..., d): (...), 1 where none, below 0 where the map folds."""
        ...


class Transform(Protocol):
    """A setting: how free numbers become a map.

    ``scale`` is the voxel size of a pyramid's level over that of its last level; coarse levels may use fewer numbers.
    """

    def init(self, grid: Grid, scale: int = 1) -> jax.Array:
        """The numbers of the identity on this grid."""
        ...

    def map(self, parameters: jax.Array, grid: Grid, scale: int = 1) -> Map:
        """The map that these numbers stand for."""
        ...

    def displacement(self, parameters: jax.Array, grid: Grid, scale: int = 1) -> jax.Array:
        """``map(parameters, grid, scale).displacement(grid)``, the quick way where there is one."""
        ...

    def refine(self, parameters: jax.Array, finer: jax.Array) -> jax.Array:
        """Carry numbers from one level to the next, half as coarse, where they have the shape of ``finer``."""
        ...

    def field(self, parameters: jax.Array, grid: Grid, scale: int = 1) -> tuple[jax.Array, Grid] | None:
        """What a regulariser sees: vectors (*n, d) in mm and the grid of their lattice; None: nothing."""
        ...


def jacobian_determinant(map: Map, points: jax.Array) -> jax.Array:
    """Differentiate a map at points (..., d), each on its own, and return the determinants (...).

    >>> from deqjax.registration.transforms import LinearMap
    >>> jacobian_determinant(LinearMap(2 * jnp.eye(3), jnp.zeros(3)), jnp.zeros((1, 3)))
    Array([8.], dtype=float32)
    """
    return determinant(jacobian(map, points))


def jacobian(map: Map, points: jax.Array) -> jax.Array:
    """Differentiate a map at points (..., d), each on its own: ``dy_a / dx_b``, (..., d, d).

    >>> from deqjax.registration.transforms import LinearMap
    >>> jacobian(LinearMap(jnp.array([[1.0, 2.0], [3.0, 4.0]]), jnp.zeros(2)), jnp.zeros(2))
    Array([[1., 2.],
           [3., 4.]], dtype=float32)
    """
    directions = [jnp.broadcast_to(unit, points.shape) for unit in jnp.eye(points.shape[-1], dtype=points.dtype)]
    columns = [jax.jvp(map.apply_points, (points,), (direction,))[1] for direction in directions]
    return jnp.stack(columns, axis=-1)


def determinant(matrix: jax.Array) -> jax.Array:
    """The determinant of many small matrices (..., d, d), d 2 or 3, written out: LU would be slow.

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
