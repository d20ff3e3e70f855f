"""Writing magnitude images as a DICOM series."""

from pathlib import Path
from typing import Any

import numpy as np

from deqjax.atomic_write import atomic_folder
from deqjax.data.finite_checks import check_finite_write


def write_dicom(
    folder: str | Path,
    image: np.ndarray,
    voxel_size: tuple[float, float, float],
    description: str = "deqjax reconstruction",
) -> list[Path]:
    """Write real images as a series of DICOM MR images in a new folder, which appears when it is complete.

    Pixels have 16 bits, ``stored = round((value - intercept) / slope)``. The reverse ``value = slope stored +
    intercept`` is accurate to half a ``slope = (max - min) / 65535``. Slope and intercept are those of the whole
    series, and min is 0 unless there are negative values.

    The images are marked DERIVED and SECONDARY. Their orientation is axial by convention, because the position of the
    patient is not known here. Study, series and images get new UIDs. The names, the identifiers and the dates of the
    patient are empty.

    Args:
      folder: a folder that does not exist yet, or is empty.
      image: (slice, y, x) or (y, x), real.
      voxel_size: mm along (slice, y, x).
      description: the description of the series.

    Returns:
      The paths of the files.

    Raises:
      ModuleNotFoundError: pydicom is not installed.
      ValueError: another rank, complex images, more than 65535 rows or columns, sizes that are not positive, a
        description that DICOM does not allow, values that are not finite, or a folder that holds anything.

    Source: NEMA PS3 / ISO 12052, "Digital Imaging and Communications in Medicine", PS3.3 sections A.4 and C.8.3.1.

    >>> import tempfile
    >>> paths = write_dicom(tempfile.mkdtemp() + "/series", np.ones((2, 8, 6)), (5.0, 1.0, 1.0))
    >>> [path.name for path in paths]
    ['0001.dcm', '0002.dcm']
    """
    pydicom, folder = _import_pydicom(), Path(folder)
    if image.ndim not in (2, 3) or np.iscomplexobj(image) or image.size == 0 or max(image.shape) > 65535:
        raise ValueError(
            f"image must be real with axes (slice, y, x) or (y, x), of 1 to 65535 each; got shape {image.shape}, type "
            f"{image.dtype}; take the magnitude of a complex image"
        )
    if len(voxel_size) != 3 or not all(0 < mm < np.inf for mm in voxel_size):
        raise ValueError(f"voxel_size must be three positive millimetres along (slice, y, x); got {voxel_size}")
    if len(description) > 64 or "\\" in description:
        raise ValueError(
            f"description has {len(description)} characters; DICOM allows at most 64, none of them a backslash"
        )
    check_finite_write(folder, "the image", image)
    image = np.asarray(image, np.float64).reshape(-1, *image.shape[-2:])
    slope, intercept = _decimal((image.max() - min(image.min(), 0)) / 65535 or 1.0), _decimal(min(image.min(), 0))
    stored = np.clip(np.rint((image - float(intercept)) / float(slope)), 0, 65535).astype("<u2")
    uids = {name: pydicom.uid.generate_uid(prefix=None) for name in ("Study", "Series", "Frame")}
    with atomic_folder(folder) as temporary:
        for number, pixels in enumerate(stored):
            data = _mr_image(pydicom, pixels, number, voxel_size, uids)
            data.SeriesDescription, data.RescaleSlope, data.RescaleIntercept = description, slope, intercept
            data.save_as(temporary / f"{number + 1:04}.dcm", enforce_file_format=True)
    return sorted(folder.iterdir())


def _mr_image(
    pydicom: Any, pixels: np.ndarray, number: int, voxel_size: tuple[float, float, float], uids: dict[str, str]
) -> Any:
    """Make the data set of one MR image, without the description and the rescaling of the series."""
    thickness, y, x = voxel_size
    data = pydicom.Dataset()
    data.file_meta = pydicom.dataset.FileMetaDataset()
    data.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = pydicom.uid.MRImageStorage
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = pydicom.uid.generate_uid(prefix=None)
    data.StudyInstanceUID, data.SeriesInstanceUID, data.FrameOfReferenceUID = uids.values()
    for empty in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID"):
        setattr(data, empty, "")
    for empty in ("AccessionNumber", "ReferringPhysicianName", "PositionReferenceIndicator", "PatientPosition"):
        setattr(data, empty, "")
    for empty in ("ScanOptions", "RepetitionTime", "EchoTime", "EchoTrainLength", "Laterality"):
        setattr(data, empty, None)
    data.PatientIdentityRemoved, data.DeidentificationMethod = "YES", "written without patient data"
    data.SpecificCharacterSet = "ISO_IR 192"  # UTF-8
    data.Modality, data.Manufacturer, data.ImageType = "MR", "deqjax", ["DERIVED", "SECONDARY", "OTHER"]
    data.ScanningSequence, data.SequenceVariant, data.MRAcquisitionType = "RM", "NONE", "2D"
    data.SeriesNumber, data.InstanceNumber = 1, number + 1
    data.PixelSpacing = [_decimal(y), _decimal(x)]
    data.SliceThickness = data.SpacingBetweenSlices = _decimal(thickness)
    data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    corner = (-(pixels.shape[1] // 2) * x, -(pixels.shape[0] // 2) * y, number * thickness)
    data.ImagePositionPatient = [_decimal(mm) for mm in corner]
    data.SamplesPerPixel, data.PhotometricInterpretation, data.PixelRepresentation = 1, "MONOCHROME2", 0
    data.Rows, data.Columns = pixels.shape
    data.BitsAllocated, data.BitsStored, data.HighBit = 16, 16, 15
    data.RescaleType = "US"
    data.PixelData = pixels.tobytes()
    return data


def _decimal(value: float) -> str:
    """Format a number as a DICOM decimal string, which has at most 16 characters."""
    return f"{value:.8e}" if len(f"{value:.10g}") > 16 else f"{value:.10g}"


def _import_pydicom() -> Any:
    try:
        import pydicom
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "DICOM files need pydicom: pip install 'deqjax[formats]', or pip install pydicom"
        ) from error
    return pydicom
