"""The commands of registration on NIfTI files."""

import jax.numpy as jnp
import numpy as np
import pytest
from commands import refusal, succeed

from deqjax.registration import Grid, read_displacement, read_image, transforms, write_displacement, write_image
from deqjax.registration.pictures import checkerboard, fusion

pytest.importorskip("nibabel")


@pytest.fixture
def files(tmp_path):
    grid = Grid.of((24, 22, 12), spacing=(1.0, 1.0, 2.0), origin=(-5.0, 3.0, 40.0))
    bump = lambda points: jnp.exp(-jnp.sum((points - grid.centre()) ** 2 / jnp.array([30.0, 12.0, 20.0]), -1))
    write_image(tmp_path / "fixed.nii.gz", bump(grid.points() + jnp.array([1.0, -2.0, 0.0])), grid)
    write_image(tmp_path / "moving.nii.gz", bump(grid.points()), grid)
    return tmp_path


def test_register_writes_a_displacement_an_image_and_a_picture(files, capsys):
    pytest.importorskip("matplotlib")
    output = files / "out"
    succeed(
        "register", [*(str(files / name) for name in ("fixed.nii.gz", "moving.nii.gz")), str(output), "--levels", "1"]
    )
    assert "affine" in capsys.readouterr().out
    assert (output / "registration.png").stat().st_size > 1000
    fixed, warped = read_image(files / "fixed.nii.gz")[0], read_image(output / "warped.nii.gz")[0]
    assert float(jnp.abs(fixed - warped).max()) < 0.05
    mapping = read_displacement(output / "displacement.nii.gz")
    centre = mapping.grid.centre() - jnp.array([1.0, -2.0, 0.0])
    np.testing.assert_allclose(mapping.apply_points(centre), mapping.grid.centre(), atol=0.1)


def test_warp_jacobian_and_overlap(files, capsys):
    moving, grid = read_image(files / "moving.nii.gz")
    write_image(files / "labels.nii.gz", moving > 0.5, grid)
    write_displacement(files / "d.nii.gz", transforms.LinearMap(jnp.eye(3), jnp.ones(3)), grid)
    succeed("warp", [str(files / "labels.nii.gz"), str(files / "d.nii.gz"), str(files / "w.nii.gz"), "--order", "0"])
    assert set(np.unique(read_image(files / "w.nii.gz")[0])) == {0, 1}
    succeed("jacobian", [str(files / "d.nii.gz"), str(files / "j.nii.gz")])
    np.testing.assert_allclose(read_image(files / "j.nii.gz")[0], 1, atol=1e-4)
    labels = str(files / "labels.nii.gz")
    succeed("overlap", [labels, labels, "--displacement", str(files / "d.nii.gz")])
    printed = capsys.readouterr().out
    assert "label 1  dice 1.0000" in printed
    assert "folded 0.000 %" in printed


def test_an_invalid_file_ends_the_command_with_one_line(files):
    assert "displacement has shape" in refusal("jacobian", [str(files / "fixed.nii.gz"), str(files / "j.nii.gz")])
    assert "absent.nii.gz: no such file" in refusal("jacobian", [str(files / "absent.nii.gz"), str(files / "j.nii.gz")])
    content = (files / "moving.nii.gz").read_bytes()
    write_image(files / "flat.nii.gz", jnp.eye(24), Grid.of((24, 24)))
    for name, damaged in (
        ("junk.nii.gz", b"junk"),
        ("cut.nii.gz", content[: len(content) // 2]),
        ("cut.nii", content[:90]),
    ):
        (files / name).write_bytes(damaged)
    for name, message in (
        ("junk.nii.gz", "broken"),
        ("cut.nii.gz", "damaged"),
        ("cut.nii", "broken"),
        ("flat.nii.gz", "2-D"),
    ):
        arguments = [str(files / "fixed.nii.gz"), str(files / name), str(files / "out")]
        assert message in refusal("register", arguments)
    assert not (files / "out").exists()
    assert not list(files.glob(".*"))


def test_pictures_combine_both_images():
    board = checkerboard(np.zeros((9, 7)), np.ones((9, 7)), squares=3)
    assert 0.3 < board.mean() < 0.7
    assert fusion(np.random.rand(9, 7), np.random.rand(9, 7)).shape == (9, 7, 3)
