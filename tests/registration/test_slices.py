"""One slice in the world: its grid, and the file that it is written to."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from deqjax.registration import Grid, read_displacement, read_image, transforms, write_displacement, write_image
from deqjax.registration.slices import check_parallel, slice_grid

nibabel = pytest.importorskip("nibabel")

ORIENTATIONS = {
    "axial": np.eye(3),
    "coronal": np.array([[1.0, 0, 0], [0, 0, 1], [0, 1, 0]]),
    "sagittal": np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]]),
    "radiological": np.diag([-1.0, 1, 1]),
    "transposed": np.array([[0.0, 1, 0], [1, 0, 0], [0, 0, 1]]),
    "oblique": Rotation.from_euler("xyz", [20, -35, 50], degrees=True).as_matrix(),
    "nearly coronal": Rotation.from_euler("xyz", [80, 5, 3], degrees=True).as_matrix(),
}


def slice_affine(orientation, spacing=(0.8, 1.3, 5.0), origin=(-11.0, 22.0, 33.0)):
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = ORIENTATIONS[orientation] * np.array(spacing), origin
    return affine


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_slice_keeps_its_spacing_place_and_thickness(orientation, axis, tmp_path):
    affine, shape = slice_affine(orientation), [7, 9, 8]
    shape[axis] = 1
    image = np.random.RandomState(0).rand(*shape).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(image, affine), tmp_path / "slice.nii")
    read, grid = read_image(tmp_path / "slice.nii")
    assert read.shape == grid.shape == tuple(n for n in shape if n > 1)
    np.testing.assert_allclose(grid.spacing(), np.delete([0.8, 1.3, 5.0], axis), rtol=1e-5)
    write_image(tmp_path / "written.nii", read, grid)
    written = nibabel.load(tmp_path / "written.nii")
    assert written.shape == tuple(shape)
    np.testing.assert_array_equal(written.get_fdata(), image)
    np.testing.assert_allclose(written.affine, affine, atol=1e-4)
    np.testing.assert_allclose(written.get_qform(), affine, atol=1e-3)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_displacement_of_a_slice_is_read_as_it_was_written(orientation, tmp_path):
    grid = slice_grid(slice_affine(orientation), (7, 9, 1), axis=2)
    mapping = transforms.LinearMap(jnp.array([[1.02, 0.01], [-0.03, 0.97]]), jnp.array([1.5, -2.0]))
    write_displacement(tmp_path / "field.nii", mapping, grid)
    read = read_displacement(tmp_path / "field.nii")
    np.testing.assert_allclose(read.apply_points(grid.points()), mapping.apply_points(grid.points()), atol=1e-3)
    file = nibabel.load(tmp_path / "field.nii")
    assert file.shape == (7, 9, 1, 1, 2)
    np.testing.assert_allclose(file.affine, slice_affine(orientation), atol=1e-4)


def test_parallel_slices_share_the_coordinates_of_their_plane():
    first = slice_grid(slice_affine("oblique"), (7, 9, 1), 2)
    other = slice_affine("oblique")
    other[:3, 3] += 3 * other[:3, 0] - 2 * other[:3, 1] + other[:3, 2]
    second = slice_grid(other, (7, 9, 1), 2)
    np.testing.assert_allclose(second.world(jnp.zeros(2)), first.world(jnp.array([3.0, -2.0])), atol=1e-4)
    check_parallel(first, second, ("a", "b"))
    with pytest.raises(ValueError, match=r"5\.00 mm apart"):
        check_parallel(first, second, ("a", "b"), same_plane=True)


@pytest.mark.parametrize(
    "other", [name for name in ORIENTATIONS if name not in ("axial", "radiological", "transposed")]
)
def test_slices_that_are_not_parallel_are_refused(other):
    first, second = (slice_grid(slice_affine(name), (7, 9, 1), 2) for name in ("axial", other))
    with pytest.raises(ValueError, match="degrees between them"):
        check_parallel(first, second, ("a.nii", "b.nii"))


def test_a_slice_and_a_volume_are_refused():
    with pytest.raises(ValueError, match=r"a is 2-D .* b is 3-D"):
        check_parallel(Grid.of((4, 4)), Grid.of((4, 4, 4)), ("a", "b"))


@pytest.mark.parametrize(("unit", "factor"), [("mm", 1.0), ("unknown", 1.0), ("micron", 1e-3), ("meter", 1e3)])
@pytest.mark.parametrize("shape", [(6, 5, 4), (6, 5, 1)])
def test_the_unit_of_the_header_is_respected(unit, factor, shape, tmp_path):
    affine = np.diag([2 / factor, 3 / factor, 4 / factor, 1])
    affine[:3, 3] = 10 / factor
    file = nibabel.Nifti1Image(np.random.RandomState(0).rand(*shape).astype(np.float32), affine)
    file.header.set_xyzt_units(unit)
    nibabel.save(file, tmp_path / "image.nii")
    image, grid = read_image(tmp_path / "image.nii")
    np.testing.assert_allclose(grid.spacing(), [2, 3, 4][: grid.ndim], rtol=1e-4)
    np.testing.assert_allclose(grid.world(jnp.zeros(grid.ndim)), 10, rtol=1e-4)
    write_image(tmp_path / "again.nii", image, grid)
    assert nibabel.load(tmp_path / "again.nii").header.get_xyzt_units()[0] == "mm"


@pytest.mark.parametrize("shear", [0.0, 0.001, 0.1, 0.3])
def test_the_qform_agrees_with_the_sform_or_has_the_code_0(shear, tmp_path):
    affine = np.array([[2.0, shear, 0, 5], [0, 2, 0, 6], [0, 0, 3, 7], [0, 0, 0, 1]])
    write_image(tmp_path / "image.nii", np.ones((20, 21, 22), np.float32), Grid(jnp.asarray(affine), (20, 21, 22)))
    header = nibabel.load(tmp_path / "image.nii").header
    np.testing.assert_allclose(header.get_sform(), affine, atol=1e-5)
    assert int(header["sform_code"]) == 1
    if int(header["qform_code"]):
        np.testing.assert_allclose(header.get_qform(), affine, atol=1e-3)
    assert int(header["qform_code"]) == (shear < 0.01)
