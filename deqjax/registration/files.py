"""NIfTI files. In memory, points are in RAS millimetres as in nibabel; displacement files are in LPS as in ITK."""

import zlib
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from deqjax.atomic_write import atomic_file
from deqjax.registration.grid import Grid, check_grid
from deqjax.registration.transforms import DisplacementMap
from deqjax.registration.types import Map

VECTOR_INTENT = 1007
"""The NIfTI intent code of an image of vectors."""


def read_image(path: str | Path) -> tuple[jax.Array, Grid]:
    """Read an image and its grid. A last axis of one voxel is removed, so that the image is 2-D.

    Args:
      path: a NIfTI file.

    Returns:
      The image, (x, y[, z]), in floating point (a complex image stays complex), and its grid in RAS mm.

    Raises:
      ModuleNotFoundError: if nibabel is not installed.
      ValueError: if the file does not exist or is damaged, holds anything but one 2-D or 3-D image, or has an
        impossible grid.
    """
    image, affine = _load(path)
    while image.ndim > 3 and image.shape[-1] == 1:
        image = image[..., 0]
    image = image[..., 0] if image.ndim == 3 and image.shape[-1] == 1 else image
    grid = _grid_of_affine(affine, image.shape, str(path))
    return jnp.asarray(image if np.iscomplexobj(image) else np.asarray(image, np.float32)), grid


def write_image(path: str | Path, image: Any, grid: Grid) -> None:
    """Write an image with its affine. An image of integers keeps its type, so it suits labels.

    Args:
      path: the file, ``.nii`` or ``.nii.gz``; an existing file is replaced.
      image: (*grid.shape).
      grid: the grid of the image.

    Raises:
      ModuleNotFoundError: if nibabel is not installed.
      ValueError: if the image and the grid have different shapes.
    """
    image = np.asarray(image)
    if image.shape != grid.shape:
        raise ValueError(f"an image of shape {image.shape} does not match a grid of shape {grid.shape}")
    image = image.astype(np.uint8) if image.dtype == bool else image
    _save(path, image.reshape(*image.shape, *[1] * (3 - grid.ndim)), grid)


def write_displacement(path: str | Path, mapping: Map, grid: Grid) -> None:
    """Write ``map(x) - x`` on a grid as an image of vectors (x, y, z, 1, d) in LPS mm, which the programs of ITK read.

    Args:
      path: the file, ``.nii`` or ``.nii.gz``; an existing file is replaced.
      mapping: the map.
      grid: the grid on which the displacement is written.

    Raises:
      ModuleNotFoundError: if nibabel is not installed.
    """
    vectors = np.asarray(mapping.displacement(grid), np.float32) * _RAS_TO_LPS[: grid.ndim]
    _save(path, vectors.reshape(*grid.shape, *[1] * (4 - grid.ndim), grid.ndim), grid, VECTOR_INTENT)


def read_displacement(path: str | Path) -> DisplacementMap:
    """Read an image of vectors (x, y, z, 1, d) in LPS mm, as ITK and `write_displacement` write it.

    Args:
      path: a NIfTI file.

    Returns:
      The map, in RAS mm.

    Raises:
      ModuleNotFoundError: if nibabel is not installed.
      ValueError: if the file does not exist or is damaged, or is not an image of vectors of 2 or 3 components.
    """
    array, affine = _load(path)
    vectors = np.asarray(array, np.float32)
    if vectors.ndim != 5 or vectors.shape[3] != 1 or vectors.shape[4] not in (2, 3):
        raise ValueError(f"{path}: a displacement has shape (x, y, z, 1, 2 or 3), not {vectors.shape}")
    ndim = vectors.shape[-1]
    vectors = vectors[:, :, :, 0] if ndim == 3 else vectors[:, :, 0, 0]
    grid = _grid_of_affine(affine, vectors.shape[:-1], str(path))
    return DisplacementMap(jnp.asarray(vectors * _RAS_TO_LPS[:ndim]), grid)


_RAS_TO_LPS = np.array([-1, -1, 1], np.float32)


def _grid_of_affine(affine: np.ndarray, shape: tuple[int, ...], name: str) -> Grid:
    if len(shape) not in (2, 3):
        raise ValueError(f"{name}: shape {shape}: one 2-D or 3-D image was expected")
    kept = [*range(len(shape)), 3]
    grid = Grid(jnp.asarray(affine[np.ix_(kept, kept)], float), tuple(shape))
    check_grid(grid, name)
    return grid


def _load(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the array and the affine of a file; every failure is a ValueError that names the file."""
    nibabel = _nibabel()
    if not Path(path).is_file():
        raise ValueError(f"{path}: no such file; check the path")
    broken = nibabel.filebasedimages.ImageFileError, nibabel.spatialimages.HeaderDataError
    try:
        file = nibabel.load(path)
        return np.asanyarray(file.dataobj), file.affine
    except (*broken, OSError, EOFError, OverflowError, zlib.error) as error:
        raise ValueError(f"{path}: not a NIfTI file, truncated or damaged ({error}); copy it again") from error


def _save(path: str | Path, image: np.ndarray, grid: Grid, intent: int = 0) -> None:
    nibabel = _nibabel()
    affine = np.eye(4)
    kept = [*range(grid.ndim), 3]
    affine[np.ix_(kept, kept)] = np.asarray(grid.affine)
    file = nibabel.Nifti1Image(image, affine, dtype=image.dtype)
    file.header.set_xyzt_units("mm")
    file.header["intent_code"] = intent
    file.set_sform(affine, code=1)
    file.set_qform(affine, code=1)
    with atomic_file(path, overwrite=True) as temporary:
        nibabel.save(file, temporary)


def _nibabel() -> Any:
    try:
        import nibabel
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "NIfTI files are read by nibabel, which is not installed: pip install nibabel"
        ) from error
    return nibabel
