"""Free-form deformation: cubic B-splines on a lattice of control points."""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from deqjax.pytree import operand
from deqjax.registration.grid import Grid
from deqjax.registration.interpolation import cubic_bspline, interpolate_coefficients
from deqjax.registration.smoothing import multiply_axis
from deqjax.registration.transforms.inverse import InverseMap
from deqjax.registration.transforms.jacobians import jacobian_determinant


@operand
class SplineMap:
    """``y = x + sum_j c_j B(x / spacing - j)``, B the product of cubic B-splines along the axes of the lattice.

    The lattice has one control point before and one after the box that it describes. Beyond that box, the displacement
    of its edge continues.

    Attributes:
      control: c, (*lattice.shape, d), in mm along the world axes.
      lattice: the grid of the control points.

    Source: D. Rueckert et al., "Nonrigid registration using free-form deformations: application to breast MR images",
    IEEE Trans. Med. Imaging 18:712, 1999, equation 2.

    >>> lattice = Grid.of((4, 4), spacing=5.0, origin=-5.0)
    >>> SplineMap(jnp.ones((4, 4, 2)), lattice).apply_points(jnp.array([2.0, 3.0])).round(5)
    Array([3., 4.], dtype=float32)
    """

    control: jax.Array
    lattice: Grid

    def apply_points(self, points: jax.Array) -> jax.Array:
        last = jnp.asarray(self.lattice.shape, points.dtype) - 2
        index = jnp.clip(self.lattice.index(points), 1, last)
        return points + interpolate_coefficients(self.control, index, order=3)

    def displacement(self, grid: Grid) -> jax.Array:
        points = grid.points()
        return self.apply_points(points) - points

    def parallel_displacement(self, grid: Grid) -> jax.Array:
        """Compute `displacement` on a grid whose axes are parallel to the lattice: one small matrix for each axis."""
        to_lattice = jnp.linalg.inv(self.lattice.affine) @ grid.affine
        field = self.control
        for axis, (voxels, controls) in enumerate(zip(grid.shape, self.lattice.shape, strict=True)):
            position = to_lattice[axis, axis] * jnp.arange(voxels, dtype=field.dtype) + to_lattice[axis, -1]
            position = jnp.clip(position, 1, controls - 2)
            field = multiply_axis(cubic_bspline(position[:, None] - jnp.arange(controls)), field, axis)
        return field

    def inverse(self) -> InverseMap:
        return InverseMap(self)

    def jacobian_determinant(self, points: jax.Array) -> jax.Array:
        return jacobian_determinant(self, points)


@dataclass(frozen=True)
class FreeForm:
    """Cubic B-splines on a lattice along the axes of the image; each level of the pyramid halves its spacing.

    The parameters are the displacements of the control points, (*n, d), in mm. Along each axis, n is the number of
    cells that cover the image, plus 3.

    Attributes:
      spacing: the distance of the control points on the last level, in mm.

    Raises:
      ValueError: if the spacing is not above zero.

    Source: D. Rueckert et al. 1999, see `SplineMap`. The halving is exact: T. Lyche and K. Morken, "Spline methods",
    2008, section 4.1, for uniform cubic splines.

    >>> FreeForm(spacing=4.0).init(Grid.of((9, 10))).shape
    (5, 6, 2)
    """

    spacing: float = 16.0

    def __post_init__(self) -> None:
        if not self.spacing > 0:
            raise ValueError(f"the spacing of the control points is {self.spacing} mm: it must be above zero")

    def init(self, grid: Grid, scale: int = 1) -> jax.Array:
        extent = (np.array(grid.shape) - 1) * np.asarray(grid.spacing())
        cells = np.maximum(np.ceil(extent / (self.spacing * scale) - 1e-4), 1).astype(int)
        return jnp.zeros((*(int(n) + 3 for n in cells), grid.ndim))

    def map(self, parameters: jax.Array, grid: Grid, scale: int = 1) -> SplineMap:
        steps = self.spacing * scale / grid.spacing()
        columns = grid.affine[:, :-1] * steps
        origin = grid.affine[:, -1:] - jnp.sum(columns, axis=1, keepdims=True)
        return SplineMap(parameters, Grid(jnp.concatenate([columns, origin], axis=1), parameters.shape[:-1]))

    def displacement(self, parameters: jax.Array, grid: Grid, scale: int = 1) -> jax.Array:
        return self.map(parameters, grid, scale).parallel_displacement(grid)

    def refine(self, parameters: jax.Array, finer: jax.Array, ratios: Sequence[float]) -> jax.Array:
        for axis, n in enumerate(finer.shape[:-1]):
            parameters = _halve_spacing(parameters, axis, n)
        return parameters

    def field(self, parameters: jax.Array, grid: Grid, scale: int = 1) -> tuple[jax.Array, Grid]:
        return parameters, self.map(parameters, grid, scale).lattice


def _halve_spacing(control: jax.Array, axis: int, n: int) -> jax.Array:
    """Return the same spline with half the spacing and n control points along an axis.

    Both lattices begin one step before the image.
    """
    c = jnp.moveaxis(control, axis, 0)
    between, on = (c[:-1] + c[1:]) / 2, (c[:-2] + 6 * c[1:-1] + c[2:]) / 8
    halved = jnp.zeros((2 * len(c) - 3, *c.shape[1:]), c.dtype).at[::2].set(between).at[1::2].set(on)
    missing = max(n - len(halved), 0)
    halved = jnp.pad(halved, [(0, missing)] + [(0, 0)] * (c.ndim - 1), mode="edge")
    return jnp.moveaxis(halved[:n], 0, axis)
