"""Transform files, against points that SimpleITK 2.5.7 mapped with transforms that it wrote."""

import jax.numpy as jnp
import numpy as np
import pytest
from geometry import inner_points, oblique_grid, random_map

from deqjax.registration import Grid, read_transform, write_transform
from deqjax.registration.transforms import Composite, LinearMap

POINTS = {2: [10.0, -20.0], 3: [10.0, -20.0, 30.0]}
CENTRE = "FixedParameters: 4 5 6\n"
AFFINE = f"""Transform: AffineTransform_double_3_3
Parameters: 1.1 0.1 0.2 -0.1 0.9 0.05 0.02 0.03 1.05 1 2 3
{CENTRE}"""
EULER = """Transform: Euler3DTransform_double_3_3
Parameters: 0.1 0.2 0.3 1 2 3
FixedParameters: 4 5 6 0
"""
VERSOR = "0.05309661207819832 0.10619322415639663 0.15928983623459494 1 2 3"
BSPLINE = """Transform: BSplineTransform_double_2_2
Parameters: 1.76 0.4 0.98 2.24 1.87 -0.98 0.95 -0.15 -0.1 0.41 0.14 1.45 0.76 0.12 0.44 0.33 1.49 -0.21 0.31 -0.85 \
-2.55 0.65 0.86 -0.74 2.27 -1.45 0.05 -0.19 1.53 1.47 0.15 0.38 -0.89 -1.98 -0.35 0.16 1.23 1.2 -0.39 -0.3 -1.05 \
-1.42 -1.71 1.95 -0.51 -0.44 -1.25 0.78 -1.61 -0.21 -0.9 0.39 -0.51 -1.18 -0.03 0.43 0.07 0.3 -0.63 -0.36 -0.67 \
-0.36 -0.81 -1.73 0.18 -0.4 -1.63 0.46 -0.91 0.05 0.73 0.13 1.14 -1.23 0.4 -0.68 -0.87 -0.58 -0.31 0.06 -1.17 0.9 \
0.47 -1.54
FixedParameters: 6 7 -3 -1.75 4 3.75 1 0 0 1
"""
WRITTEN_BY_ITK = {
    "affine": (AFFINE, POINTS[3], [13.9, -14.9, 33.57]),
    "euler": (EULER, POINTS[3], [23.182747, -15.746931, 28.722192]),
    "euler_zyx": (EULER.replace("6 0", "6 1"), POINTS[3], [22.735572, -16.059819, 28.765987]),
    "versor": (
        f"Transform: VersorRigid3DTransform_double_3_3\nParameters: {VERSOR}\n{CENTRE}",
        POINTS[3],
        [23.485645, -16.335227, 27.72827],
    ),
    "similarity": (
        f"Transform: Similarity3DTransform_double_3_3\nParameters: {VERSOR} 1.3\n{CENTRE}",
        POINTS[3],
        [29.031338, -23.335796, 33.346751],
    ),
    "scale": (
        f"Transform: ScaleTransform_double_3_3\nParameters: 1.1 0.9 1.2\n{CENTRE}",
        POINTS[3],
        [10.6, -17.5, 34.8],
    ),
    "translation": (
        "Transform: TranslationTransform_double_3_3\nParameters: 1 2 3\nFixedParameters: \n",
        POINTS[3],
        [11.0, -18.0, 33.0],
    ),
    "identity": (
        "Transform: IdentityTransform_double_3_3\nParameters: \nFixedParameters: \n",
        POINTS[3],
        POINTS[3],
    ),
    "euler2d": (
        "Transform: Euler2DTransform_double_2_2\nParameters: 0.3 1 2\nFixedParameters: 4 5\n",
        POINTS[2],
        [18.120024, -15.110291],
    ),
    "similarity2d": (
        "Transform: Similarity2DTransform_double_2_2\nParameters: 1.2 0.3 1 2\nFixedParameters: 4 5\n",
        POINTS[2],
        [20.744029, -19.532349],
    ),
    "composite": (
        f"Transform: CompositeTransform_double_3_3\n#Transform 1\n{AFFINE}#Transform 2\n{EULER}",
        POINTS[3],
        [28.570766, -12.454403, 32.619548],
    ),
    "bspline": (BSPLINE, [6.0, 8.0], [5.394647, 7.471791]),
}


def apply_lps(mapping, point):
    flip = np.array([-1.0, -1.0, 1.0])[: len(point)]
    return np.asarray(mapping.apply_points(jnp.asarray(np.array(point) * flip, float))) * flip


@pytest.mark.parametrize("name", WRITTEN_BY_ITK)
def test_transforms_that_itk_wrote_map_points_as_itk_does(name, tmp_path):
    text, point, expected = WRITTEN_BY_ITK[name]
    (tmp_path / "t.tfm").write_text(f"#Insight Transform File V1.0\n#Transform 0\n{text}")
    np.testing.assert_allclose(apply_lps(read_transform(tmp_path / "t.tfm"), point), expected, atol=2e-5)


@pytest.mark.parametrize("suffix", [".tfm", ".txt", ".mat", ".h5"])
@pytest.mark.parametrize("ndim", [2, 3])
def test_a_written_linear_map_is_read(ndim, suffix, tmp_path):
    grid = oblique_grid(ndim, 0)
    mapping, points = random_map("Affine", grid, 1), grid.points()
    write_transform(tmp_path / f"t{suffix}", Composite((mapping, mapping.inverse(), mapping)))
    read = read_transform(tmp_path / f"t{suffix}")
    assert isinstance(read, LinearMap)
    np.testing.assert_allclose(read.apply_points(points), mapping.apply_points(points), atol=1e-3)


def test_a_text_file_has_the_matrix_in_lps_and_a_matrix_file_has_it_in_ras(tmp_path):
    mapping = LinearMap(jnp.array([[1.0, 2, 3], [4, 5, 6], [7, 8, 10]]), jnp.array([1.0, 2, 3]))
    write_transform(tmp_path / "t.tfm", mapping)
    assert "Parameters: 1 2 -3 4 5 -6 -7 -8 10 -1 -2 3\nFixedParameters: 0 0 0\n" in (tmp_path / "t.tfm").read_text()
    write_transform(tmp_path / "t.txt", mapping)
    np.testing.assert_allclose(
        np.loadtxt(tmp_path / "t.txt"), [[1, 2, 3, 1], [4, 5, 6, 2], [7, 8, 10, 3], [0, 0, 0, 1]]
    )


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("name", ["FreeForm", "Velocity"])
def test_hdf5_keeps_a_map_and_the_affine_after_it(ndim, name, tmp_path):
    grid = oblique_grid(ndim, 0)
    mapping = Composite((random_map(name, grid, 1), random_map("Affine", grid, 2)))
    write_transform(tmp_path / "t.h5", mapping, grid)
    points = grid.points()
    np.testing.assert_allclose(
        read_transform(tmp_path / "t.h5").apply_points(points), mapping.apply_points(points), atol=2e-3
    )


@pytest.mark.parametrize("suffix", [".tfm", ".h5", ".mat", ".txt", ".nii"])
def test_damaged_and_foreign_files_are_refused(suffix, tmp_path):
    (tmp_path / f"t{suffix}").write_bytes(b"#Insight Transform File V1.0\nTransform: Odd_double_3_3\nParameters: 1\n")
    with pytest.raises(ValueError, match=f"t{suffix}: "):
        read_transform(tmp_path / f"t{suffix}")
    with pytest.raises(ValueError, match="no such file"):
        read_transform(tmp_path / f"absent{suffix}")


def test_what_a_format_does_not_hold_is_refused(tmp_path):
    grid = oblique_grid(2, 0)
    field = random_map("FreeForm", grid, 1)
    for name, mapping, message in (
        ("t.tfm", field, "linear maps alone"),
        ("t.nii", field, "give the grid"),
        ("t.h5", random_map("Velocity", grid, 1), "give the grid"),
        ("t.png", field, "not the name of a transform file"),
    ):
        with pytest.raises(ValueError, match=message):
            write_transform(tmp_path / name, mapping)
    (tmp_path / "m.txt").write_text("1 0\n0 1\n")
    with pytest.raises(ValueError, match="matrix of shape"):
        read_transform(tmp_path / "m.txt")


@pytest.mark.parametrize("suffix", [".h5", ".nii.gz"])
@pytest.mark.parametrize("ndim", [2, 3])
def test_simpleitk_reads_the_same_map(ndim, suffix, tmp_path):
    itk = pytest.importorskip("SimpleITK")
    grid = Grid.of((14, 12, 9)[:ndim], spacing=(1.5, 2.0, 1.0)[:ndim], origin=(-9.0, 4.0, 7.0)[:ndim])
    mapping = Composite((random_map("FreeForm", grid, 1), random_map("Affine", grid, 2)))
    path = str(tmp_path / f"t{suffix}")
    write_transform(path, mapping, grid)
    if suffix == ".h5":
        read = itk.ReadTransform(path)
    else:
        read = itk.DisplacementFieldTransform(itk.ReadImage(path, itk.sitkVectorFloat64))
    flip = np.array([-1.0, -1.0, 1.0])[:ndim]
    points = inner_points(grid, 2, 5)
    moved = [np.array(read.TransformPoint((np.asarray(p, float) * flip).tolist())) * flip for p in points]
    np.testing.assert_allclose(moved, mapping.apply_points(points), atol=0.05)
