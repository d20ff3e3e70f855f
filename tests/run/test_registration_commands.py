"""The commands of registration on NIfTI files."""

from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from commands import refusal, succeed

from deqjax import model_folders
from deqjax.registration import (
    Grid,
    VoxelMorph,
    read_displacement,
    read_image,
    read_transform,
    similarities,
    stages,
    transforms,
    write_displacement,
    write_image,
)
from deqjax.registration.optimizers import Adam
from deqjax.registration.pictures import checkerboard, fusion
from deqjax.run import registration_commands
from deqjax.run.cli import main
from deqjax.run.registration_commands import placed_mask

nibabel = pytest.importorskip("nibabel")


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
        "register",
        [*(str(files / name) for name in ("fixed.nii.gz", "moving.nii.gz", "out")), "--levels", "1", "--inverse"],
    )
    assert "affine" in capsys.readouterr().out
    assert (output / "registration.png").stat().st_size > 1000
    fixed, warped = read_image(files / "fixed.nii.gz")[0], read_image(output / "warped.nii.gz")[0]
    assert float(jnp.abs(fixed - warped).max()) < 0.05
    mapping = read_displacement(output / "displacement.nii.gz")
    centre = mapping.grid.centre() - jnp.array([1.0, -2.0, 0.0])
    np.testing.assert_allclose(mapping.apply_points(centre), mapping.grid.centre(), atol=0.1)
    affine, inverse = read_transform(output / "affine.tfm"), read_displacement(output / "inverse.nii.gz")
    np.testing.assert_allclose(affine.apply_points(centre), mapping.apply_points(centre), atol=1e-3)
    np.testing.assert_allclose(inverse.apply_points(mapping.grid.centre()), centre, atol=0.1)


def test_warp_jacobian_and_overlap(files, capsys):
    moving, grid = read_image(files / "moving.nii.gz")
    write_image(files / "labels.nii.gz", moving > 0.5, grid)
    write_displacement(files / "d.nii.gz", transforms.LinearMap(jnp.eye(3), jnp.ones(3)), grid)
    succeed("warp", [str(files / "d.nii.gz"), str(files / "labels.nii.gz"), str(files / "w.nii.gz"), "--order", "0"])
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


def save(path, image, affine, unit="mm"):
    file = nibabel.Nifti1Image(image, affine)
    file.header.set_xyzt_units(unit)
    nibabel.save(file, path)
    return str(path)


AFFINE = np.array([[2.0, 0, 0, -7], [0, 1.5, 0, 4], [0, 0, 3, 11], [0, 0, 0, 1]])


def stored_otherwise(volume, affine, change):
    """Store the same voxels at the same points of the world in another order, on another grid, or in another unit."""
    affine = affine.copy()
    if change == "flipped":
        affine[:3, 3] += affine[:3, 0] * (volume.shape[0] - 1)
        affine[:3, 0] *= -1
        return volume[::-1].copy(), affine, "mm"
    if change == "permuted":
        return volume.transpose(2, 0, 1).copy(), affine[:, [2, 0, 1, 3]], "mm"
    if change == "padded":
        affine[:3, 3] -= affine[:3, :3] @ [3, 2, 1]
        return np.pad(volume, [(3, 4), (2, 1), (1, 1)]), affine, "mm"
    affine[:3] *= {"micron": 1000, "meter": 0.001}[change]
    return volume, affine, change


CHANGES = ("flipped", "permuted", "padded", "micron", "meter")


@pytest.mark.parametrize("change", CHANGES)
def test_overlap_places_labels_by_their_affines(change, tmp_path, capsys):
    labels = np.random.RandomState(0).choice(np.array([0, 17, 2035], np.int32), (7, 6, 5))
    fixed = save(tmp_path / "fixed.nii", labels, AFFINE)
    other = save(tmp_path / "other.nii", *stored_otherwise(labels, AFFINE, change))
    succeed("overlap", [fixed, other])
    printed = capsys.readouterr().out
    assert "label 17  dice 1.0000" in printed
    assert "label 2035  dice 1.0000" in printed
    assert "label 0 " not in printed


@pytest.mark.parametrize("change", CHANGES)
def test_a_mask_is_placed_by_its_affine(change, tmp_path):
    mask = (np.random.RandomState(0).rand(7, 6, 5) > 0.5).astype(np.uint8)
    placed = placed_mask(
        Path(save(tmp_path / "mask.nii", *stored_otherwise(mask, AFFINE, change))),
        Path("fixed.nii"),
        Grid(jnp.asarray(AFFINE), mask.shape),
    )
    np.testing.assert_allclose(placed, mask, atol=1e-3)


def test_files_that_do_not_meet_in_the_world_are_refused(tmp_path):
    labels, far = np.ones((7, 6, 5), np.int16), AFFINE + 0
    far[:3, 3] += 1000
    one, other = save(tmp_path / "one.nii", labels, AFFINE), save(tmp_path / "other.nii", labels, far)
    assert "do not overlap in the world" in refusal("overlap", [one, other])
    image = save(tmp_path / "image.nii", np.random.RandomState(0).rand(7, 6, 5).astype(np.float32), AFFINE)
    assert "check the affines" in refusal("register", [image, image, str(tmp_path / "out"), "--mask", other])
    flat = save(tmp_path / "flat.nii", np.random.RandomState(0).rand(7, 6, 1).astype(np.float32), AFFINE)
    assert "must have the same dimension" in refusal("register", [image, flat, str(tmp_path / "out")])
    halves = save(tmp_path / "halves.nii", labels + np.float32(0.5), AFFINE)
    assert "not a label image" in refusal("overlap", [one, halves])
    colours = np.zeros((7, 6, 5), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    assert "one number per voxel" in refusal("overlap", [one, save(tmp_path / "rgb.nii", colours, AFFINE)])
    assert not (tmp_path / "out").exists()


@pytest.fixture
def shift(tmp_path):
    """Write a displacement by two voxels along the first axis, on a grid of 7 x 6 x 5 voxels."""
    grid = Grid(jnp.asarray(AFFINE), (7, 6, 5))
    write_displacement(tmp_path / "d.nii", transforms.LinearMap(jnp.eye(3), jnp.array([4.0, 0, 0])), grid)
    return str(tmp_path / "d.nii")


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.float32, np.float64])
def test_labels_of_any_number_are_warped(dtype, shift, tmp_path):
    numbers = [0, 17, 53, 255] if dtype == np.uint8 else [0, 17, 2035, 30000]
    labels = np.random.RandomState(0).choice(np.array(numbers, dtype), (7, 6, 5))
    succeed("warp", [shift, save(tmp_path / "l.nii", labels, AFFINE), str(tmp_path / "w.nii"), "--labels"])
    warped = nibabel.load(tmp_path / "w.nii")
    assert warped.get_data_dtype().kind in "iu"
    np.testing.assert_array_equal(warped.get_fdata()[:5], labels[2:])
    np.testing.assert_array_equal(warped.get_fdata()[5:], 0)


def test_labels_of_32_bits_and_negative_labels_are_warped(shift, tmp_path):
    labels = np.random.RandomState(0).choice(np.array([-5, 0, 2**31 - 1, 2**31 - 2], np.int32), (7, 6, 5))
    succeed("warp", [shift, save(tmp_path / "l.nii", labels, AFFINE), str(tmp_path / "w.nii"), "--labels"])
    np.testing.assert_array_equal(np.asarray(nibabel.load(tmp_path / "w.nii").dataobj)[:5], labels[2:])


@pytest.mark.parametrize("order", ["0", "1", "3"])
def test_a_series_is_warped_and_the_fill_value_lies_outside(order, shift, tmp_path):
    series = np.random.RandomState(0).rand(7, 6, 5, 3).astype(np.float32)
    moving = save(tmp_path / "s.nii", series, AFFINE)
    succeed("warp", [shift, moving, str(tmp_path / "w.nii"), "--order", order, "--fill", "-1000"])
    warped = nibabel.load(tmp_path / "w.nii").get_fdata()
    np.testing.assert_allclose(warped[:5], series[2:], atol=1e-4)
    np.testing.assert_allclose(warped[5:], -1000)


def test_the_output_is_checked_before_the_work(shift, files):
    moving, fixed = str(files / "moving.nii.gz"), str(files / "fixed.nii.gz")
    (files / "folder.nii").mkdir()
    before = (files / "moving.nii.gz").read_bytes()
    for output, message in (
        (files / "result.png", "ends in .nii or"),
        (files / "folder.nii", "is a folder"),
        (files / "moving.nii.gz", "also an input"),
        (files / "moving.nii.gz" / "deep" / "w.nii", "is a file"),
    ):
        assert message in refusal("warp", [shift, moving, str(output)])
    assert "is a file" in refusal("register", ["absent.nii", "absent.nii", moving])
    inside = save(files / "warped.nii.gz", np.asarray(read_image(fixed)[0]), np.eye(4))
    assert "would be replaced" in refusal("register", [fixed, inside, str(files)])
    assert (files / "moving.nii.gz").read_bytes() == before


def test_a_registration_that_did_not_converge_has_the_exit_code_1_and_writes_its_files(files, capsys, monkeypatch):
    pytest.importorskip("matplotlib")
    slow = stages.Stage(transforms.Rigid(), similarities.NCC(), levels=(4.0,), optimizer=Adam(2, learning_rate=0.01))
    monkeypatch.setattr(registration_commands, "named_stage", lambda *_: slow)
    names = [str(files / name) for name in ("fixed.nii.gz", "moving.nii.gz", "out")]
    assert main(["register", *names, "--levels", "4", "--start", "header", "--stages", "rigid"]) == 1
    printed = capsys.readouterr()
    assert "start header" in printed.out
    assert printed.err.startswith("warning: rigid: NOT CONVERGED")
    assert {path.name for path in (files / "out").iterdir()} == {
        "displacement.nii.gz",
        "warped.nii.gz",
        "registration.png",
        "affine.tfm",
    }


@pytest.mark.slow
def test_a_coronal_slice_is_registered_in_its_plane(tmp_path):
    pytest.importorskip("matplotlib")
    points = np.stack(np.meshgrid(np.arange(30.0), np.arange(28.0), indexing="ij"), -1)
    bump = lambda centre: np.exp(-(((points - centre) / [5, 7]) ** 2).sum(-1)).astype(np.float32)
    affine = np.array([[1.0, 0, 0, 5], [0, 0, 4, 60], [0, 1.0, 0, 7], [0, 0, 0, 1]])
    fixed = save(tmp_path / "fixed.nii", bump([14, 13])[..., None], affine)
    moving = save(tmp_path / "moving.nii", bump([16, 12])[..., None], affine)
    succeed("register", [fixed, moving, str(tmp_path / "out"), "--stages", "rigid", "--levels", "1"])
    warped = nibabel.load(tmp_path / "out" / "warped.nii.gz")
    np.testing.assert_allclose(warped.affine, affine, atol=1e-4)
    np.testing.assert_allclose(warped.get_fdata()[..., 0], bump([14, 13]), atol=0.05)
    arguments = [str(tmp_path / "out"), moving, str(tmp_path / "again.nii")]
    succeed("warp", arguments)
    np.testing.assert_allclose(nibabel.load(tmp_path / "again.nii").get_fdata(), warped.get_fdata(), atol=1e-3)


def test_pictures_combine_both_images():
    board = checkerboard(np.zeros((9, 7)), np.ones((9, 7)), squares=3)
    assert 0.3 < board.mean() < 0.7
    assert fusion(np.random.rand(9, 7), np.random.rand(9, 7)).shape == (9, 7, 3)


@pytest.mark.slow
def test_a_trained_network_is_applied_after_the_stages_and_refined(files, capsys):
    """No stage but the network moves anything: the spots and the result are 2 mm apart."""
    pytest.importorskip("matplotlib")
    grid, network = Grid.of((20, 18), spacing=2.0), VoxelMorph(encoder=(4,), decoder=(4,), last=())
    spot = lambda centre: jnp.exp(-jnp.sum((grid.points() - jnp.asarray(centre)) ** 2, -1) / 60)
    fixed, moving = spot((18.0, 16.0)), spot((20.0, 16.0))
    parameters = jax.tree.map(jnp.zeros_like, jax.eval_shape(network.init, jax.random.key(0), fixed, moving, grid))
    parameters["params"]["unet"]["field"]["bias"] = jnp.array([1.0, 0.0])
    text = '[network]\ntype = "VoxelMorph"\nencoder = [4]\ndecoder = [4]\nlast = []\n'
    model = str(model_folders.write_folder(files / "model", text, {"network": parameters}, "card"))
    for name, image in (("fixed.nii", fixed), ("moving.nii", moving)):
        write_image(files / name, image, grid)
    names = [str(files / name) for name in ("fixed.nii", "moving.nii", "out")]
    options = ["--stages", "rigid", "--levels", "8", "--start", "header", "--model", model, "--passes", "2"]
    with pytest.MonkeyPatch.context() as patch:
        still = lambda *args: replace(stages.named_stage(*args), optimizer=Adam(2, learning_rate=0.0))
        patch.setattr(registration_commands, "named_stage", still)
        main(["register", *names, *options, "--refine"])
    printed = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert printed[1:6] == ["rigid", "rigid", "model", "free-form", "free-form"]
    found = read_displacement(files / "out" / "displacement.nii.gz")
    np.testing.assert_allclose(found.vectors[..., 0], 2.0, atol=1e-3)
    assert "with --model" in refusal("register", [*names, "--refine"])
    assert "with --model" in refusal("register", [*names, "--passes", "2"])
    assert "--passes must be at least 1" in refusal("register", [*names, *options, "--passes", "0"])
    volumes = [str(files / name) for name in ("fixed.nii.gz", "moving.nii.gz", "out")]
    assert "registers 2-D images" in refusal("register", [*volumes, "--model", model])


@pytest.mark.slow
def test_masks_channels_landmarks_and_the_deviation_of_files(files, capsys):
    pytest.importorskip("matplotlib")
    names = [str(files / name) for name in ("fixed.nii.gz", "moving.nii.gz", "out")]
    moving, grid = read_image(names[1])
    spoiled = moving.at[:, :5].set(5 * jnp.sin(jnp.arange(24.0))[:, None, None])
    write_image(files / "spoiled.nii.gz", spoiled, grid)
    write_image(files / "used.nii.gz", jnp.ones(grid.shape).at[:, :5].set(0), grid)
    truth = jnp.array([1.0, -2.0, 0.0])
    for name, points in (("f.csv", grid.centre() - truth), ("m.csv", grid.centre())):
        (files / name).write_text("x,y,z\n" + ",".join(str(float(value)) for value in points) + "\n")
    options = ["--stages", "rigid", "--levels", "2", "--start", "header", "--preset", "fast"]
    options += [
        "--moving-mask",
        str(files / "used.nii.gz"),
        "--landmarks",
        str(files / "f.csv"),
        str(files / "m.csv"),
        "--deviation",
    ]
    succeed(
        "register", [names[0], str(files / "spoiled.nii.gz"), names[2], *options, "--channel", *names[:2], "mse", "2"]
    )
    assert "landmark_error_after 0.0" in capsys.readouterr().out
    mapping = read_displacement(files / "out" / "displacement.nii.gz")
    np.testing.assert_allclose(mapping.apply_points(grid.centre() - truth), grid.centre(), atol=0.15)
    deviation, _ = read_image(files / "out" / "deviation.nii.gz")
    assert 0 < float(deviation.max()) < 1


def test_options_that_do_not_fit_are_refused_before_the_work(files):
    names = [str(files / name) for name in ("fixed.nii.gz", "moving.nii.gz", "out")]
    (files / "one.csv").write_text("x,y,z\n1,2,3\n")
    (files / "two.csv").write_text("x,y,z\n1,2,3\n4,5,6\n")
    for more, message in (
        (["--channel", *names[:2], "best", "1"], "no similarity 'best'"),
        (["--channel", *names[:2], "ncc", "much"], "'much' is not a number"),
        (["--deviation", "--stages", "affine", "syn"], "--deviation needs a last stage"),
        (["--deviation", "--similarity", "mi"], "--deviation needs a last stage"),
        (["--window", "8", "--similarity", "mi"], "--window 8 is for local-ncc, and the similarity is mi"),
        (["--window", "0", "--stages", "syn"], "LocalNCC needs a width above 0 mm; it is 0.0"),
        (["--window", "nan", "--similarity", "local-ncc"], "LocalNCC needs a width above 0 mm; it is nan"),
        (["--landmarks", *[str(files / "one.csv")] * 2, "--stages", "affine", "syn"], "syn has no landmark term"),
        (["--landmarks", names[0], names[0]], "fixed.nii.gz: cannot be read as a CSV file"),
        (["--landmarks", str(files / "one.csv"), str(files / "two.csv")], "corresponds to the same row"),
    ):
        assert message in refusal("register", [*names, *more])
