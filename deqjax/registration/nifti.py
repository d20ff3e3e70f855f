"""NIfTI files in and out: nibabel's RAS millimetres inside, ITK's LPS where its programs expect it."""

import zlib
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from deqjax.atomic_write import atomic_file
from deqjax.registration.grid import Grid, check_grid
from deqjax.registration.transforms import DisplacementMap, Map

VECTOR_INTENT = 1007


def read_image(path: str | Path) -> tuple[jax.Array, Grid]:
    """Read an image and where it lies; an axis of one voxel at the end makes it 2-D.

    Returns:
      The image (x, y[, z]), its voxel values as floating point (complex stays complex), and its grid in RAS mm.

    Raises:
      ModuleNotFoundError: nibabel is not installed.
      ValueError: no such file, a damaged one, not one 2-D or 3-D image, or a grid that no image can have.
    """
    image, affine = _load(path)
    while image.ndim > 3 and image.shape[-1] == 1:
        image = image[..., 0]
    image = image[..., 0] if image.ndim == 3 and image.shape[-1] == 1 else image
    grid = _grid(affine, image.shape, str(path))
    kept = image if np.iscomplexobj(image) else np.asarray(image, np.float32)
    return jnp.asarray(kept), grid


def write_image(path: str | Path, image: Any, grid: Grid) -> None:
    """Write an image (*grid.shape) with its affine; whole numbers keep their type, so labels stay labels.

    Raises:
      ModuleNotFoundError: nibabel is not installed.
      ValueError: the image has another shape than the grid.
    """
    image = np.asarray(image)
    if image.shape != grid.shape:
        raise ValueError(f"an image of shape {image.shape} does not go with a grid of shape {grid.shape}")
    image = image.astype(np.uint8) if image.dtype == bool else image
    _save(path, image.reshape(*image.shape, *[1] * (3 - grid.ndim)), grid)


def write_displacement(path: str | Path, map: Map, grid: Grid) -> None:
    """Write ``map(x) - x`` on a grid as a vector image (x, y, z, 1, d) that ITK's programs read: components in LPS mm.

    Raises:
      ModuleNotFoundError: nibabel is not installed.
    """
    vectors = np.asarray(map.displacement(grid), np.float32) * _TO_LPS[: grid.ndim]
    _save(path, vectors.reshape(*grid.shape, *[1] * (4 - grid.ndim), grid.ndim), grid, VECTOR_INTENT)


def read_displacement(path: str | Path) -> DisplacementMap:
    """Read a vector image (x, y, z, 1, d) whose components are LPS mm, as ITK's programs and we write it.

    Raises:
      ModuleNotFoundError: nibabel is not installed.
      ValueError: no such file, a damaged one, or one that is no vector image of 2 or 3 components.
    """
    array, affine = _load(path)
    vectors = np.asarray(array, np.float32)
    if vectors.ndim != 5 or vectors.shape[3] != 1 or vectors.shape[4] not in (2, 3):
        raise ValueError(f"{path}: a displacement has shape (x, y, z, 1, 2 or 3), not {vectors.shape}")
    ndim = vectors.shape[-1]
    vectors = vectors[:, :, :, 0] if ndim == 3 else vectors[:, :, 0, 0]
    return DisplacementMap(jnp.asarray(vectors * _TO_LPS[:ndim]), _grid(affine, vectors.shape[:-1], str(path)))


_TO_LPS = np.array([-1, -1, 1], np.float32)


def _grid(affine: np.ndarray, shape: tuple[int, ...], name: str) -> Grid:
    if len(shape) not in (2, 3):
        raise ValueError(f"{name}: shape {shape}: one 2-D or 3-D image was expected")
    keep = [*range(len(shape)), 3]
    grid = Grid(jnp.asarray(affine[np.ix_(keep, keep)], float), tuple(shape))
    check_grid(grid, name)
    return grid


def _load(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """What a file holds, and its affine; every failure is a ValueError that names the file."""
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
    keep = [*range(grid.ndim), 3]
    affine[np.ix_(keep, keep)] = np.asarray(grid.affine)
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
