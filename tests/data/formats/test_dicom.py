"""Tests of writing DICOM series: precision, geometry, absence of patient data, and errors."""

import builtins

import numpy as np
import pytest

from deqjax.data import write_dicom

pydicom = pytest.importorskip("pydicom")
IMAGE = np.random.default_rng(0).uniform(0, 3e-4, (3, 7, 5)).astype(np.float32)
VOXEL = (4.0, 0.6875, 1.0 / 3)


def values(paths):
    files = [pydicom.dcmread(path) for path in paths]
    return files, np.stack([f.pixel_array * float(f.RescaleSlope) + float(f.RescaleIntercept) for f in files])


@pytest.mark.parametrize("scale", [1.0, 1e-12, 1e9])
@pytest.mark.parametrize("shift", [0.0, -1.5e-4])
def test_values_are_accurate_to_half_a_quantisation_step(tmp_path, scale, shift):
    image = (IMAGE + np.float32(shift)) * np.float32(scale)
    files, read = values(write_dicom(tmp_path / "a", image, VOXEL))
    slope = float(files[0].RescaleSlope)
    assert slope == pytest.approx((image.max() - min(image.min(), 0)) / 65535, rel=1e-6)
    assert np.abs(read - image).max() <= 0.501 * slope
    assert len({f.RescaleSlope for f in files}) == len({f.RescaleIntercept for f in files}) == 1
    assert all(len(str(f[name].value)) <= 16 for f in files for name in ("RescaleSlope", "RescaleIntercept"))


def test_an_image_of_zeros_and_a_single_slice(tmp_path):
    _, read = values(write_dicom(tmp_path / "zero", np.zeros((2, 4, 3)), VOXEL))
    np.testing.assert_array_equal(read, 0)
    paths = write_dicom(tmp_path / "one", np.eye(4, 3), VOXEL)
    np.testing.assert_allclose(values(paths)[1], np.eye(4, 3)[None], rtol=1e-9)
    assert [path.name for path in paths] == ["0001.dcm"]


def test_geometry_and_identifiers(tmp_path):
    paths = write_dicom(tmp_path / "new" / "a", IMAGE, VOXEL, description="unsere Köpfe")
    files = [pydicom.dcmread(path) for path in paths]
    first = files[0]
    assert (first.Rows, first.Columns, first.BitsAllocated, first.Modality) == (7, 5, 16, "MR")
    assert [float(mm) for mm in first.PixelSpacing] == pytest.approx([0.6875, 1 / 3])
    assert (first.SliceThickness, first.SpacingBetweenSlices, first.SeriesDescription) == (4, 4, "unsere Köpfe")
    assert first.SOPClassUID == first.file_meta.MediaStorageSOPClassUID == pydicom.uid.MRImageStorage
    assert list(first.ImageType)[:2] == ["DERIVED", "SECONDARY"]
    assert [f.InstanceNumber for f in files] == [1, 2, 3]
    assert [float(f.ImagePositionPatient[2]) for f in files] == [0, 4, 8]
    assert len({f.SOPInstanceUID for f in files}) == 3
    for name in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
        assert len({f[name].value for f in files}) == 1
    for f in files:
        assert f.SOPInstanceUID == f.file_meta.MediaStorageSOPInstanceUID
        assert all(element.value.is_valid for element in f if element.VR == "UI")
    other = pydicom.dcmread(write_dicom(tmp_path / "b", IMAGE, VOXEL)[0])
    assert other.SeriesInstanceUID != first.SeriesInstanceUID
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["a"]


def test_files_hold_no_patient_data(tmp_path):
    first = pydicom.dcmread(write_dicom(tmp_path / "a", IMAGE, VOXEL)[0])
    for element in first:
        if element.tag.group == 0x0010 or "Date" in element.name or "Name" in element.name:
            assert not element.value, element
    first.remove_private_tags()
    assert first == pydicom.dcmread(tmp_path / "a" / "0001.dcm")  # there were no private tags
    assert (first.PatientIdentityRemoved, first.PatientName) == ("YES", "")


@pytest.mark.parametrize(
    ("image", "options", "message"),
    [
        (IMAGE[0, 0], {}, r"image must be real .*shape \(5,\)"),
        (IMAGE * 1j, {}, "take the magnitude of a complex image"),
        (IMAGE[:0], {}, "of 1 to 65535 each"),
        (IMAGE * np.nan, {}, "NaN or infinity in the image"),
        (IMAGE, {"voxel_size": (1.0, -1.0, 1.0)}, "voxel_size must be three positive"),
        (IMAGE, {"description": "x" * 65}, "description has 65 characters"),
        (IMAGE, {"description": "a\\b"}, "none of them a backslash"),
    ],
)
def test_invalid_input_raises(tmp_path, image, options, message):
    with pytest.raises(ValueError, match=message):
        write_dicom(tmp_path / "a", image, **{"voxel_size": VOXEL} | options)
    assert not list(tmp_path.iterdir())


def test_a_folder_with_content_is_not_changed(tmp_path):
    (tmp_path / "a").mkdir()
    assert len(write_dicom(tmp_path / "a", IMAGE, VOXEL)) == 3  # an empty folder may be used
    (tmp_path / "b").write_text("a file")
    for name in ("a", "b"):
        with pytest.raises(ValueError, match=f"{name}: exists and is not overwritten; choose a new folder"):
            write_dicom(tmp_path / name, IMAGE, VOXEL)
    assert len(list((tmp_path / "a").iterdir())) == 3


def test_a_failure_leaves_no_partial_folder(tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr(pydicom.Dataset, "save_as", fail)
    with pytest.raises(OSError, match="disk full"):
        write_dicom(tmp_path / "a", IMAGE, VOXEL)
    assert not list(tmp_path.iterdir())


def test_without_pydicom_the_error_says_how_to_install_it(tmp_path, monkeypatch):
    real = builtins.__import__

    def fake(name, *args, **kwargs):
        if name == "pydicom":
            raise ModuleNotFoundError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", fake)
    with pytest.raises(ModuleNotFoundError, match=r"need pydicom: pip install 'deqjax\[formats\]'"):
        write_dicom(tmp_path / "a", IMAGE, VOXEL)
