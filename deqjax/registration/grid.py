"""Where an image lies in the world: the one place where voxel indices become millimetres."""

from collections.abc import Sequence
from dataclasses import field

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from deqjax.pytree import operand


@operand
class Grid:
    """The voxel centres of an image in world millimetres, ``world = affine @ (index, 1)``, oblique ones included.

    Attributes:
      affine: (d + 1, d + 1), d 2 or 3; the columns are the steps of one voxel, in mm. NIfTI's for files (RAS).
      shape: voxels along each axis; part of the structure, not a leaf.

    >>> grid = Grid.of((4, 5), spacing=(1.0, 2.0))
    >>> grid.world(jnp.array([3.0, 4.0])), grid.centre()
    (Array([3., 8.], dtype=float32), Array([1.5, 4. ], dtype=float32))
    """

    affine: jax.Array
    shape: tuple[int, ...] = field(metadata={"static": True})

    @staticmethod
    def of(
        shape: Sequence[int], spacing: float | Sequence[float] = 1.0, origin: float | Sequence[float] = 0.0
    ) -> "Grid":
        """Make an upright grid from its voxel size and the place of its first voxel, both in mm.

        Raises:
          ValueError: a spacing that is not positive and finite, or a shape that is not 2-D or 3-D; see `check_grid`.
        """
        affine = np.eye(len(shape) + 1)
        affine[:-1, :-1] = np.diag(np.broadcast_to(np.asarray(spacing, float), len(shape)))
        affine[:-1, -1] = origin
        grid = Grid(jnp.asarray(affine, float), tuple(int(n) for n in shape))
        check_grid(grid, "grid")
        if np.any(np.asarray(spacing) < 0):
            raise ValueError(f"spacing must be positive, got {spacing}: a flipped axis is a column of the affine")
        return grid

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def spacing(self) -> jax.Array:
        """Voxel size along each axis, (d,), mm."""
        return jnp.linalg.norm(self.affine[:-1, :-1], axis=0)

    def world(self, index: ArrayLike) -> jax.Array:
        """Take voxel indices (..., d) to mm (..., d)."""
        return affine_points(self.affine, jnp.asarray(index))

    def index(self, points: ArrayLike) -> jax.Array:
        """Take mm (..., d) to fractional voxel indices (..., d)."""
        return affine_points(jnp.linalg.inv(self.affine), jnp.asarray(points))

    def points(self) -> jax.Array:
        """Every voxel centre, (*shape, d), mm."""
        axes = [jnp.arange(n, dtype=self.affine.dtype) for n in self.shape]
        return self.world(jnp.stack(jnp.meshgrid(*axes, indexing="ij"), axis=-1))

    def centre(self) -> jax.Array:
        """The middle of the box of voxel centres, (d,), mm."""
        return self.world((jnp.asarray(self.shape, self.affine.dtype) - 1) / 2)

    def strided(self, factors: Sequence[int]) -> "Grid":
        """The grid of ``image[::f0, ::f1, ...]``: the same first voxel, larger steps."""
        scale = jnp.asarray((*factors, 1), self.affine.dtype)
        return Grid(self.affine * scale, tuple(-(-n // f) for n, f in zip(self.shape, factors, strict=True)))


def affine_points(affine: jax.Array, points: jax.Array) -> jax.Array:
    """Apply a homogeneous matrix (d + 1, d + 1) to points (..., d).

    >>> affine_points(jnp.array([[2.0, 0.0, 1.0], [0.0, 2.0, 0.0], [0.0, 0.0, 1.0]]), jnp.ones((1, 2)))
    Array([[3., 2.]], dtype=float32)
    """
    return jnp.matmul(points, affine[:-1, :-1].T, precision="highest") + affine[:-1, -1]


def check_grid(grid: Grid, name: str) -> None:
    """Refuse a grid that no image can have; called at the door, where the affine is known.

    Raises:
      ValueError: not 2-D or 3-D, an empty axis, a zero spacing, or an affine singular, not finite or of another size.

    >>> check_grid(Grid(jnp.diag(jnp.array([1.0, 0.0, 1.0])), (4, 4)), "fixed")
    Traceback (most recent call last):
    ValueError: fixed: voxel size [1. 0.] mm: every axis of an image needs a size above zero
    """
    affine, shape = np.asarray(grid.affine, float), grid.shape
    if len(shape) not in (2, 3) or min(shape) < 1:
        raise ValueError(f"{name}: shape {shape}: images are 2-D or 3-D, with at least one voxel along each axis")
    if affine.shape != (len(shape) + 1,) * 2:
        raise ValueError(f"{name}: an affine of shape {affine.shape} does not go with an image of shape {shape}")
    if not np.all(np.isfinite(affine)):
        raise ValueError(f"{name}: the affine holds numbers that are not finite")
    spacing = np.linalg.norm(affine[:-1, :-1], axis=0)
    if np.any(spacing < 1e-6):
        raise ValueError(f"{name}: voxel size {spacing} mm: every axis of an image needs a size above zero")
    if abs(np.linalg.det(affine[:-1, :-1] / spacing)) < 1e-3:
        raise ValueError(f"{name}: the affine is singular, two axes of the image point the same way")


def check_dimensions(fixed: Grid, moving: Grid) -> None:
    """Refuse grids of different dimension.

    Raises:
      ValueError: one is 2-D and the other 3-D.

    >>> check_dimensions(Grid.of((2, 2)), Grid.of((3, 3)))
    """
    if fixed.ndim != moving.ndim:
        raise ValueError(f"the fixed image is {fixed.ndim}-D and the moving image {moving.ndim}-D: they must agree")
