"""The commands of transforms on files: warp, points, invert, compose, jacobian."""

import jax.numpy as jnp
import numpy as np
import pytest
from commands import refusal, succeed

from deqjax.registration import Grid, read_displacement, read_image, read_transform, write_image, write_transform
from deqjax.registration.transforms import Composite, DisplacementMap, LinearMap
from deqjax.run.cli import main

pytest.importorskip("nibabel")
GRID = Grid.of((9, 8, 7), spacing=(1.0, 2.0, 1.5), origin=(-4.0, 3.0, 10.0))
SHIFT = LinearMap(jnp.eye(3), jnp.array([2.0, 0.0, 0.0]))
TURN = LinearMap(jnp.array([[0.0, -1.0, 0], [1.0, 0, 0], [0, 0, 1.0]]), jnp.array([1.0, 2.0, 3.0]))
BEND = DisplacementMap(0.4 * jnp.sin(GRID.points()[..., ::-1]), GRID)


@pytest.fixture
def files(tmp_path):
    write_transform(tmp_path / "shift.tfm", SHIFT)
    write_transform(tmp_path / "turn.txt", TURN)
    (tmp_path / "out").mkdir()
    write_transform(tmp_path / "out" / "displacement.nii.gz", BEND)
    write_image(tmp_path / "image.nii", np.random.RandomState(0).rand(*GRID.shape).astype(np.float32), GRID)
    (tmp_path / "points.csv").write_text("name,x,y,z\nnose,0,9,14\near,1,8,13\n")
    return tmp_path


def read_points(path):
    lines = path.read_text().splitlines()
    return lines[0], np.array([line.split(",")[1:] for line in lines[1:]], float)


def test_points_are_mapped_there_and_back(files):
    points = np.array([[0, 9, 14], [1, 8, 13.0]])
    arguments = [str(files / name) for name in ("out", "points.csv", "mapped.csv")]
    succeed("points", arguments)
    header, mapped = read_points(files / "mapped.csv")
    assert header == "name,x,y,z"
    np.testing.assert_allclose(mapped, BEND.apply_points(jnp.asarray(points)), atol=1e-4)
    succeed("points", [str(files / name) for name in ("out", "mapped.csv", "back.csv")] + ["--inverse"])
    np.testing.assert_allclose(read_points(files / "back.csv")[1], points, atol=2e-3)


def test_points_in_lps_agree_with_those_in_ras(files):
    succeed("points", [str(files / name) for name in ("turn.txt", "points.csv", "mapped.csv")] + ["--lps"])
    flip = np.array([-1, -1, 1.0])
    expected = np.asarray(TURN.apply_points(jnp.asarray(np.array([[0, 9, 14], [1, 8, 13.0]]) * flip))) * flip
    np.testing.assert_allclose(read_points(files / "mapped.csv")[1], expected, atol=1e-4)


def test_a_csv_file_without_coordinates_is_refused(files):
    (files / "bad.csv").write_text("a,b\n1,2\n")
    assert "give a header with x, y" in refusal("points", [str(files / n) for n in ("out", "bad.csv", "o.csv")])
    (files / "flat.csv").write_text("x,y\n1,2\n")
    assert "2-D points do not fit" in refusal("points", [str(files / n) for n in ("out", "flat.csv", "o.csv")])


def test_invert_writes_the_inverse(files):
    succeed("invert", [str(files / "shift.tfm"), str(files / "back.mat")])
    np.testing.assert_allclose(read_transform(files / "back.mat").apply_points(jnp.zeros(3)), [-2, 0, 0], atol=1e-6)
    succeed("invert", [str(files / "out"), str(files / "back.nii.gz")])
    inverse, points = read_displacement(files / "back.nii.gz"), GRID.world(jnp.array([[4.0, 4, 3], [3.0, 3, 4]]))
    np.testing.assert_allclose(BEND.apply_points(inverse.apply_points(points)), points, atol=0.05)


def test_a_fold_has_no_inverse_and_the_exit_code_is_1(files, capsys):
    write_transform(files / "fold.nii.gz", DisplacementMap(3 * jnp.sin(GRID.points()), GRID))
    assert main(["invert", str(files / "fold.nii.gz"), str(files / "back.nii.gz")]) == 1
    assert "have no inverse" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["all.h5", "all.nii.gz"])
def test_compose_applies_the_first_transform_first(name, files):
    arguments = [str(files / part) for part in ("out", "turn.txt", "shift.tfm", name)]
    succeed("compose", arguments)
    expected = Composite((BEND, TURN, SHIFT)).apply_points(GRID.points())
    np.testing.assert_allclose(read_transform(files / name).apply_points(GRID.points()), expected, atol=1e-4)
    assert "linear maps alone" in refusal("compose", [*arguments[:-1], str(files / "all.tfm")])


def test_warp_and_jacobian_take_any_transform_and_any_grid(files):
    arguments = [str(files / name) for name in ("shift.tfm", "image.nii", "w.nii")]
    succeed("warp", [*arguments, "--like", arguments[1]])
    image, warped = read_image(files / "image.nii")[0], read_image(files / "w.nii")[0]
    np.testing.assert_allclose(warped[:-2], image[2:], atol=1e-5)
    succeed("warp", [arguments[1], arguments[0], str(files / "other.nii"), "--like", arguments[1]])  # the order of 0.2
    np.testing.assert_array_equal(read_image(files / "other.nii")[0], warped)
    assert "--like" in refusal("warp", arguments)
    succeed("jacobian", [str(files / "out"), str(files / "j.nii")])
    assert "no displacement.nii.gz" in refusal("warp", [str(files), str(files / "image.nii"), str(files / "w.nii")])
