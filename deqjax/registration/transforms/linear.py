"""Linear maps and the transforms with few parameters: from translation to affine."""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from deqjax.pytree import operand
from deqjax.registration.grid import Grid
from deqjax.registration.transforms.jacobians import determinant


@operand
class LinearMap:
    """``y = matrix x + offset``, x and y in mm.

    Attributes:
      matrix: (d, d).
      offset: (d,), in mm; the point to which the origin of the world is mapped.

    >>> half = LinearMap(2 * jnp.eye(2), jnp.array([1.0, 0.0])).inverse()
    >>> half.apply_points(jnp.array([3.0, 2.0])), half.jacobian_determinant(jnp.zeros(2))
    (Array([1., 1.], dtype=float32), Array(0.25, dtype=float32))
    """

    matrix: jax.Array
    offset: jax.Array

    def apply_points(self, points: jax.Array) -> jax.Array:
        return jnp.matmul(points, self.matrix.T, precision="highest") + self.offset

    def displacement(self, grid: Grid) -> jax.Array:
        points = grid.points()
        return self.apply_points(points) - points

    def inverse(self) -> "LinearMap":
        inverse = jnp.linalg.inv(self.matrix)
        return LinearMap(inverse, -inverse @ self.offset)

    def jacobian_determinant(self, points: jax.Array) -> jax.Array:
        return jnp.broadcast_to(determinant(self.matrix), points.shape[:-1])


@dataclass(frozen=True)
class Translation:
    """``y = x + t``; the parameters are t, (d,), in mm.

    >>> Translation().map(jnp.array([1.0, 2.0]), Grid.of((4, 4))).apply_points(jnp.zeros(2))
    Array([1., 2.], dtype=float32)
    """

    def init(self, grid: Grid, scale: int = 1) -> jax.Array:
        return jnp.zeros(grid.ndim)

    def map(self, parameters: jax.Array, grid: Grid, scale: int = 1) -> LinearMap:
        return LinearMap(jnp.eye(grid.ndim, dtype=parameters.dtype), parameters)

    def displacement(self, parameters: jax.Array, grid: Grid, scale: int = 1) -> jax.Array:
        return jnp.broadcast_to(parameters, (*grid.shape, grid.ndim))

    def refine(self, parameters: jax.Array, finer: jax.Array, ratios: Sequence[float]) -> jax.Array:
        return parameters

    def field(self, parameters: jax.Array, grid: Grid, scale: int = 1) -> None:
        return None


@dataclass(frozen=True)
class Rigid:
    """``y = R (x - c) + c + t`` with ``R = Rz Ry Rx``, in mm.

    The rotation acts on points in mm: on anisotropic voxels, a rotation of voxel indices would not be rigid.
    The parameters are the angles in radians (1 in 2-D; about x, y and z in 3-D), then t, (d,), in mm.

    Attributes:
      centre: c, in mm; None for the centre of the grid.

    >>> quarter = Rigid(centre=(1.0, 0.0)).map(jnp.array([jnp.pi / 2, 0.0, 0.0]), Grid.of((4, 4)))
    >>> quarter.apply_points(jnp.array([2.0, 0.0])).round(5)
    Array([1., 1.], dtype=float32)
    """

    centre: tuple[float, ...] | None = None

    def init(self, grid: Grid, scale: int = 1) -> jax.Array:
        return jnp.zeros(3 if grid.ndim == 2 else 6)

    def map(self, parameters: jax.Array, grid: Grid, scale: int = 1) -> LinearMap:
        angles, translation = parameters[: -grid.ndim], parameters[-grid.ndim :]
        return _centred_map(self.centre, grid, rotation_matrix(angles), translation)

    def displacement(self, parameters: jax.Array, grid: Grid, scale: int = 1) -> jax.Array:
        return self.map(parameters, grid).displacement(grid)

    def refine(self, parameters: jax.Array, finer: jax.Array, ratios: Sequence[float]) -> jax.Array:
        return parameters

    def field(self, parameters: jax.Array, grid: Grid, scale: int = 1) -> None:
        return None


@dataclass(frozen=True)
class Similarity:
    """``y = exp(s) R (x - c) + c + t``: `Rigid` with one scale for all axes.

    The parameters are the angles in radians as in `Rigid`, then s, then t, (d,), in mm.

    Attributes:
      centre: c, in mm; None for the centre of the grid.

    >>> twice = Similarity(centre=(0.0, 0.0)).map(jnp.array([0.0, jnp.log(2.0), 0.0, 0.0]), Grid.of((4, 4)))
    >>> twice.apply_points(jnp.array([2.0, 1.0])).round(5)
    Array([4., 2.], dtype=float32)
    """

    centre: tuple[float, ...] | None = None

    def init(self, grid: Grid, scale: int = 1) -> jax.Array:
        return jnp.zeros(4 if grid.ndim == 2 else 7)

    def map(self, parameters: jax.Array, grid: Grid, scale: int = 1) -> LinearMap:
        angles, size, translation = parameters[: -grid.ndim - 1], parameters[-grid.ndim - 1], parameters[-grid.ndim :]
        return _centred_map(self.centre, grid, jnp.exp(size) * rotation_matrix(angles), translation)

    def displacement(self, parameters: jax.Array, grid: Grid, scale: int = 1) -> jax.Array:
        return self.map(parameters, grid).displacement(grid)

    def refine(self, parameters: jax.Array, finer: jax.Array, ratios: Sequence[float]) -> jax.Array:
        return parameters

    def field(self, parameters: jax.Array, grid: Grid, scale: int = 1) -> None:
        return None


@dataclass(frozen=True)
class RotationScaleShear:
    """``y = H S R (x - c) + c + t``: rotation, then scaling, then shear; 12 parameters in 3-D, 6 in 2-D.

    The parameters are the angles in radians as in `Rigid`; the logarithms of the scales S, (d,); the shears, which are
    the entries of the unit matrix H above its diagonal, row by row; then t, (d,), in mm. To keep some of them fixed,
    use the transform without them: without shears and scales this is `Rigid`.

    Attributes:
      centre: c, in mm; None for the centre of the grid.

    >>> sheared = RotationScaleShear(centre=(0.0, 0.0)).map(jnp.array([0, 0, 0, 0.5, 0, 0]), Grid.of((4, 4)))
    >>> sheared.apply_points(jnp.array([0.0, 1.0]))
    Array([0.5, 1. ], dtype=float32)
    """

    centre: tuple[float, ...] | None = None

    def init(self, grid: Grid, scale: int = 1) -> jax.Array:
        return jnp.zeros(grid.ndim * (grid.ndim + 1))

    def map(self, parameters: jax.Array, grid: Grid, scale: int = 1) -> LinearMap:
        turns = 1 if grid.ndim == 2 else 3
        angles, scales, shears, translation = jnp.split(parameters, [turns, turns + grid.ndim, 2 * turns + grid.ndim])
        shear = jnp.eye(grid.ndim, dtype=parameters.dtype).at[jnp.triu_indices(grid.ndim, 1)].set(shears)
        matrix = shear @ jnp.diag(jnp.exp(scales)) @ rotation_matrix(angles)
        return _centred_map(self.centre, grid, matrix, translation)

    def displacement(self, parameters: jax.Array, grid: Grid, scale: int = 1) -> jax.Array:
        return self.map(parameters, grid).displacement(grid)

    def refine(self, parameters: jax.Array, finer: jax.Array, ratios: Sequence[float]) -> jax.Array:
        return parameters

    def field(self, parameters: jax.Array, grid: Grid, scale: int = 1) -> None:
        return None


@dataclass(frozen=True)
class Affine:
    """``y = (I + M) (x - c) + c + t``: 12 free parameters in 3-D, 6 in 2-D.

    The parameters are M row by row, without unit, then t, (d,), in mm.

    Attributes:
      centre: c, in mm; None for the centre of the grid.

    >>> grid = Grid.of((4, 4, 4))
    >>> Affine().init(grid).shape, Affine().map(Affine().init(grid), grid).apply_points(jnp.arange(3.0))
    ((12,), Array([0., 1., 2.], dtype=float32))
    """

    centre: tuple[float, ...] | None = None

    def init(self, grid: Grid, scale: int = 1) -> jax.Array:
        return jnp.zeros(grid.ndim * (grid.ndim + 1))

    def map(self, parameters: jax.Array, grid: Grid, scale: int = 1) -> LinearMap:
        free, translation = parameters[: -grid.ndim].reshape(grid.ndim, grid.ndim), parameters[-grid.ndim :]
        return _centred_map(self.centre, grid, jnp.eye(grid.ndim, dtype=parameters.dtype) + free, translation)

    def displacement(self, parameters: jax.Array, grid: Grid, scale: int = 1) -> jax.Array:
        return self.map(parameters, grid).displacement(grid)

    def refine(self, parameters: jax.Array, finer: jax.Array, ratios: Sequence[float]) -> jax.Array:
        return parameters

    def field(self, parameters: jax.Array, grid: Grid, scale: int = 1) -> None:
        return None


def rotation_matrix(angles: jax.Array) -> jax.Array:
    """Return the rotation matrix of one angle (1,) in 2-D, or ``Rz Ry Rx`` of three angles (3,) about x, y and z.

    Args:
      angles: (1,) or (3,), in radians.

    Returns:
      (2, 2) or (3, 3).

    >>> rotation_matrix(jnp.array([jnp.pi / 2]))[:, 1] @ jnp.array([-2.0, 0.0])
    Array(2., dtype=float32)
    """
    turns = [jnp.array([[jnp.cos(a), -jnp.sin(a)], [jnp.sin(a), jnp.cos(a)]]) for a in angles]
    if len(turns) == 1:
        return turns[0]
    identity = jnp.eye(3, dtype=angles.dtype)
    x = identity.at[1:, 1:].set(turns[0])
    y = identity.at[jnp.ix_(jnp.array([2, 0]), jnp.array([2, 0]))].set(turns[1])
    z = identity.at[:2, :2].set(turns[2])
    return jnp.matmul(jnp.matmul(z, y, precision="highest"), x, precision="highest")


def spread_rotations(count: int, ndim: int) -> jax.Array:
    """Return rotations that are spread evenly over all rotations of the plane or of space; they are deterministic.

    In 2-D the angles are equally spaced; in 3-D the quaternions lie on a super-Fibonacci spiral.

    Args:
      count: the number of rotations.
      ndim: 2 or 3.

    Returns:
      The rotation matrices, (count, ndim, ndim).

    Source: M. Alexa, "Super-Fibonacci spirals: fast, low-discrepancy sampling of SO(3)", CVPR 2022, algorithm 1.

    >>> spread_rotations(2, 2)[1].round(3) + 0.0
    Array([[-1.,  0.],
           [ 0., -1.]], dtype=float32)
    """
    if ndim == 2:
        return jnp.stack([rotation_matrix(angle[None]) for angle in 2 * jnp.pi * jnp.arange(count) / count])
    position = np.arange(count) + 0.5
    inner, outer = np.sqrt(position / count), np.sqrt(1 - position / count)
    alpha, beta = 2 * np.pi * position / np.sqrt(2), 2 * np.pi * position / 1.533751168755204288118041
    a, b, c, d = inner * np.sin(alpha), inner * np.cos(alpha), outer * np.sin(beta), outer * np.cos(beta)
    rows = [
        [1 - 2 * (b * b + c * c), 2 * (a * b - c * d), 2 * (a * c + b * d)],
        [2 * (a * b + c * d), 1 - 2 * (a * a + c * c), 2 * (b * c - a * d)],
        [2 * (a * c - b * d), 2 * (b * c + a * d), 1 - 2 * (a * a + b * b)],
    ]
    return jnp.asarray(np.moveaxis(np.array(rows), -1, 0), float)


def _centred_map(centre: tuple[float, ...] | None, grid: Grid, matrix: jax.Array, translation: jax.Array) -> LinearMap:
    """``y = matrix (x - c) + c + translation``, c the centre, or that of the grid if it is None."""
    c = grid.centre() if centre is None else jnp.asarray(centre)
    return LinearMap(matrix, c + translation - jnp.matmul(matrix, c, precision="highest"))
