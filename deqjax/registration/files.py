"""NIfTI files. In memory, points are in RAS millimetres as in nibabel; displacement files are in LPS as in ITK."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from deqjax.nifti_files import import_nibabel, open_nifti, read_voxels, save_nifti
from deqjax.registration.grid import Grid, check_grid
from deqjax.registration.itk_transforms import ras_to_lps
from deqjax.registration.slices import slice_grid, volume_affine
from deqjax.registration.transforms import DisplacementMap
from deqjax.registration.types import Map

VECTOR_INTENT = 1007
"""The NIfTI intent code of an image of vectors."""

MILLIMETRES = {"unknown": 1.0, "mm": 1.0, "meter": 1000.0, "micron": 0.001}
"""The units of length in a NIfTI header, in mm. Files without a unit are in mm by custom."""


def read_image(path: str | Path) -> tuple[jax.Array, Grid]:
    """Read an image and its grid. A volume of one slice, of any orientation, gives a 2-D image.

    The unit of the header is respected. The grid of one slice keeps its place and thickness, so that `write_image`
    writes it where it was; see `deqjax.registration.slices.slice_grid` for its coordinates.

    Args:
      path: a NIfTI file.

    Returns:
      The image, (x, y[, z]), in floating point (a complex image stays complex), and its grid in RAS mm.

    Raises:
      ModuleNotFoundError: if nibabel is not installed.
      ValueError: if the file does not exist or is damaged, holds anything but one 2-D or 3-D image of real or complex
        numbers, or has an impossible grid.
    """
    image, grid = read_array(path)
    if image.shape != grid.shape:
        raise ValueError(f"{path}: a series of shape {image.shape}: one 2-D or 3-D image was expected")
    return jnp.asarray(image if np.iscomplexobj(image) else np.asarray(image, np.float32)), grid


def read_labels(path: str | Path) -> tuple[np.ndarray, Grid]:
    """Read a label image and its grid. The labels keep their numbers.

    Args:
      path: a NIfTI file.

    Returns:
      The labels, (x, y[, z]), int64, and their grid in RAS mm.

    Raises:
      ModuleNotFoundError: if nibabel is not installed.
      ValueError: as `read_image`, or if a value is not an integer.
    """
    image, grid = read_array(path)
    if image.shape != grid.shape:
        raise ValueError(f"{path}: a series of shape {image.shape}: one label image was expected")
    labels = np.zeros(image.shape, np.int64) if np.iscomplexobj(image) else np.nan_to_num(image).astype(np.int64)
    if not np.array_equal(labels, image):
        raise ValueError(f"{path}: not a label image: it holds values that are not integers, such as {image.max()}")
    return labels, grid


def read_array(path: str | Path) -> tuple[np.ndarray, Grid]:
    """Read an image or a series of images, in the type of the file, and the grid of one image.

    Args:
      path: a NIfTI file.

    Returns:
      The voxels, (x, y[, z][, t]), and the grid in RAS mm.

    Raises:
      ModuleNotFoundError: if nibabel is not installed.
      ValueError: if the file does not exist or is damaged, does not hold real or complex numbers, or has an impossible
        grid.
    """
    image, affine = _read(path)
    while image.ndim > 3 and image.shape[-1] == 1:
        image = image[..., 0]
    if image.ndim not in (2, 3, 4):
        raise ValueError(f"{path}: shape {image.shape}: an image has 2 or 3 axes, and a series of images has 4")
    spatial = (*image.shape[:3], *[1] * (3 - image.ndim))
    if spatial.count(1) != 1:
        grid = _grid(affine, spatial, path)
        return image.reshape(*spatial, *image.shape[3:]), grid
    axis = spatial.index(1)
    return image.reshape(*(n for n in spatial if n > 1), *image.shape[3:]), _grid(affine, spatial, path, axis)


def write_image(path: str | Path, image: Any, grid: Grid) -> None:
    """Write an image, or a series of images, with its affine. Integers stay integers, so it suits labels.

    The types that other programs do not read are converted: float16 to float32, and 64-bit integers to 32 bits.

    Args:
      path: the file, ``.nii`` or ``.nii.gz``; an existing file is replaced.
      image: (*grid.shape[, t]).
      grid: the grid of the image.

    Raises:
      ModuleNotFoundError: if nibabel is not installed.
      ValueError: if the image and the grid have different shapes, or 64-bit integers do not fit into 32 bits.
    """
    image = np.asarray(image)
    if image.shape[: grid.ndim] != grid.shape or image.ndim > grid.ndim + 1:
        raise ValueError(f"an image of shape {image.shape} does not match a grid of shape {grid.shape}")
    _, axis = volume_affine(grid)
    image = _storable(path, image)
    _save(path, image if grid.ndim == 3 else np.expand_dims(image, axis), grid)


def write_displacement(path: str | Path, mapping: Map, grid: Grid) -> None:
    """Write ``map(x) - x`` on a grid as an image of vectors (x, y, z, 1, d) in LPS mm, which the programs of ITK read.

    The vectors of one slice have the two components of its plane; those of an axial slice are x and y.

    Args:
      path: the file, ``.nii`` or ``.nii.gz``; an existing file is replaced.
      mapping: the map.
      grid: the grid on which the displacement is written.

    Raises:
      ModuleNotFoundError: if nibabel is not installed.
    """
    vectors = np.asarray(mapping.displacement(grid), np.float32) * ras_to_lps(grid)
    volume = vectors if grid.ndim == 3 else np.expand_dims(vectors, volume_affine(grid)[1])
    _save(path, volume[..., None, :], grid, VECTOR_INTENT)


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
    array, affine = _read(path)
    if np.iscomplexobj(array):
        raise ValueError(f"{path}: a displacement has real values, not {array.dtype}")
    vectors = np.asarray(array, np.float32)
    if vectors.ndim != 5 or vectors.shape[3] != 1 or vectors.shape[4] not in (2, 3):
        raise ValueError(f"{path}: a displacement has shape (x, y, z, 1, 2 or 3), not {vectors.shape}")
    spatial, ndim = vectors.shape[:3], vectors.shape[-1]
    if ndim == 3:
        grid = _grid(affine, spatial, path)
        return DisplacementMap(jnp.asarray(vectors[:, :, :, 0] * ras_to_lps(grid)), grid)
    if 1 not in spatial:
        raise ValueError(f"{path}: vectors of two components on a volume of shape {spatial}: they need one slice")
    axis = 2 - spatial[::-1].index(1)
    grid = _grid(affine, spatial, path, axis)
    return DisplacementMap(jnp.asarray(vectors.reshape(*grid.shape, 2) * ras_to_lps(grid)), grid)


def _grid(affine: np.ndarray, shape: tuple[int, ...], path: str | Path, slice_axis: int | None = None) -> Grid:
    try:
        grid = Grid(jnp.asarray(affine, float), shape) if slice_axis is None else slice_grid(affine, shape, slice_axis)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    check_grid(grid, str(path))
    return grid


def _read(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the voxels and the affine of a file, in mm."""
    file = open_nifti(path)
    voxels, affine = read_voxels(path, file), np.array(file.affine, float)
    if voxels.dtype.kind not in "biufc":
        raise ValueError(f"{path}: voxels of type {voxels.dtype} (colours?): convert the file to one number per voxel")
    try:
        unit = file.header.get_xyzt_units()[0] if hasattr(file.header, "get_xyzt_units") else "mm"
    except KeyError as error:
        raise ValueError(f"{path}: the header has an unknown unit of length, code {error}: set it to mm") from error
    affine[:3] *= MILLIMETRES[unit]
    return voxels, affine


def _storable(path: str | Path, image: np.ndarray) -> np.ndarray:
    """Convert an image to a type that NIfTI programs read."""
    if image.dtype == bool:
        return image.astype(np.uint8)
    if image.dtype.kind == "f" and image.dtype not in (np.float32, np.float64):
        return image.astype(np.float64 if image.dtype.itemsize > 8 else np.float32)
    if image.dtype in (np.int64, np.uint64):
        low, high = (int(image.min()), int(image.max())) if image.size else (0, 0)
        for dtype in (np.int32, np.uint32):
            if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
                return image.astype(dtype)
        raise ValueError(f"{path}: integers from {low} to {high} do not fit into 32 bits: write them as float64")
    if image.dtype.kind not in "iufc":
        raise ValueError(f"{path}: an image of type {image.dtype} cannot be written: give one number per voxel")
    return image


def _save(path: str | Path, image: np.ndarray, grid: Grid, intent: int = 0) -> None:
    nibabel = import_nibabel()
    affine, _ = volume_affine(grid)
    file = nibabel.Nifti1Image(image, affine, dtype=image.dtype)
    file.header.set_xyzt_units("mm")
    file.header["intent_code"] = intent
    file.set_sform(affine, code=1)
    file.set_qform(affine, code=1)
    # A qform cannot hold shear: then it would place the voxels elsewhere, and only the sform is valid.
    corners = np.stack(np.meshgrid(*([0, n - 1] for n in image.shape[:3])), -1).reshape(-1, 3) + 0.0
    shift = corners @ (file.get_qform()[:3, :3] - affine[:3, :3]).T
    if np.abs(shift).max() > 0.01 * np.linalg.norm(affine[:3, :3], axis=0).min():
        file.set_qform(None, code=0)
    save_nifti(path, file, overwrite=True)
