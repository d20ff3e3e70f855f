"""deqjax evaluate: the metrics are those of the saved model, for every kind of file that fastMRI has."""

import csv
import dataclasses
import shlex
from pathlib import Path

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from commands import succeed

from deqjax import model_folders
from deqjax.config import read_config
from deqjax.data import phantom_volume, write_npz, write_phantoms, write_volume
from deqjax.data.formats.fastmri_header import make_header
from deqjax.domain import Domain
from deqjax.metrics import nmse, ssim, vif
from deqjax.physics import MaskedFourier
from deqjax.run import evaluate_file
from deqjax.run.evaluation import evaluate

SIZE = 48


@pytest.fixture(scope="module")
def config(experiment):
    """Without noise, and with masks that leave calibration lines for coil maps."""
    file, *overrides = experiment("nowhere")
    return read_config(file, [*overrides, "data.noise=[0, 0]"])


@pytest.fixture(scope="module")
def model(config, tmp_path_factory):
    params = model_folders.method_of(config).init(jax.random.key(0))
    params["map"]["net"]["conv_1"]["bias"] = jnp.array([0.2, -0.3])  # it shall do something
    return model_folders.save(tmp_path_factory.mktemp("models") / "model", config, params, "card")


@pytest.fixture(scope="module")
def volumes(tmp_path_factory):
    return write_phantoms(tmp_path_factory.mktemp("volumes"), 2, (5, SIZE, SIZE), noise=0.01, seed=3)


@pytest.fixture(scope="module")
def evaluated(model, volumes, tmp_path_factory):
    """One evaluation of single-coil volumes that several tests look at."""
    out = tmp_path_factory.mktemp("evaluated") / "out"
    arguments = [str(model), f"--data={volumes[0].parent}", f"--out={out}"]
    succeed("evaluate", arguments)
    return out, arguments


def read_csv(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def fft(image):
    axes = (-2, -1)
    return np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(image, axes=axes), norm="ortho"), axes=axes)


def ifft(kspace):
    axes = (-2, -1)
    return np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(kspace, axes=axes), norm="ortho"), axes=axes)


def psnr(image, target):
    return 10 * np.log10(target.max() ** 2 / np.mean((image - target) ** 2))


def evaluated_file(model, path, *overrides):
    recon, params = model_folders.load(model, overrides)
    return evaluate_file(recon, params, path, model_folders.load_config(model, overrides))


def test_volumes_outside_the_domain_are_named(model, config, volumes, tmp_path, capsys):
    inside = Domain("phantoms", (1.5, 3), (0, 0.2), (0, 1), (SIZE, SIZE), (SIZE, SIZE), (0, 3), (1, 1))
    recon, params = model_folders.load(model)
    rows = [
        evaluate(recon.replace(domain=domain), params, config, volumes[:1], tmp_path / name, "command")[0].row
        for name, domain in (("in", inside), ("out", dataclasses.replace(inside, acceleration=(5, 8))))
    ]
    printed = capsys.readouterr().out
    assert rows[0]["outside the domain"] == ""
    assert str(rows[1]["outside the domain"]).startswith("acceleration 2")
    assert printed.count("OUTSIDE the domain of the model: acceleration 2") == 2  # after the volume and at the end
    pages = [(tmp_path / name / "index.html").read_text() for name in ("in", "out")]
    assert ["is outside the domain" in page for page in pages] == [False, True]


def test_the_csv_holds_the_metrics_of_the_saved_model(evaluated, volumes, model, config):
    rows = read_csv(evaluated[0] / "volumes.csv")
    assert [row["volume"] for row in rows] == [path.name for path in volumes]
    recon, params = model_folders.load(model)
    for row, path in zip(rows, volumes):
        with h5py.File(path) as file:
            kspace, target = file["kspace"][()], file["reconstruction_esc"][()]
        mask = config.mask((SIZE, SIZE), path.name)
        image, stats = recon(params, MaskedFourier(jnp.asarray(mask)), jnp.asarray(mask * kspace))
        image, zero_filled = np.abs(np.asarray(image)), np.abs(ifft(mask * kspace)).astype(np.float32)
        for name, metric in (("PSNR", psnr), ("SSIM", ssim), ("NMSE", nmse), ("VIF", vif)):
            assert float(row[name]) == pytest.approx(float(metric(image, target)), rel=1e-4), name
            assert float(row[f"{name} zero-filled"]) == pytest.approx(float(metric(zero_filled, target)), rel=1e-4)
        assert abs(float(row["PSNR"]) - float(row["PSNR zero-filled"])) > 0.01
        assert int(row["slices"]) == 5
        assert float(row["steps"]) == pytest.approx(float(np.mean(stats.num_steps)))
        assert float(row["residual"]) == pytest.approx(float(np.max(stats.residual)), rel=1e-2)
        assert 0 <= float(row["converged"]) <= 1
        assert 0 < float(row["contraction"]) < 1.5


def test_the_page_holds_the_numbers_the_pictures_and_the_command(evaluated, volumes):
    out, arguments = evaluated
    page = (out / "index.html").read_text()
    assert shlex.join(["deqjax", "evaluate", arguments[0], arguments[2], arguments[1]]) in page
    for row in read_csv(out / "volumes.csv"):
        assert row["volume"] in page
        assert f"{float(row['PSNR']):.2f}" in page
    # of each of the two volumes ten pictures: three images and two errors, three insets, mask, phase; and one curve
    assert page.count("data:image/png;base64,") == 2 * 10 + 1
    for word in ("target, the framed part", "phase of the reconstruction", "slice 2", "realised acceleration"):
        assert word in page
    assert " of 10</b><small>slices converged" in page
    names = {"index.html", "volumes.csv", "convergence.png", *(f"{path.stem}.png" for path in volumes)}
    assert {path.name for path in out.iterdir()} == names
    assert "acceleration = 2" in page


def test_the_command_on_the_page_gives_the_same(evaluated, tmp_path, capsys):
    page = (evaluated[0] / "index.html").read_text()
    start = page.index("deqjax evaluate")
    command = shlex.split(page[start : page.index("</pre>", start)])
    again = [part if not part.startswith("--out=") else f"--out={tmp_path / 'again'}" for part in command[2:]]
    succeed("evaluate", again)
    printed = capsys.readouterr().out
    assert f"page: {tmp_path / 'again' / 'index.html'}" in printed
    assert "mean of 2" in printed
    assert (tmp_path / "again" / "volumes.csv").read_text() == (evaluated[0] / "volumes.csv").read_text()


@pytest.mark.slow
def test_overrides_change_the_mask_and_the_solver(model, volumes, tmp_path):
    overrides = ["--mask.acceleration=3", "--inference.type=Picard", "--inference.max_steps=3", "--data.slices=[1, 9]"]
    succeed("evaluate", [str(model), f"--data={volumes[0]}", f"--out={tmp_path / 'out'}", *overrides])
    (row,) = read_csv(tmp_path / "out" / "volumes.csv")
    assert float(row["steps"]) == 3
    assert int(row["slices"]) == 4  # there are five, counted from 0
    volume = evaluated_file(model, volumes[0], "mask.acceleration=3", "data.slices=[1, 9]")
    with h5py.File(volumes[0]) as file:
        kspace = file["kspace"][1:]
    mask = read_mask(model, "mask.acceleration=3")((SIZE, SIZE), volumes[0].name)
    np.testing.assert_allclose(volume.zero_filled, np.abs(ifft(mask * kspace)), atol=1e-5)
    page = (tmp_path / "out" / "index.html").read_text()
    assert "--mask.acceleration=3" in page
    assert "&quot;Picard&quot;" in page


def read_mask(model, *overrides):
    return model_folders.load_config(model, overrides).mask


def test_a_test_file_gives_a_submission_and_no_metrics(model, config, tmp_path):
    kspace = phantom_volume(4, (5, SIZE, SIZE)).kspace
    mask = config.mask((SIZE, SIZE), "any name")
    path = write_volume(
        tmp_path / "files" / "file1.h5",
        mask * kspace,
        mask=mask,
        header=make_header(kspace.shape, (32, 40)),
    )
    succeed("evaluate", [str(model), f"--data={path}", f"--out={tmp_path / 'out'}"])
    (row,) = read_csv(tmp_path / "out" / "volumes.csv")
    assert row["volume"] == "file1.h5"
    assert not [name for name in row if any(metric in name for metric in ("PSNR", "SSIM", "NMSE", "VIF"))]
    assert np.isfinite(float(row["held-out SNR"]))
    assert 0 <= float(row["estimated error"]) < 1
    assert (tmp_path / "out" / "index.html").exists()
    assert (tmp_path / "out" / "file1.png").exists()
    with h5py.File(tmp_path / "out" / "submission" / "file1.h5") as file:
        assert list(file) == ["reconstruction"]
        submitted = file["reconstruction"][()]
    assert submitted.dtype == np.float32
    recon, params = model_folders.load(model)
    image, _ = recon(params, MaskedFourier(jnp.asarray(mask)), jnp.asarray(mask * kspace))
    np.testing.assert_allclose(submitted, np.abs(image)[:, 8:40, 4:44], atol=1e-4)
    # neither the crop nor the noise of the training is for what was measured already
    volume = evaluated_file(model, path, "data.crop=[16, 16]", "data.noise=[0.5, 0.5]")
    assert volume.target is None
    np.testing.assert_allclose(volume.image, submitted, atol=1e-5)
    np.testing.assert_allclose(volume.zero_filled, np.abs(ifft(mask * kspace))[:, 8:40, 4:44], atol=1e-5)


def test_a_file_with_a_header_is_cropped_and_measured_against_its_target(model, config, tmp_path):
    """fastMRI's layout: oversampled readout, columns that were not acquired, and the target in the crop."""
    whole = phantom_volume(6, (3, SIZE, 40)).kspace
    whole[..., :3] = whole[..., 38:] = 0
    target = np.abs(ifft(whole))[:, 12:36, 10:30] * np.float32(1.01)  # not quite what the k-space gives
    header = make_header((SIZE, 35), (24, 20)).replace("<center>17</center>", "<center>17</center>")
    header = header.replace("<y>35</y>", "<y>40</y>")
    path = write_volume(tmp_path / "file2.h5", whole, target, header=header)
    volume = evaluated_file(model, path)
    assert volume.image.shape == volume.zero_filled.shape == (3, 24, 20)
    np.testing.assert_allclose(volume.target, target, rtol=1e-6)
    mask = config.mask((SIZE, 40), "file2.h5", (3, 38))
    assert mask[0, :3].max() == mask[0, 38:].max() == 0
    zero_filled = np.abs(ifft(mask * whole))[:, 12:36, 10:30]
    np.testing.assert_allclose(volume.zero_filled, zero_filled, atol=1e-5)
    assert volume.row["PSNR zero-filled"] == pytest.approx(psnr(zero_filled, target), rel=1e-4)
    assert "VIF" not in volume.row  # 24 x 20 pixels are too few for its windows


def test_cropping_by_the_config(model, volumes):
    volume = evaluated_file(model, volumes[0], f"data.crop=[{SIZE}, 40]")
    assert volume.image.shape == (5, SIZE, 40)
    with h5py.File(volumes[0]) as file:
        expected = np.abs(ifft(file["kspace"][()]))[:, :, 4:44]
    np.testing.assert_allclose(volume.target, expected, atol=1e-5)
    volume = evaluated_file(model, volumes[0], f"data.crop=[{SIZE}, 40]", "data.crop_mode=resolution")
    with h5py.File(volumes[0]) as file:
        expected = np.abs(ifft(file["kspace"][()][:, :, 4:44])) * np.sqrt(40 / SIZE)
    np.testing.assert_allclose(volume.target, expected, atol=1e-5)


@pytest.mark.slow
def test_several_coils(model, tmp_path):
    scan = phantom_volume(8, (2, SIZE, SIZE), coils=3)
    path = write_volume(tmp_path / "file3.h5", scan.kspace, scan.target)
    succeed("evaluate", [str(model), f"--data={path}", f"--out={tmp_path / 'out'}"])
    (row,) = read_csv(tmp_path / "out" / "volumes.csv")
    assert float(row["PSNR zero-filled"]) > 15
    volume = evaluated_file(model, path)
    assert scan.target is not None
    np.testing.assert_allclose(volume.target, scan.target, rtol=1e-6)
    assert volume.image.shape == (2, SIZE, SIZE)
    gap = np.linalg.norm(volume.zero_filled - scan.target) / np.linalg.norm(scan.target)
    assert gap < 0.3
    assert float(row["PSNR"]) == pytest.approx(psnr(volume.image, scan.target), rel=1e-4)


def test_one_slice_of_odd_size(model, config, tmp_path):
    scan = phantom_volume(9, (1, 45, 43))
    path = write_volume(tmp_path / "odd.h5", scan.kspace, scan.target)
    succeed("evaluate", [str(model), f"--data={path}", f"--out={tmp_path / 'out'}"])
    (row,) = read_csv(tmp_path / "out" / "volumes.csv")
    mask = config.mask((45, 43), "odd.h5")
    assert float(row["PSNR zero-filled"]) == pytest.approx(
        psnr(np.abs(ifft(mask * scan.kspace)), scan.target), rel=1e-4
    )
    assert float(row["VIF"]) > 0
    assert (tmp_path / "out" / "odd.png").exists()


def test_the_noise_of_the_config_is_measured_on_sampled_lines(model, config, volumes):
    clean, noisy = evaluated_file(model, volumes[0]), evaluated_file(model, volumes[0], "data.noise=[0, 0.2]")
    np.testing.assert_array_equal(clean.target, noisy.target)
    difference = noisy.zero_filled - clean.zero_filled
    assert 0.02 < np.std(difference) / np.sqrt(np.mean(clean.target**2)) < 0.5
    again = evaluated_file(model, volumes[0], "data.noise=[0, 0.2]")
    np.testing.assert_array_equal(noisy.image, again.image)
    slices = noisy.zero_filled - clean.zero_filled
    assert not np.allclose(slices[0], slices[1])


def test_files_of_one_name_do_not_overwrite_each_other(model, tmp_path):
    """Other formats or folders: each file has its own picture and its own submission."""
    kspace = phantom_volume(4, (1, SIZE, SIZE)).kspace
    mask = np.ones((1, SIZE), np.float32)
    mask[:, ::5] = 0
    write_volume(tmp_path / "files" / "a.h5", mask * kspace, mask=mask)
    write_npz(tmp_path / "files" / "a.npz", kspace)
    write_volume(tmp_path / "files" / "b.h5", kspace)
    succeed("evaluate", [str(model), f"--data={tmp_path / 'files'}", f"--out={tmp_path / 'out'}"])
    assert {path.name for path in (tmp_path / "out").glob("*.png")} == {
        "0-a.png",
        "1-a.png",
        "b.png",
        "convergence.png",
    }
    assert [path.name for path in (tmp_path / "out" / "submission").iterdir()] == ["0-a.h5"]


@pytest.mark.parametrize("write", [write_volume, write_npz])
def test_an_undersampled_file_without_a_mask_is_not_scored_against_itself(write, model, tmp_path):
    kspace = phantom_volume(4, (1, SIZE, SIZE)).kspace
    mask = np.ones((1, SIZE), np.float32)
    mask[:, ::5] = 0
    path = tmp_path / ("a.h5" if write is write_volume else "a.npz")
    write(path, mask * kspace)
    volume = evaluated_file(model, path)
    assert volume.target is None
    assert "PSNR" not in volume.row


def test_batches_do_not_matter(model, volumes):
    recon, params = model_folders.load(model)
    config = model_folders.load_config(model)
    whole = evaluate_file(recon, params, volumes[0], config, batch_size=4)
    other = evaluate_file(recon, params, volumes[0], config, batch_size=5)
    np.testing.assert_allclose(whole.image, other.image, rtol=1e-3, atol=1e-4)
    assert whole.stats.num_steps.shape == other.stats.num_steps.shape == (5,)


def test_the_run_of_a_config_is_found(model, volumes, experiment, tmp_path, monkeypatch):
    """A config stands for the model that its training leaves."""
    monkeypatch.chdir(tmp_path)
    run = Path("runs") / "tiny"
    model_folders.save(run / "model", model_folders.load_config(model), model_folders.load(model)[1], "card")
    succeed("evaluate", [experiment("nowhere")[0], f"--data={volumes[0]}"])
    assert (run / "evaluation" / "index.html").exists()
