"""NIfTI images and displacements."""

import jax.numpy as jnp
import numpy as np
import pytest
from geometry import inner_points, oblique_grid, random_map

from deqjax.registration import read_displacement, read_image, write_displacement, write_image

nibabel = pytest.importorskip("nibabel")


@pytest.mark.parametrize("ndim", [2, 3])
def test_a_written_image_is_read_with_its_grid(ndim, tmp_path):
    grid = oblique_grid(ndim, 0)
    image = np.random.RandomState(0).randn(*grid.shape).astype(np.float32)
    write_image(tmp_path / "image.nii.gz", image, grid)
    read, read_grid = read_image(tmp_path / "image.nii.gz")
    np.testing.assert_array_equal(read, image)
    np.testing.assert_allclose(read_grid.affine, grid.affine, atol=1e-4)
    assert read_grid.shape == grid.shape


@pytest.mark.parametrize("ndim", [2, 3])
def test_a_written_displacement_is_read(ndim, tmp_path):
    grid = oblique_grid(ndim, 0)
    mapping, points = random_map("FreeForm", grid, 1), grid.points()
    write_displacement(tmp_path / "field.nii.gz", mapping, grid)
    read = read_displacement(tmp_path / "field.nii.gz")
    np.testing.assert_allclose(read.apply_points(points), mapping.apply_points(points), atol=1e-3)


def test_a_displacement_file_contains_lps_vectors_in_the_layout_of_itk(tmp_path):
    grid = oblique_grid(3, 0)
    mapping = random_map("Translation", grid, 1)
    write_displacement(tmp_path / "field.nii", mapping, grid)
    file = nibabel.load(tmp_path / "field.nii")
    assert file.shape == (*grid.shape, 1, 3)
    assert int(file.header["intent_code"]) == 1007
    np.testing.assert_allclose(file.get_fdata()[0, 0, 0, 0], np.asarray(mapping.offset) * [-1, -1, 1], rtol=1e-4)


def test_labels_stay_integers_and_complex_images_stay_complex(tmp_path):
    grid = oblique_grid(3, 0)
    write_image(tmp_path / "labels.nii", np.ones(grid.shape, np.uint8), grid)
    assert nibabel.load(tmp_path / "labels.nii").get_data_dtype() == np.uint8
    write_image(tmp_path / "complex.nii", np.full(grid.shape, 1 + 2j, np.complex64), grid)
    assert read_image(tmp_path / "complex.nii")[0].dtype == jnp.complex64


def test_a_file_or_image_of_another_shape_raises(tmp_path):
    grid = oblique_grid(3, 0)
    write_image(tmp_path / "image.nii", np.ones(grid.shape, np.float32), grid)
    with pytest.raises(ValueError, match="displacement has shape"):
        read_displacement(tmp_path / "image.nii")
    with pytest.raises(ValueError, match="does not match"):
        write_image(tmp_path / "image.nii", np.ones((2, 2)), grid)


def test_itk_reads_the_same_displacement(tmp_path):
    itk = pytest.importorskip("SimpleITK")
    grid = oblique_grid(3, 0)
    mapping, points = random_map("FreeForm", grid, 1), inner_points(grid, 2, 5)
    write_displacement(tmp_path / "field.nii", mapping, grid)
    read = itk.DisplacementFieldTransform(itk.ReadImage(str(tmp_path / "field.nii"), itk.sitkVectorFloat64))
    flip = np.array([-1.0, -1.0, 1.0])
    moved = [np.array(read.TransformPoint((np.asarray(p, float) * flip).tolist())) * flip for p in points]
    np.testing.assert_allclose(moved, mapping.apply_points(points), atol=0.05)
