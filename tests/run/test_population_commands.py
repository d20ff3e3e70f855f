"""The commands for many images on files."""

import numpy as np
import pytest
from commands import refusal, succeed

from deqjax.registration import Grid, read_image, write_image
from deqjax.registration.files import read_array

pytest.importorskip("nibabel")
GRID = Grid.of((24, 22))
FAST = ["--stages", "rigid", "--levels", "1"]


def spot(shift):
    away = np.asarray(GRID.points()) - [12 + shift, 10]
    return np.exp(-((away / [4, 6]) ** 2).sum(-1)).astype(np.float32)


@pytest.fixture
def people(tmp_path):
    for name, shift in (("a", -1.0), ("b", 0.0), ("c", 1.0)):
        write_image(tmp_path / f"{name}.nii.gz", spot(shift), GRID)
        write_image(tmp_path / f"{name}_seg.nii.gz", (spot(shift) > 0.4).astype(np.int16) * 2035, GRID)
    return tmp_path


@pytest.mark.slow
def test_template_and_change(people, capsys):
    images = [str(people / f"{name}.nii.gz") for name in "abc"]
    succeed("template", [*images, str(people / "out"), *FAST, "--rounds", "2"])
    assert "round 2  mean displacement 0.0" in capsys.readouterr().out
    template = read_image(people / "out" / "template.nii.gz")[0]
    np.testing.assert_allclose(template, spot(0.0), atol=0.02)
    np.testing.assert_allclose(read_image(people / "out" / "c_warped.nii.gz")[0], template, atol=0.05)
    arguments = [str(people / name) for name in ("out/a_displacement.nii.gz", "b_seg.nii.gz")]
    succeed("change", [*arguments, "--csv", str(people / "change.csv")])
    header, row = (people / "change.csv").read_text().splitlines()
    assert header.startswith("label,before,after,percent,mean_log_jacobian")
    assert row.startswith("2035,")
    assert abs(float(row.split(",")[3])) < 0.5


@pytest.mark.slow
def test_a_series_is_registered_to_its_mean(people):
    write_image(people / "cine.nii.gz", np.stack([spot(shift) for shift in (-1.0, 1.0)], axis=-1), GRID)
    succeed("template", [str(people / "cine.nii.gz"), str(people / "out"), *FAST, "--rounds", "2"])
    aligned = read_array(people / "out" / "aligned.nii.gz")[0]
    np.testing.assert_allclose(aligned[..., 0], aligned[..., 1], atol=0.05)
    assert "give a series" in refusal("template", [str(people / "a.nii.gz"), str(people / "out")])


@pytest.mark.parametrize("weights", [pytest.param("local", marks=pytest.mark.slow), "majority"])
def test_fuse(weights, people):
    atlases, labels = ([str(people / f"{name}{end}.nii.gz") for name in "abc"] for end in ("", "_seg"))
    arguments = [str(people / "b.nii.gz"), str(people / "fused.nii.gz"), "--atlases", *atlases, "--labels", *labels]
    succeed("fuse", [*arguments, *FAST, "--weights", weights])
    fused, truth = (np.asarray(read_image(people / f"{name}.nii.gz")[0]) for name in ("fused", "b_seg"))
    assert (fused != truth).sum() <= 6
    assert "one for each atlas" in refusal("fuse", [*arguments[:-1], *FAST])
