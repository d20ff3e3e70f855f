"""NIfTI images out, and in for simulation."""

import zlib
from pathlib import Path
from typing import Any, Literal

import numpy as np

from deqjax.atomic_write import atomic_file
from deqjax.data.finite import check_finite, check_read
from deqjax.data.fourier import fft2c
from deqjax.data.scan import Scan, slice_range

DAMAGE = (OSError, EOFError, OverflowError, zlib.error)
"""What reading a damaged file can raise."""

Kind = Literal["magnitude", "complex", "two files"]


def write_nifti(
    path: str | Path,
    image: np.ndarray,
    voxel_size: tuple[float, float, float],
    kind: Kind = "magnitude",
    overwrite: bool = False,
) -> list[Path]:
    """Write an image (slice, y, x), or (y, x), as ``.nii`` or ``.nii.gz``, and return the paths written.

    voxel_size in mm along (slice, y, x). ``kind`` is "magnitude" (float32), "complex" (complex64), or "two files",
    ``name_magnitude`` and ``name_phase`` (float32, radians). NIfTI's axes are (x, y, slice) and its affine is
    ``diag(-x_mm, -y_mm, slice_mm)`` with 0 in the middle: x runs to the left, y to the back, slices upwards, as in an
    unrotated axial DICOM series. Where the patient really lay is not known here. Files appear when they are whole.

    Raises ValueError for another rank, suffix or kind, sizes that are not positive, values that are not finite, and
    files that exist, unless ``overwrite``; ModuleNotFoundError without nibabel.

    Source: Cox et al., "A (sort of) new image data format standard: NIfTI-1", Human Brain Mapping, 2004.

    >>> import tempfile
    >>> [path.name for path in write_nifti(tempfile.mkdtemp() + "/a.nii.gz", np.ones((3, 8, 6)), (5.0, 1.0, 1.0))]
    ['a.nii.gz']
    """
    nibabel, path = _nibabel(), Path(path)
    suffix = ".nii.gz" if path.name.endswith(".nii.gz") else ".nii"
    stem = path.name.removesuffix(suffix)
    if stem == path.name:
        raise ValueError(f"{path}: the name of a NIfTI file ends with .nii or .nii.gz")
    if image.ndim not in (2, 3) or image.size == 0:
        raise ValueError(f"image must have axes (slice, y, x) or (y, x); got shape {image.shape}")
    if len(voxel_size) != 3 or not all(0 < mm < np.inf for mm in voxel_size):
        raise ValueError(f"voxel_size must be three positive millimetres along (slice, y, x); got {voxel_size}")
    check_finite(path, "the image", image)
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
    there = [str(part) for part in parts if part.exists() and not overwrite]
    if there:
        raise ValueError(f"{' and '.join(there)}: not overwritten; pass overwrite=True or choose another name")
    for part, values in parts.items():
        volume = values.reshape(-1, *values.shape[-2:]).transpose(2, 1, 0)
        affine = np.diag([-voxel_size[2], -voxel_size[1], voxel_size[0], 1.0])
        affine[:3, 3] = -affine[:3, :3] @ (np.array(volume.shape) // 2)
        file = nibabel.Nifti1Image(volume, affine)
        file.header.set_xyzt_units("mm")
        with atomic_file(part, overwrite) as temporary:
            nibabel.save(file, temporary)
    return list(parts)


def read_nifti(path: str | Path, slices: tuple[int, int] | None = None) -> Scan:
    """Read an image as if a scanner with one coil had measured it: ``kspace = F(image)``, ``target = |image|``.

    NIfTI's axes (x, y, slice) become kspace (slice, y, x) complex64 and target (slice, y, x) float32, in the order of
    the file: no image is turned. Real images have no phase, and their k-space is more symmetric than a measured one.
    ``slices=(first, last)`` reads no other slice, both included. Raises ValueError, which names the file, where it is
    missing, broken, of another rank, a displacement or colour, or not finite; ModuleNotFoundError without nibabel.

    Source: as of `write_nifti`.

    >>> import tempfile
    >>> path, = write_nifti(tempfile.mkdtemp() + "/a.nii", np.ones((3, 8, 6)), (5.0, 1.0, 1.0))
    >>> scan = read_nifti(path, slices=(0, 1))
    >>> scan.kspace.shape, scan.voxel_size
    ((2, 8, 6), (5.0, 1.0, 1.0))
    """
    file = _open(path)
    first, last = slice_range(path, slices, nifti_shape(path)[0])
    try:
        values = file.dataobj[:, :, first : last + 1] if len(_sizes(file)) == 3 else file.dataobj[...]
    except DAMAGE as error:
        raise ValueError(f"{path}: truncated or damaged ({error}); copy or download it again") from error
    image = np.asarray(values).reshape(*_sizes(file)[:2], -1).transpose(2, 1, 0).astype(np.complex64)
    check_read(path, "the image", image, first, last)
    x, y, z = (*map(float, file.header.get_zooms()[:3]), 1.0)[:3]
    return Scan(
        kspace=np.ascontiguousarray(fft2c(image)),
        target=np.ascontiguousarray(np.abs(image)),
        name=Path(path).name,
        slices=tuple(range(first, last + 1)),
        format="NIfTI image, simulated",
        voxel_size=(z, y, x),
    )


def nifti_shape(path: str | Path) -> tuple[int, ...]:
    """Shape (slice, y, x) of what `read_nifti` reads, from the header."""
    x, y, z = (*_sizes(_open(path)), 1)[:3]
    return z, y, x


def _sizes(file: Any) -> tuple[int, ...]:
    sizes = tuple(map(int, file.shape))
    while len(sizes) > 3 and sizes[-1] == 1:
        sizes = sizes[:-1]
    return sizes


def _open(path: str | Path) -> Any:
    nibabel = _nibabel()
    if not Path(path).is_file():
        raise ValueError(f"{path}: no such file; check the path")
    try:
        file = nibabel.load(path)
    except (nibabel.filebasedimages.ImageFileError, nibabel.spatialimages.HeaderDataError, *DAMAGE) as error:
        raise ValueError(f"{path}: not a NIfTI file, or a broken one ({error})") from error
    if len(_sizes(file)) not in (2, 3) or file.get_data_dtype().kind not in "biufc":
        raise ValueError(
            f"{path}: shape {file.shape}, type {file.get_data_dtype()}; expected one grey image (x, y) or (x, y, slice)"
        )
    return file


def _nibabel() -> Any:
    try:
        import nibabel
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("NIfTI files need nibabel: pip install 'deqjax[formats]', or nibabel") from error
    return nibabel
