"""Magnitude images out as a DICOM series."""

from pathlib import Path
from typing import Any

import numpy as np

from deqjax.atomic_write import atomic_folder
from deqjax.data.finite import check_finite


def write_dicom(
    folder: str | Path,
    image: np.ndarray,
    voxel_size: tuple[float, float, float],
    description: str = "deqjax reconstruction",
) -> list[Path]:
    """Write real images (slice, y, x), or (y, x), as a series of MR images in a new folder, and return the paths.

    voxel_size in mm along (slice, y, x). Pixels are 16 bit, ``stored = round((value - intercept) / slope)``, and
    ``value = slope stored + intercept`` is right to half a ``slope = (max - min) / 65535``; the slope, with
    ``min = 0`` unless there are negative values, is that of the whole series. The images are DERIVED and SECONDARY,
    axial by convention, since nothing is known of how the patient lay. Study, series and image have new UIDs, names
    and dates are empty, and nothing says who the patient is. The folder appears when it is whole.

    Raises ValueError for another rank, complex images, more than 65535 rows or columns, sizes that are not positive,
    a description that DICOM does not allow, values that are not finite, and for a folder that holds anything;
    ModuleNotFoundError without pydicom.

    Source: NEMA PS3 / ISO 12052, "Digital Imaging and Communications in Medicine", PS3.3 sections A.4 and C.8.3.1.

    >>> import tempfile
    >>> paths = write_dicom(tempfile.mkdtemp() + "/series", np.ones((2, 8, 6)), (5.0, 1.0, 1.0))
    >>> [path.name for path in paths]
    ['0001.dcm', '0002.dcm']
    """
    pydicom, folder = _pydicom(), Path(folder)
    if image.ndim not in (2, 3) or np.iscomplexobj(image) or image.size == 0 or max(image.shape) > 65535:
        raise ValueError(
            f"image must be real with axes (slice, y, x) or (y, x), of 1 to 65535 each; got shape {image.shape}, type "
            f"{image.dtype}; take the magnitude of a complex image"
        )
    if len(voxel_size) != 3 or not all(0 < mm < np.inf for mm in voxel_size):
        raise ValueError(f"voxel_size must be three positive millimetres along (slice, y, x); got {voxel_size}")
    if len(description) > 64 or "\\" in description:
        raise ValueError(f"description has {len(description)} characters, DICOM allows 64, none of them a backslash")
    check_finite(folder, "the image", image)
    image = np.asarray(image, np.float64).reshape(-1, *image.shape[-2:])
    slope, intercept = _decimal((image.max() - min(image.min(), 0)) / 65535 or 1.0), _decimal(min(image.min(), 0))
    stored = np.clip(np.rint((image - float(intercept)) / float(slope)), 0, 65535).astype("<u2")
    uids = {name: pydicom.uid.generate_uid(prefix=None) for name in ("Study", "Series", "Frame")}
    with atomic_folder(folder) as temporary:
        for number, pixels in enumerate(stored):
            data = _slice(pydicom, pixels, number, voxel_size, uids)
            data.SeriesDescription, data.RescaleSlope, data.RescaleIntercept = description, slope, intercept
            data.save_as(temporary / f"{number + 1:04}.dcm", enforce_file_format=True)
    return sorted(folder.iterdir())


def _slice(
    pydicom: Any, pixels: np.ndarray, number: int, voxel_size: tuple[float, float, float], uids: dict[str, str]
) -> Any:
    """One MR image, without a description and a scale."""
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
    """A number in at most 16 characters, as DICOM's decimal strings are."""
    return f"{value:.8e}" if len(f"{value:.10g}") > 16 else f"{value:.10g}"


def _pydicom() -> Any:
    try:
        import pydicom
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("DICOM files need pydicom: pip install 'deqjax[formats]', or pydicom") from error
    return pydicom
