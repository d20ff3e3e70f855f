"""Tests of writing NIfTI images and of reading them as simulated k-space."""

import builtins
import os

import numpy as np
import pytest

from deqjax.data import read_nifti, write_nifti
from deqjax.data.formats.nifti import nifti_shape
from deqjax.data.fourier_numpy import ifft2c

nibabel = pytest.importorskip("nibabel")
IMAGE = (np.arange(3 * 7 * 6).reshape(3, 7, 6) * np.exp(0.1j * np.arange(6))).astype(np.complex64)
VOXEL = (5.0, 2.0, 0.5)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_axes_and_affine(tmp_path, suffix):
    (path,) = write_nifti(tmp_path / "new" / f"a{suffix}", IMAGE, VOXEL)
    file = nibabel.load(path)
    assert file.shape == (6, 7, 3)
    assert file.get_data_dtype() == np.float32
    np.testing.assert_array_equal(np.asarray(file.dataobj), np.abs(IMAGE).transpose(2, 1, 0))
    np.testing.assert_array_equal(np.diag(file.affine), [-0.5, -2, 5, 1])
    np.testing.assert_allclose(file.affine @ [3, 3, 1, 1], [0, 0, 0, 1])  # the middle lies at the origin
    assert file.header.get_xyzt_units()[0] == "mm"
    assert nibabel.aff2axcodes(file.affine) == ("L", "P", "S")
    assert [p.name for p in path.parent.iterdir()] == [f"a{suffix}"]


def test_complex_and_two_files(tmp_path):
    (path,) = write_nifti(tmp_path / "c.nii", IMAGE, VOXEL, kind="complex")
    np.testing.assert_array_equal(np.asarray(nibabel.load(path).dataobj), IMAGE.transpose(2, 1, 0))
    assert nibabel.load(path).get_data_dtype() == np.complex64
    magnitude, phase = write_nifti(tmp_path / "t.nii.gz", IMAGE, VOXEL, kind="two files")
    assert (magnitude.name, phase.name) == ("t_magnitude.nii.gz", "t_phase.nii.gz")
    again = np.asarray(nibabel.load(magnitude).dataobj) * np.exp(1j * np.asarray(nibabel.load(phase).dataobj))
    np.testing.assert_allclose(again, IMAGE.transpose(2, 1, 0), rtol=1e-5)


@pytest.mark.parametrize("image", [IMAGE, IMAGE[:1], IMAGE[:, :4]])
def test_reading_simulates_kspace_of_one_coil(tmp_path, image):
    (path,) = write_nifti(tmp_path / "a.nii.gz", image, VOXEL, kind="complex")
    scan = read_nifti(path)
    assert scan.target is not None
    assert scan.kspace.shape == scan.target.shape == nifti_shape(path) == image.shape
    assert (scan.kspace.dtype, scan.target.dtype) == (np.complex64, np.float32)
    np.testing.assert_allclose(ifft2c(scan.kspace), image, atol=1e-4)
    np.testing.assert_array_equal(scan.target, np.abs(image))
    assert (scan.voxel_size, scan.mask, scan.name) == (VOXEL, None, "a.nii.gz")
    assert (scan.slices, scan.format) == (tuple(range(len(image))), "NIfTI image, simulated")


def test_reads_only_the_requested_slices(tmp_path):
    path = tmp_path / "a.nii"
    values = np.abs(IMAGE).transpose(2, 1, 0).copy()
    values[..., 0] = np.nan
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), path)
    np.testing.assert_array_equal(read_nifti(path, slices=(1, 2)).target, np.abs(IMAGE)[1:])
    with pytest.raises(ValueError, match=r"a\.nii: NaN or infinity in the image of slices 0 to 2"):
        read_nifti(path)
    with pytest.raises(ValueError, match=r"a\.nii: no slices 1 to 3; it has 3"):
        read_nifti(path, slices=(1, 3))


def test_reads_files_of_other_programs(tmp_path):
    """Integers with a scale, a single plane, and a fourth axis of length 1 are read; other kinds of images raise."""
    file = nibabel.Nifti1Image(np.arange(12, dtype=np.int16).reshape(4, 3), np.eye(4))
    file.header.set_slope_inter(2, 1)
    nibabel.save(file, tmp_path / "plane.nii")
    scan = read_nifti(tmp_path / "plane.nii")
    stored = np.asarray(nibabel.load(tmp_path / "plane.nii").dataobj)
    np.testing.assert_allclose(np.asarray(scan.target), stored.T[None])
    assert scan.voxel_size == (1, 1, 1)
    nibabel.save(nibabel.Nifti2Image(np.ones((4, 3, 2, 1), np.float32), np.eye(4)), tmp_path / "one.nii")
    assert read_nifti(tmp_path / "one.nii", slices=(1, 1)).kspace.shape == (1, 3, 4)
    nibabel.save(nibabel.Nifti1Image(np.ones((4, 3, 2, 5), np.float32), np.eye(4)), tmp_path / "many.nii")
    with pytest.raises(ValueError, match=r"many\.nii: shape \(4, 3, 2, 5\), .* expected one grey image"):
        read_nifti(tmp_path / "many.nii")
    colour = np.zeros((4, 3, 2), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    nibabel.save(nibabel.Nifti1Image(colour, np.eye(4)), tmp_path / "colour.nii")
    with pytest.raises(ValueError, match=r"colour\.nii: .* expected one grey image"):
        read_nifti(tmp_path / "colour.nii")


def test_invalid_files_raise(tmp_path):
    with pytest.raises(ValueError, match=r"none\.nii: no such file"):
        read_nifti(tmp_path / "none.nii")
    (tmp_path / "text.nii").write_text("text")
    with pytest.raises(ValueError, match=r"text\.nii: not a NIfTI file, or a broken one"):
        read_nifti(tmp_path / "text.nii")
    for name in ("cut.nii", "cut.nii.gz"):
        (path,) = write_nifti(tmp_path / name, IMAGE, VOXEL)
        os.truncate(path, path.stat().st_size - 30)
        with pytest.raises(ValueError, match=rf"{name}: (truncated or damaged|not a NIfTI file, or a broken one)"):
            read_nifti(path)


@pytest.mark.parametrize(
    ("name", "image", "options", "message"),
    [
        ("a.img", IMAGE, {}, "ends with .nii or .nii.gz"),
        ("a.nii", IMAGE[0, 0], {}, r"image must have axes .*shape \(6,\)"),
        ("a.nii", IMAGE * np.nan, {}, "NaN or infinity in the image"),
        ("a.nii", IMAGE, {"voxel_size": (1.0, 0.0, 1.0)}, "voxel_size must be three positive"),
        ("a.nii", IMAGE, {"voxel_size": (1.0, 1.0)}, "voxel_size must be three positive"),
        ("a.nii", IMAGE, {"kind": "phase"}, "kind must be 'magnitude', 'complex' or 'two files'; got 'phase'"),
    ],
)
def test_invalid_input_is_not_written(tmp_path, name, image, options, message):
    with pytest.raises(ValueError, match=message):
        write_nifti(tmp_path / name, image, **{"voxel_size": VOXEL} | options)
    assert not list(tmp_path.iterdir())


def test_existing_files_are_kept_unless_overwrite_is_set(tmp_path):
    write_nifti(tmp_path / "a.nii", IMAGE, VOXEL, kind="two files")
    (tmp_path / "a_magnitude.nii").unlink()
    with pytest.raises(ValueError, match=r"a_phase\.nii: not overwritten"):
        write_nifti(tmp_path / "a.nii", IMAGE, VOXEL, kind="two files")
    assert [p.name for p in tmp_path.iterdir()] == ["a_phase.nii"]
    write_nifti(tmp_path / "a.nii", 2 * IMAGE, VOXEL, kind="two files", overwrite=True)
    assert np.asarray(read_nifti(tmp_path / "a_magnitude.nii").target).max() == pytest.approx(2 * np.abs(IMAGE).max())


def test_without_nibabel_the_error_says_how_to_install_it(tmp_path, monkeypatch):
    real = builtins.__import__

    def fake(name, *args, **kwargs):
        if name == "nibabel":
            raise ModuleNotFoundError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", fake)
    for call in (lambda: read_nifti("a.nii"), lambda: write_nifti(tmp_path / "a.nii", IMAGE, VOXEL)):
        with pytest.raises(ModuleNotFoundError, match=r"need nibabel: pip install 'deqjax\[formats\]'"):
            call()
