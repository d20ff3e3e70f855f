"""One slice in the world: its 2-D grid, the volume of one slice that it came from, and slices in the same plane."""

import jax.numpy as jnp
import numpy as np

from deqjax.registration.grid import Grid, SlicePlace

SAME_DIRECTION = 1e-3
"""The largest sine of the angle between the normals of two slices that count as parallel."""


def slice_grid(affine: np.ndarray, shape: tuple[int, ...], axis: int) -> Grid:
    """Return the 2-D grid of a volume of one slice, in the coordinates of its plane; see `plane_axes`.

    For an axial slice, the coordinates are the x and y of the world. Parallel slices share them.

    Args:
      affine: (4, 4), of the volume, in mm.
      shape: the shape of the volume, 1 along ``axis``.
      axis: the axis with one voxel.

    Raises:
      ValueError: if the axes in the plane are parallel or of length 0.

    >>> coronal = np.diag([2.0, 5.0, 3.0, 1.0])
    >>> grid = slice_grid(coronal, (8, 1, 9), axis=1)
    >>> grid.shape, grid.spacing()
    ((8, 9), Array([2., 3.], dtype=float32))
    """
    kept = [k for k in range(3) if k != axis]
    columns = np.asarray(affine, float)[:3, kept]
    axes, _ = plane_axes(columns)
    flat = np.eye(3)
    flat[:2, :2], flat[:2, 2] = axes.T @ columns, axes.T @ affine[:3, 3]
    place = SlicePlace(jnp.asarray(affine, float), axis)
    return Grid(jnp.asarray(flat, float), (shape[kept[0]], shape[kept[1]]), place)


def plane_axes(columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return two orthonormal axes (3, 2) of the plane that two columns (3, 2) span, and its normal (3,).

    They depend on the plane alone: the world axes that are closest to the plane, projected on it and made orthonormal.

    >>> axes, normal = plane_axes(np.array([[0.0, 2.0], [1.0, 0.0], [0.0, 0.0]]))
    >>> axes.T.tolist(), normal.tolist()
    ([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], [0.0, 0.0, 1.0])

    Raises:
      ValueError: if the columns do not span a plane.
    """
    lengths = np.linalg.norm(columns, axis=0)
    normal = np.cross(columns[:, 0], columns[:, 1])
    if not np.all(np.isfinite(columns)) or np.linalg.norm(normal) <= 1e-3 * lengths[0] * lengths[1]:
        raise ValueError("the affine is singular: the axes of the slice are parallel or of length 0")
    normal = normal / np.linalg.norm(normal)
    through = int(np.argmax(np.abs(normal)))
    normal = normal * np.sign(normal[through])
    first, second = (np.eye(3)[k] for k in range(3) if k != through)
    first = first - normal * (normal @ first)
    first = first / np.linalg.norm(first)
    second = second - normal * (normal @ second) - first * (first @ second)
    return np.stack([first, second / np.linalg.norm(second)], axis=-1) + 0.0, normal + 0.0


def volume_affine(grid: Grid) -> tuple[np.ndarray, int]:
    """Return the affine (4, 4) of the volume of a grid, and, for a 2-D grid, the axis that has one voxel.

    A 2-D grid without a place is an axial slice at z = 0 of 1 mm; a place gives the position and the thickness.

    >>> volume_affine(slice_grid(np.diag([2.0, 5.0, 3.0, 1.0]), (8, 1, 9), axis=1))[0].diagonal().tolist()
    [2.0, 5.0, 3.0, 1.0]
    """
    flat, affine = np.asarray(grid.affine, float), np.eye(4)
    if grid.ndim == 3:
        return flat, 2
    if grid.place is None:
        affine[np.ix_([0, 1, 3], [0, 1, 3])] = flat
        return affine, 2
    place, axis = np.asarray(grid.place.affine, float), grid.place.axis
    kept = [k for k in range(3) if k != axis]
    axes, normal = plane_axes(place[:3, kept])
    affine[:3, kept], affine[:3, axis] = axes @ flat[:2, :2], place[:3, axis]
    affine[:3, 3] = axes @ flat[:2, 2] + normal * (normal @ place[:3, 3])
    return affine, axis


def check_parallel(first: Grid, second: Grid, names: tuple[str, str], same_plane: bool = False) -> None:
    """Check that two grids have the same dimension and, for slices from files, that the slices are parallel.

    Args:
      first: the one grid.
      second: the other grid.
      names: the names of the files, for the error message.
      same_plane: whether the distance of the slices must also be below half of the thickness of the first.

    Raises:
      ValueError: if the grids have different dimensions, or the slices are not parallel or in different planes.

    >>> axial, coronal = np.eye(4), np.eye(4)
    >>> check_parallel(slice_grid(axial, (4, 4, 1), 2), slice_grid(coronal, (4, 1, 4), 1), ("a.nii", "b.nii"))
    Traceback (most recent call last):
    ValueError: a.nii and b.nii are slices with an angle of 90.0 degrees between them: give slices of one orientation
    """
    if first.ndim != second.ndim:
        raise ValueError(
            f"{names[0]} is {first.ndim}-D with the shape {first.shape}, and {names[1]} is {second.ndim}-D with the "
            f"shape {second.shape}: they must have the same dimension"
        )
    if first.ndim == 3:
        return
    (affine, axis), (other, other_axis) = volume_affine(first), volume_affine(second)
    _, normal = plane_axes(np.delete(affine[:3, :3], axis, 1))
    _, other_normal = plane_axes(np.delete(other[:3, :3], other_axis, 1))
    sine = np.linalg.norm(np.cross(normal, other_normal))
    if sine > SAME_DIRECTION:
        angle = np.degrees(np.arctan2(sine, abs(normal @ other_normal)))
        raise ValueError(
            f"{names[0]} and {names[1]} are slices with an angle of {angle:.1f} degrees between them: give slices of "
            "one orientation"
        )
    away, thickness = abs(normal @ (other[:3, 3] - affine[:3, 3])), abs(normal @ affine[:3, axis])
    if same_plane and away > thickness / 2 + 1e-3:
        raise ValueError(
            f"{names[0]} and {names[1]} are slices {away:.2f} mm apart: give images of the same slice, or resample one"
        )
