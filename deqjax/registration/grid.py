"""Grids of voxels, and the conversion between voxel indices and world millimetres."""

from collections.abc import Sequence
from dataclasses import field

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from deqjax.pytree import operand


@operand
class SlicePlace:
    """Where a 2-D image lies in the world: the affine of the volume of one slice that it was read from.

    Attributes:
      affine: (4, 4), the affine of the volume, in mm.
      axis: the axis of the volume that has one voxel.
    """

    affine: jax.Array
    axis: int = field(metadata={"static": True})


@operand
class Grid:
    """The voxel centres of an image in world millimetres: ``world = affine @ (index, 1)``. Oblique grids are allowed.

    Attributes:
      affine: (d + 1, d + 1), d 2 or 3; each column is the step of one voxel along an axis, in mm. For files it is the
        affine of NIfTI (RAS).
      shape: the number of voxels along each axis; it is part of the pytree structure, not a leaf.
      place: for one slice from a file, its place in the world; see `slice_grid`. Points are then in the plane.

    >>> grid = Grid.of((4, 5), spacing=(1.0, 2.0))
    >>> grid.world(jnp.array([3.0, 4.0])), grid.centre()
    (Array([3., 8.], dtype=float32), Array([1.5, 4. ], dtype=float32))
    """

    affine: jax.Array
    shape: tuple[int, ...] = field(metadata={"static": True})
    place: SlicePlace | None = None

    @staticmethod
    def of(
        shape: Sequence[int], spacing: float | Sequence[float] = 1.0, origin: float | Sequence[float] = 0.0
    ) -> "Grid":
        """Make a grid whose axes are parallel to those of the world.

        Args:
          shape: the number of voxels along each axis.
          spacing: the voxel size, in mm; one value, or one for each axis.
          origin: the position of the first voxel centre, in mm.

        Raises:
          ValueError: if a spacing is not positive and finite, or the shape is not 2-D or 3-D; see `check_grid`.
        """
        affine = np.eye(len(shape) + 1)
        affine[:-1, :-1] = np.diag(np.broadcast_to(np.asarray(spacing, float), len(shape)))
        affine[:-1, -1] = origin
        grid = Grid(jnp.asarray(affine, float), tuple(int(n) for n in shape))
        check_grid(grid, "grid")
        if np.any(np.asarray(spacing) < 0):
            raise ValueError(
                f"spacing must be positive, got {spacing}: to flip an axis, negate its column of the affine"
            )
        return grid

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def spacing(self) -> jax.Array:
        """Return the voxel size along each axis, (d,), in mm."""
        return jnp.linalg.norm(self.affine[:-1, :-1], axis=0)

    def world(self, index: ArrayLike) -> jax.Array:
        """Convert voxel indices (..., d) to world points (..., d), in mm."""
        return affine_points(self.affine, jnp.asarray(index))

    def index(self, points: ArrayLike) -> jax.Array:
        """Convert world points (..., d), in mm, to fractional voxel indices (..., d)."""
        return affine_points(jnp.linalg.inv(self.affine), jnp.asarray(points))

    def points(self) -> jax.Array:
        """Return every voxel centre, (*shape, d), in mm."""
        axes = [jnp.arange(n, dtype=self.affine.dtype) for n in self.shape]
        return self.world(jnp.stack(jnp.meshgrid(*axes, indexing="ij"), axis=-1))

    def centre(self) -> jax.Array:
        """Return the centre of the box of voxel centres, (d,), in mm."""
        return self.world((jnp.asarray(self.shape, self.affine.dtype) - 1) / 2)

    def strided(self, factors: Sequence[int]) -> "Grid":
        """Return the grid of ``image[::f0, ::f1, ...]``: it has the same first voxel and larger voxels."""
        scale = jnp.asarray((*factors, 1), self.affine.dtype)
        return Grid(
            self.affine * scale, tuple(-(-n // f) for n, f in zip(self.shape, factors, strict=True)), self.place
        )


def affine_points(affine: jax.Array, points: jax.Array) -> jax.Array:
    """Apply a homogeneous matrix (d + 1, d + 1) to points (..., d).

    >>> affine_points(jnp.array([[2.0, 0.0, 1.0], [0.0, 2.0, 0.0], [0.0, 0.0, 1.0]]), jnp.ones((1, 2)))
    Array([[3., 2.]], dtype=float32)
    """
    return jnp.matmul(points, affine[:-1, :-1].T, precision="highest") + affine[:-1, -1]


def check_grid(grid: Grid, name: str) -> None:
    """Check that an image can have a grid. The affine must be known, so this does not run inside ``jit``.

    Args:
      grid: the grid to check.
      name: the name of the image, for the error message.

    Raises:
      ValueError: if the grid is not 2-D or 3-D, has an empty axis or a zero spacing, or if its affine is singular,
        not finite or of another dimension.

    >>> check_grid(Grid(jnp.diag(jnp.array([1.0, 0.0, 1.0])), (4, 4)), "fixed")
    Traceback (most recent call last):
    ValueError: fixed: the voxel size is [1. 0.] mm: it must be above zero along every axis
    """
    affine, shape = np.asarray(grid.affine, float), grid.shape
    if len(shape) not in (2, 3) or min(shape) < 1:
        raise ValueError(f"{name}: shape {shape}: an image must be 2-D or 3-D, with at least one voxel along each axis")
    if affine.shape != (len(shape) + 1,) * 2:
        raise ValueError(f"{name}: an affine of shape {affine.shape} does not match an image of shape {shape}")
    if not np.all(np.isfinite(affine)):
        raise ValueError(f"{name}: the affine contains values that are not finite")
    spacing = np.linalg.norm(affine[:-1, :-1], axis=0)
    if np.any(spacing < 1e-6):
        raise ValueError(f"{name}: the voxel size is {spacing} mm: it must be above zero along every axis")
    if abs(np.linalg.det(affine[:-1, :-1] / spacing)) < 1e-3:
        raise ValueError(f"{name}: the affine is singular: its axes are linearly dependent")


def check_dimensions(fixed: Grid, moving: Grid) -> None:
    """Check that two grids have the same dimension.

    Raises:
      ValueError: if one grid is 2-D and the other is 3-D.

    >>> check_dimensions(Grid.of((2, 2)), Grid.of((3, 3)))
    """
    if fixed.ndim != moving.ndim:
        raise ValueError(f"the fixed image is {fixed.ndim}-D and the moving image is {moving.ndim}-D: they must agree")
