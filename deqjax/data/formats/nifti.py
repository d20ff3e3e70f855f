"""Writing images as NIfTI files, and reading images as simulated k-space."""

from pathlib import Path
from typing import Any, Literal

import numpy as np

from deqjax.data.finite_checks import check_finite_write, to_complex64
from deqjax.data.fourier_numpy import fft2c
from deqjax.data.scan import Scan, slice_range
from deqjax.nifti_files import import_nibabel, open_nifti, read_voxels, save_nifti

Kind = Literal["magnitude", "complex", "two files"]


def write_nifti(
    path: str | Path,
    image: np.ndarray,
    voxel_size: tuple[float, float, float],
    kind: Kind = "magnitude",
    overwrite: bool = False,
) -> list[Path]:
    """Write an image as a NIfTI file; each file appears under its name when it is complete.

    The axes of NIfTI are (x, y, slice). The affine is ``diag(-x_mm, -y_mm, slice_mm)`` with 0 in the middle: x runs to
    the left, y to the back and slices upwards, as in an axial DICOM series without rotation. The position of the
    patient is not known here.

    Args:
      path: a name that ends with ``.nii`` or ``.nii.gz``.
      image: (slice, y, x) or (y, x).
      voxel_size: mm along (slice, y, x).
      kind: "magnitude" (float32), "complex" (complex64), or "two files", which writes ``name_magnitude`` and
        ``name_phase`` (float32, radians).
      overwrite: whether existing files may be replaced.

    Returns:
      The paths of the files written.

    Raises:
      ModuleNotFoundError: nibabel is not installed.
      ValueError: another rank, suffix or kind, sizes that are not positive, values that are not finite, or files that
        exist.

    Source: Cox et al., "A (sort of) new image data format standard: NIfTI-1", Human Brain Mapping, 2004.

    >>> import tempfile
    >>> [path.name for path in write_nifti(tempfile.mkdtemp() + "/a.nii.gz", np.ones((3, 8, 6)), (5.0, 1.0, 1.0))]
    ['a.nii.gz']
    """
    nibabel, path = import_nibabel(), Path(path)
    suffix = ".nii.gz" if path.name.endswith(".nii.gz") else ".nii"
    stem = path.name.removesuffix(suffix)
    if stem == path.name:
        raise ValueError(f"{path}: the name of a NIfTI file ends with .nii or .nii.gz; add one of them")
    if image.ndim not in (2, 3) or image.size == 0:
        raise ValueError(f"image must have axes (slice, y, x) or (y, x); got shape {image.shape}")
    if len(voxel_size) != 3 or not all(0 < mm < np.inf for mm in voxel_size):
        raise ValueError(f"voxel_size must be three positive millimetres along (slice, y, x); got {voxel_size}")
    check_finite_write(path, "the image", image)
    if kind == "complex":
        parts = {path: image.astype(np.complex64)}
    elif kind == "magnitude":
        parts = {path: np.abs(image).astype(np.float32)}
    elif kind == "two files":
        parts = {
            path.with_name(f"{stem}_magnitude{suffix}"): np.abs(image).astype(np.float32),
            path.with_name(f"{stem}_phase{suffix}"): np.angle(image).astype(np.float32),
        }
    else:
        raise ValueError(f"kind must be 'magnitude', 'complex' or 'two files'; got {kind!r}")
    existing = [str(part) for part in parts if part.exists() and not overwrite]
    if existing:
        raise ValueError(f"{' and '.join(existing)}: not overwritten; pass overwrite=True or choose another name")
    for part, values in parts.items():
        volume = values.reshape(-1, *values.shape[-2:]).transpose(2, 1, 0)
        affine = np.diag([-voxel_size[2], -voxel_size[1], voxel_size[0], 1.0])
        affine[:3, 3] = -affine[:3, :3] @ (np.array(volume.shape) // 2)
        file = nibabel.Nifti1Image(volume, affine)
        file.header.set_xyzt_units("mm")
        save_nifti(part, file, overwrite)
    return list(parts)


def read_nifti(path: str | Path, slices: tuple[int, int] | None = None) -> Scan:
    """Read an image as if a scanner with one coil had measured it: ``kspace = F(image)``, ``target = |image|``.

    The axes (x, y, slice) of NIfTI become (slice, y, x), in the order of the file; the image is not rotated. A real
    image has no phase, so its k-space is more symmetric than measured k-space.

    Args:
      path: the file.
      slices: first and last slice to read, both included; None reads all.

    Returns:
      The scan: kspace (slice, y, x) complex64 and target (slice, y, x) float32.

    Raises:
      ModuleNotFoundError: nibabel is not installed.
      ValueError: the file is missing or broken, its image is of another rank, a displacement, in colour, or not finite.
        The message names the file.

    >>> import tempfile
    >>> path, = write_nifti(tempfile.mkdtemp() + "/a.nii", np.ones((3, 8, 6)), (5.0, 1.0, 1.0))
    >>> scan = read_nifti(path, slices=(0, 1))
    >>> scan.kspace.shape, scan.voxel_size
    ((2, 8, 6), (5.0, 1.0, 1.0))
    """
    file = _open_grey_image(path)
    sizes = _sizes(file)
    first, last = slice_range(path, slices, (*sizes, 1)[2])
    index = (slice(None), slice(None), slice(first, last + 1)) if len(sizes) == 3 else ...
    image = read_voxels(path, file, index).reshape(*sizes[:2], -1).transpose(2, 1, 0)
    image = to_complex64(path, "the image", image, first, last)
    x, y, z = (*map(float, file.header.get_zooms()[:3]), 1.0)[:3]
    return Scan(
        kspace=np.ascontiguousarray(fft2c(image)),
        target=np.ascontiguousarray(np.abs(image)),
        name=Path(path).name,
        slices=tuple(range(first, last + 1)),
        format="NIfTI image, simulated",
        voxel_size=(z, y, x) if all(0 < mm < np.inf for mm in (z, y, x)) else None,
    )


def nifti_shape(path: str | Path) -> tuple[int, ...]:
    """Return the shape (slice, y, x) of what `read_nifti` reads, from the header."""
    x, y, z = (*_sizes(_open_grey_image(path)), 1)[:3]
    return z, y, x


def _sizes(file: Any) -> tuple[int, ...]:
    """Return the shape of an image without the axes of length 1 after the third."""
    sizes = tuple(map(int, file.shape))
    while len(sizes) > 3 and sizes[-1] == 1:
        sizes = sizes[:-1]
    return sizes


def _open_grey_image(path: str | Path) -> Any:
    file = open_nifti(path)
    if len(_sizes(file)) not in (2, 3) or min(_sizes(file)) < 1 or file.get_data_dtype().kind not in "biufc":
        raise ValueError(
            f"{path}: shape {file.shape}, type {file.get_data_dtype()}; expected one grey image (x, y) or "
            "(x, y, slice); save one volume of a series to a file of its own"
        )
    return file
