"""A registration network trains through the same loop: config, resume, evaluation, bad input."""

import csv
import json
import signal

import chex
import numpy as np
import pytest
from commands import refusal, succeed

from deqjax.config import to_toml
from deqjax.registration import ImageAttention, regularizers, similarities
from deqjax.registration.objectives import Unsupervised
from deqjax.run import find_config, fit, shipped_configs
from deqjax.run.registration_experiment import (
    REGISTRATION_CHOICES,
    read_registration_config,
    registration_experiment,
)
from deqjax.run.registration_images import Images, read_images

TINY = """
title = "tiny registration"

[data]
align = false

[network]
type = "ImageAttention"
width = 4
radius = 9.0
passes = 1

[inference]
type = "ImageAttention"
width = 4
radius = 9.0

[run]
validate_every = 4
checkpoint_every = 1

[[phase]]
name = "train"
steps = 10
batch_size = 2
learning_rate = 3e-3
"""

KILLED = """
import os, signal, sys
from deqjax.run.cli import main
from deqjax.training import Checkpoints
last = int(sys.argv.pop(1))
save = Checkpoints.save
def save_and_die(self, state, score):
    save(self, state, score)
    if int(state.step) == last:
        self._manager.wait_until_finished()
        os.kill(os.getpid(), signal.SIGKILL)
Checkpoints.save = save_and_die
main(["train", *sys.argv[1:]])
"""


def spots(count: int, size: int = 32) -> np.ndarray:
    """Images of smooth spots, each at places of its own."""
    random, points = np.random.default_rng(0), np.moveaxis(np.indices((size, size)), 0, -1)
    centres = random.uniform(0.3, 0.7, (count, 12, 2)) * size
    return np.exp(-((points - centres[:, :, None, None]) ** 2).sum(-1) / 8).sum(1).astype(np.float32)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("registration")
    (folder / "tiny.toml").write_text(TINY)
    np.savez(folder / "images.npz", images=spots(6))
    return folder


@pytest.fixture(scope="module")
def arguments(files):
    """``arguments(out, *overrides)``: of the command train."""
    images = f"--data.train={files / 'images.npz'}"
    ranges = "--data.train_range=[0, 3]", "--data.val_range=[4, 5]"
    return lambda out, *more: [str(files / "tiny.toml"), images, *ranges, f"--out={out}", *more]


@pytest.fixture(scope="module")
def finished(run, arguments, tmp_path_factory):
    out = tmp_path_factory.mktemp("finished") / "run"
    run("train.py", *arguments(out))
    return out


def params_of(out):
    with np.load(out / "model" / "params.npz") as file:
        return {name: file[name] for name in file.files}


def rows_of(out):
    rows = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if name != "time"} for row in rows]


def test_what_a_run_leaves(finished):
    rows = rows_of(finished)
    assert [row["step"] for row in rows] == list(range(1, 11))
    assert {"loss", "similarity", "regularizer"} <= rows[0].keys()
    assert [row["step"] for row in rows if "validation_ncc" in row] == [4, 8, 10]
    assert all(name.startswith("network/params/") for name in params_of(finished))
    card = (finished / "model" / "README.md").read_text()
    assert f"Validation NCC: {rows[-1]['validation_ncc']:.4f}" in card
    with (finished / "evaluation" / "pairs.csv").open() as file:
        pairs = list(csv.DictReader(file))
    assert np.mean([float(row["NCC"]) for row in pairs]) == pytest.approx(rows[-1]["validation_ncc"], abs=1e-5)
    assert (finished / "training.png").exists()
    assert "tiny registration" in (finished / "evaluation" / "index.html").read_text()


@pytest.mark.slow
def test_a_run_that_is_killed_ends_with_the_same_parameters(run, finished, arguments, tmp_path):
    """Five steps, kill -9, and five more equal ten, bit for bit."""
    out = tmp_path / "run"
    run("-c", KILLED, 5, *arguments(out), code=-signal.SIGKILL)
    assert not (out / "model").exists()
    done = run("train.py", *arguments(out))
    assert done.stdout.splitlines()[1].startswith("step 6/10")
    chex.assert_trees_all_equal(params_of(out), params_of(finished))
    assert rows_of(out) == rows_of(finished)


@pytest.mark.slow
def test_a_model_is_evaluated_with_other_settings(finished, tmp_path):
    out = tmp_path / "other"
    succeed("evaluate", [str(finished / "model"), f"--out={out}", "--inference.passes=3"])
    assert (out / "pairs.csv").read_text() != (finished / "evaluation" / "pairs.csv").read_text()
    assert "holds other results" in refusal("evaluate", [str(finished / "model"), f"--out={out}"])


@pytest.mark.slow
def test_training_in_memory_lowers_the_objective(files):
    overrides = ["phase.train.steps=25", "run.validate_every=100"]
    experiment = registration_experiment(read_registration_config(files / "tiny.toml", overrides), spots(2))
    fitted, again = fit(experiment), fit(experiment)
    losses = [metrics["loss"] for metrics in fitted.history]
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 0.005
    chex.assert_trees_all_equal(fitted.params, again.params)
    assert list(fitted.validation) == ["validation_ncc"]


@pytest.mark.slow
def test_simulated_brains_are_used_without_files(files):
    config = read_registration_config(files / "tiny.toml", ["data.phantoms=3", "data.align=true", "phase.train=false"])
    experiment = registration_experiment(config)
    assert experiment.phases == ()
    assert -1 <= experiment.validate(experiment.params)["validation_ncc"] <= 1


def test_the_config_has_the_names_of_registration(files):
    overrides = ["phase.train.objective.similarity.type=NCC", "phase.train.objective.regularizer.type=Bending"]
    config = read_registration_config(files / "tiny.toml", overrides)
    assert config.network == ImageAttention(width=4, radius=9.0, passes=1)
    assert config.phase[0].objective == Unsupervised(similarities.NCC(), regularizers.Bending())
    assert read_registration_config(files / "tiny.toml").phase[0].objective == Unsupervised()


@pytest.mark.parametrize("name", [name for name in shipped_configs() if name.startswith("registration/")])
def test_shipped_configs_come_back_equal(name, tmp_path):
    config = read_registration_config(find_config(name))
    (tmp_path / "again.toml").write_text(to_toml(config, REGISTRATION_CHOICES))
    assert read_registration_config(tmp_path / "again.toml") == config


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("--network.type=UNet", "network needs type"),
        ("--network.width=many", "network.width must be int"),
        ("--phase.train.objective.type=Supervised", "phase.train.objective needs type"),
        ("--data.train=nowhere.npz", "no such file"),
        ("--data.train_range=[0, 9]", "data.train_range = (0, 9) is not within the 6 images"),
        ("--data.val_range=[3, 2]", "data.val_range"),
        ("--run.spectral_bound=0.9", "leave it 0"),
        ("--run.init_from=brain", "run.init_from"),
        ("--phase.train.objective.overlap=1.0", "overlap needs labels"),
        ("--data.labels=true", "no array 'labels'"),
        ("--solver.type=Picard", "unknown key solver"),
    ],
)
def test_a_config_that_cannot_be_trained(override, words, arguments, tmp_path):
    assert words in refusal("train", arguments(tmp_path / "out", override))
    assert not list(tmp_path.iterdir())


def test_labels_are_numbered_and_come_with_the_images(files, tmp_path):
    labels = np.zeros((6, 32, 32), np.uint16)
    labels[:, 8:16], labels[:, 16:20] = 1012, 17
    np.savez(tmp_path / "labelled.npz", images=spots(6), labels=labels)
    overrides = [f"data.train={tmp_path / 'labelled.npz'}", "data.labels=true", "phase.train.objective.overlap=1.0"]
    config = read_registration_config(files / "tiny.toml", [*overrides, "data.train_range=[0,3]"])
    batch = registration_experiment(config).phases[0].batch(0)
    np.testing.assert_array_equal(batch.fixed_labels[0], np.select([labels[0] == 17, labels[0] == 1012], [1, 2], 0))
    np.savez(tmp_path / "labelled.npz", images=spots(6), labels=labels[:5])
    with pytest.raises(ValueError, match="in the shape"):
        registration_experiment(config)


@pytest.mark.slow
def test_the_images_are_aligned_in_millimetres():
    """With voxels of 2 mm, the copies of an image that are shifted by 3 voxels come back to it."""
    image = spots(1)[0]
    images = np.stack([image, np.roll(image, 3, 0), np.roll(image, -3, 1)])
    training, _, grid, _ = read_images(Images(voxel_size=2.0), images)
    np.testing.assert_allclose(grid.spacing(), 2.0)
    for aligned in training[1:]:
        assert np.abs(aligned - image)[6:-6, 6:-6].max() < 0.05 * image.max()


def test_files_that_are_no_images(arguments, tmp_path):
    np.savez(tmp_path / "other.npz", brains=spots(2))
    assert "no array 'images'" in refusal(
        "train", arguments(tmp_path / "out", f"--data.train={tmp_path / 'other.npz'}")
    )
    (tmp_path / "broken.npz").write_bytes(b"PK")
    message = refusal("train", arguments(tmp_path / "out", f"--data.train={tmp_path / 'broken.npz'}"))
    assert "broken.npz" in message
    np.savez(tmp_path / "one.npz", images=spots(1))
    assert "at least two images" in refusal(
        "train", arguments(tmp_path / "out", f"--data.train={tmp_path / 'one.npz'}")
    )
    assert not (tmp_path / "out").exists()
