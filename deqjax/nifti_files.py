"""Opening, reading and saving NIfTI files through nibabel, with errors that name the file."""

import math
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from deqjax.atomic_write import atomic_file
from deqjax.file_checks import check_claimed_size, explain_content

READ_ERRORS = (OSError, EOFError, zlib.error, struct.error, ArithmeticError, ValueError, LookupError, TypeError)
"""The exceptions that reading a damaged file can raise."""


def import_nibabel() -> Any:
    """Import nibabel.

    Raises:
      ModuleNotFoundError: nibabel is not installed; the message says how to install it.
    """
    try:
        import nibabel
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "NIfTI files need nibabel: pip install 'deqjax[formats]', or pip install nibabel"
        ) from error
    return nibabel


def open_nifti(path: str | Path) -> Any:
    """Open an image file; its voxels are not read yet.

    Args:
      path: the file.

    Returns:
      The image of nibabel, which has ``shape``, ``affine`` and ``header``. `read_voxels` reads its voxels.

    Raises:
      ModuleNotFoundError: nibabel is not installed.
      ValueError: the file is missing, damaged, or does not hold a spatial image. The message names the file.

    >>> open_nifti("absent.nii")
    Traceback (most recent call last):
    ValueError: absent.nii: no such file; check the path
    """
    nibabel = import_nibabel()
    if not Path(path).is_file():
        raise ValueError(f"{path}: no such file; check the path")
    try:
        with np.errstate(all="ignore"):
            file = nibabel.load(path)
    except (nibabel.filebasedimages.ImageFileError, nibabel.spatialimages.HeaderDataError, *READ_ERRORS) as error:
        advice = (
            explain_content(path) or f"not a NIfTI file, or a broken one ({_reason(error)}); copy or download it again"
        )
        raise ValueError(f"{path}: {advice}") from error
    if not isinstance(file, nibabel.spatialimages.SpatialImage):
        raise ValueError(f"{path}: {type(file).__name__} is not an image on a grid of voxels; give a NIfTI image")
    return file


def read_voxels(path: str | Path, file: Any, index: Any = ...) -> np.ndarray:
    """Read the voxels of an image, or a part of them, with the scaling of its header.

    Args:
      path: the file, named in the error.
      file: the image of nibabel, from `open_nifti`.
      index: the part to read, an index of NumPy's basic indexing; by default everything.

    Raises:
      ValueError: the file is truncated or damaged. The message names the file.
    """
    voxels = file.file_map["image"].filename if "image" in file.file_map else None
    if voxels is not None and not Path(voxels).is_file():
        raise ValueError(f"{path}: its voxels in {Path(voxels).name} are missing; copy both files to one folder")
    if voxels is not None:
        claimed = math.prod(map(int, file.shape)) * file.get_data_dtype().itemsize
        check_claimed_size(path, f"the image of shape {file.shape}", claimed, Path(voxels).stat().st_size)
    try:
        with np.errstate(all="ignore"):  # the scaling may overflow; readers check the values
            return np.asanyarray(file.dataobj[index])
    except READ_ERRORS as error:
        raise ValueError(f"{path}: truncated or damaged ({_reason(error)}); copy or download it again") from error


def _reason(error: Exception) -> str:
    """Return the message of an exception in one line without control characters."""
    return " ".join(ascii(str(error))[1:-1].replace("\\n", " ").split())[:200]


def save_nifti(path: str | Path, file: Any, overwrite: bool) -> None:
    """Save an image of nibabel; it appears under its name when it is complete.

    Args:
      path: the file; the suffix ``.nii`` or ``.nii.gz`` says whether it is compressed.
      file: the image, for example a ``nibabel.Nifti1Image``.
      overwrite: whether an existing file may be replaced.

    Raises:
      ValueError: the file exists and ``overwrite`` is false.
    """
    nibabel = import_nibabel()
    with atomic_file(path, overwrite) as temporary:
        nibabel.save(file, temporary)
