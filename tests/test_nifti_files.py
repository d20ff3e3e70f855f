"""Tests of opening, reading and saving NIfTI files: errors name the file, and files appear complete."""

import os

import numpy as np
import pytest

from deqjax.nifti_files import open_nifti, read_voxels, save_nifti

nibabel = pytest.importorskip("nibabel")
VOXELS = np.arange(4 * 3 * 2, dtype=np.float32).reshape(4, 3, 2)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_saved_images_read_back(tmp_path, suffix):
    path = tmp_path / "new" / f"a{suffix}"
    save_nifti(path, nibabel.Nifti1Image(VOXELS, np.diag([1, 2, 3, 1])), overwrite=False)
    file = open_nifti(path)
    np.testing.assert_array_equal(file.affine, np.diag([1, 2, 3, 1]))
    np.testing.assert_array_equal(read_voxels(path, file), VOXELS)
    np.testing.assert_array_equal(read_voxels(path, file, (slice(None), slice(None), slice(1, 2))), VOXELS[..., 1:])
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    with pytest.raises(ValueError, match="exists and is not overwritten"):
        save_nifti(path, file, overwrite=False)


def test_missing_and_other_files_raise(tmp_path):
    with pytest.raises(ValueError, match=r"none\.nii: no such file"):
        open_nifti(tmp_path / "none.nii")
    (tmp_path / "text.nii").write_text("text")
    with pytest.raises(ValueError, match=r"text\.nii: not a NIfTI file, or a broken one"):
        open_nifti(tmp_path / "text.nii")


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_truncated_files_raise(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    noise = np.random.default_rng(0).standard_normal((16, 16, 16))
    save_nifti(path, nibabel.Nifti1Image(noise, np.eye(4)), overwrite=False)
    os.truncate(path, path.stat().st_size - 1000)
    file = open_nifti(path)
    with pytest.raises(ValueError, match=rf"a{suffix}: truncated or damaged .*copy or download it again"):
        read_voxels(path, file)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_images_without_a_voxel_grid_raise(tmp_path):
    cifti2 = nibabel.cifti2
    brain = cifti2.BrainModelAxis.from_mask(np.ones((2, 2, 2), bool), affine=np.eye(4), name="thalamus_left")
    path = tmp_path / "a.dscalar.nii"
    nibabel.save(cifti2.Cifti2Image(np.ones((1, 8), np.float32), (cifti2.ScalarAxis(["a"]), brain)), path)
    with pytest.raises(ValueError, match=r"a\.dscalar\.nii: Cifti2Image is not an image on a grid of voxels"):
        open_nifti(path)
