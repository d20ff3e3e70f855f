"""Bad input of the commands: one line that says what is wrong, an exit code, and nothing is written."""

import shutil

import h5py
import numpy as np
import pytest
from commands import refusal

from deqjax import model_folders
from deqjax.data import phantom_volume, write_phantoms, write_volume
from deqjax.run.cli import main


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """Two good files."""
    return write_phantoms(tmp_path_factory.mktemp("good"), 2, (2, 32, 32), seed=5)


@pytest.fixture(scope="module")
def model(experiment, tmp_path_factory):
    """A model folder that nothing trained."""
    from deqjax.config import read_config

    config = read_config(*split(experiment("nowhere")))
    folder = tmp_path_factory.mktemp("models") / "model"
    import jax

    params = model_folders.method_of(config).init(jax.random.key(0))
    return model_folders.save(folder, config, params, "card")


def split(arguments):
    return arguments[0], arguments[1:]


def kspace(shape=(2, 32, 32)):
    return phantom_volume(3, shape).kspace


def raw(path, **datasets):
    with h5py.File(path, "w") as file:
        for name, value in datasets.items():
            file[name] = value
    return path


def missing(path):
    return path


def truncated(path):
    write_volume(path, kspace((8, 32, 32)))
    path.write_bytes(path.read_bytes()[:4000])
    return path


def text(path):
    path.write_text("this is no HDF5 file")
    return path


def without_kspace(path):
    return raw(path, reconstruction_esc=np.zeros((2, 32, 32), np.float32))


def wrong_rank(path):
    return raw(path, kspace=kspace()[0])


def real(path):
    return raw(path, kspace=np.abs(kspace()))


def with_nan(path):
    data = kspace()
    data[1, 7, 9] = np.nan
    return raw(path, kspace=data)


def wrong_mask(path):
    return raw(path, kspace=kspace(), mask=np.ones(31, np.float32))


BAD = {
    "missing": (missing, "no such file"),
    "truncated": (truncated, "truncated, or not an HDF5 file"),
    "text": (text, "truncated, or not an HDF5 file"),
    "without kspace": (without_kspace, "no dataset 'kspace'"),
    "wrong rank": (wrong_rank, "'kspace' has shape (32, 32)"),
    "real": (real, "must be complex"),
    "NaN": (with_nan, "NaN or infinity in the k-space of slices 1 to 1"),
}


@pytest.mark.parametrize("section", ["train", "val"])
@pytest.mark.parametrize("kind", list(BAD))
def test_training_on_a_bad_file(kind, section, good, experiment, tmp_path):
    make, words = BAD[kind]
    bad, out = make(tmp_path / "bad.h5"), tmp_path / "out"
    other = "val" if section == "train" else "train"
    message = refusal("train", experiment(out, f"--data.{section}={bad}", f"--data.{other}={good[0]}"))
    assert words in message
    assert str(bad) in message
    assert not out.exists()


@pytest.mark.parametrize("kind", [*BAD, "wrong mask"])
def test_evaluating_a_bad_file(kind, model, good, tmp_path, contents):
    make, words = BAD.get(kind, (wrong_mask, "'mask' has shape (31,), but 'kspace' has 32 columns"))
    folder = tmp_path / "files"
    folder.mkdir()
    shutil.copy(good[0], folder / "a.h5")
    bad, before = make(folder / "bad.h5"), contents(model)
    files = bad if kind == "missing" else folder  # a good file goes before
    message = refusal("evaluate", [str(model), f"--data={files}", f"--out={tmp_path / 'out'}"])
    assert (words.replace("slices 1 to 1", "slices 0 to 1")) in message
    assert str(bad) in message
    assert {path.name for path in tmp_path.iterdir()} == {"files"}
    assert contents(model) == before


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("--phase.train.step=3", "unknown key phase.train.step; did you mean phase.train.steps?"),
        ("--train.steps=many", "train.steps must be int"),
        ("--phase.trial.steps=3", "there is no 'trial'; the names are ['pretrain', 'train']"),
        ("--mask.acceleration=0.5", "acceleration must be a number of at least 1, got 0.5"),
        ("--mask.acceleration=20", "acceleration 20 of 32 lines"),
        ("--map.net.layers=1", "layers >= 2"),
        ("--data.crop=[64, 64]", "data.crop"),
        ("--data.slices=[7, 9]", "none of the slices 7 to 9"),
        ("--train.batch_size=0", "batch_size must be at least 1"),
        ("--train.init_from=nowhere", "nowhere"),
        ("--seed=-1", "seed"),
        ("--data.train=nowhere/*.h5", "no file matches"),
    ],
)
def test_a_config_that_cannot_be_trained(override, words, experiment, tmp_path):
    out = tmp_path / "out"
    assert words in refusal("train", experiment(out, override))
    assert list(tmp_path.iterdir()) == []


def test_a_model_of_another_architecture_is_no_start(model, experiment, tmp_path):
    overrides = f"train.init_from={model}", "map.net.features=5"
    message = refusal("train", experiment(tmp_path / "out", *overrides))
    assert "another architecture" in message
    assert str(model) in message
    assert list(tmp_path.iterdir()) == []


def test_slices_with_and_without_coils_are_not_mixed(good, experiment, tmp_path):
    coils = write_volume(tmp_path / "coils.h5", phantom_volume(3, (2, 32, 32), coils=2).kspace)
    shutil.copy(good[0], tmp_path / "none.h5")
    assert str(coils) in refusal("train", experiment(tmp_path / "out", f"--data.train={tmp_path / '*.h5'}"))
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_an_output_folder_that_holds_another_run(finished, experiment, tmp_path, contents):
    out = tmp_path / "run"
    shutil.copytree(finished, out)
    before = contents(out)
    assert f"{out}: holds another run" in refusal("train", experiment(out))  # the folder is part of the config
    assert "holds another run" in refusal("train", experiment(out, "seed=1"))
    assert contents(out) == before
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("years of work")
    before = contents(other)
    assert f"{other}: holds other files" in refusal("train", experiment(other))
    assert contents(other) == before


def test_an_evaluation_that_exists(model, good, tmp_path, contents):
    out = tmp_path / "out"
    out.mkdir()
    (out / "volumes.csv").write_text("earlier")
    before = contents(out)
    message = refusal("evaluate", [str(model), f"--data={good[0]}", f"--out={out}"])
    assert f"{out}: holds other results" in message
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["{model}/nothing"], "not a model folder"),
        (["{model}", "--mask.accelerations=8"], "unknown key mask.accelerations; did you mean mask.acceleration?"),
        (["{model}", "--map.net.features=5"], "another architecture"),
        (["{model}", "--mask.acceleration=0.5"], "at least 1"),
        (["{model}", "--data.slices=[5, 9]"], "none of the slices 5 to 9"),
    ],
)
def test_an_evaluation_that_cannot_be(arguments, words, model, good, tmp_path):
    arguments = [argument.format(model=model) for argument in arguments]
    message = refusal("evaluate", [*arguments, f"--data={good[0]}", f"--out={tmp_path / 'out'}"])
    assert words in message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments", [[], ["train"], ["train", "--out=x"], ["evaluate"], ["evaluate", "one", "two"], ["no"]]
)
def test_wrong_use_shows_the_usage_and_exits_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: deqjax" in capsys.readouterr().err


@pytest.mark.slow
def test_the_scripts_exit_with_one_line(run, experiment, model, tmp_path):
    """As a user sees it: an exit code and a line on standard error, no traceback."""
    bad, out = truncated(tmp_path / "bad.h5"), tmp_path / "out"
    for arguments in (
        ["train.py", *experiment(out, f"--data.train={bad}")],
        ["evaluate.py", str(model), f"--data={bad}", f"--out={out}"],
    ):
        done = run(*arguments, code=1)
        (line,) = done.stderr.splitlines()
        assert line.startswith(f"error: {bad}: truncated, or not an HDF5 file")
        assert done.stdout.count("\n") <= 1, "nothing but the line that an evaluation begins with"
        assert not out.exists()
