"""Opening, reading and saving NIfTI files through nibabel, with errors that name the file."""

import zlib
from pathlib import Path
from typing import Any

import numpy as np

from deqjax.atomic_write import atomic_file

READ_ERRORS = (OSError, EOFError, OverflowError, zlib.error)
"""The exceptions that reading the voxels of a damaged file can raise."""


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
        file = nibabel.load(path)
    except (nibabel.filebasedimages.ImageFileError, nibabel.spatialimages.HeaderDataError, *READ_ERRORS) as error:
        raise ValueError(f"{path}: not a NIfTI file, or a broken one ({error}); copy or download it again") from error
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
    try:
        return np.asanyarray(file.dataobj[index])
    except READ_ERRORS as error:
        reason = " ".join(str(error).split())  # nibabel's messages have several lines
        raise ValueError(f"{path}: truncated or damaged ({reason}); copy or download it again") from error


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
