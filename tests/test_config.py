"""Configs: every shipped one comes back equal; overrides; whatever is wrong is named, with its file and key."""

import dataclasses
import math
import tomllib
from pathlib import Path

import pytest

from deqjax import implicit, losses, maps, masks, nets, solvers
from deqjax.config import Config, read_config
from deqjax.toml_settings import to_table, to_toml

ROOT = Path(__file__).parents[1]
SHIPPED = sorted((ROOT / "configs").rglob("*.toml"))
PLAN = tomllib.loads((ROOT / "benchmarks/experiments.toml").read_text())

TEXT = """
title = "a title"
seed = 3

[data]
slices = [1, 3]

[mask]
type = "CartesianRandom"
acceleration = 2

[map]
type = "HalfQuadratic"
penalty = 1

[map.net]
type = "DnCNN"
layers = 3
features = 4

[solver]
type = "Anderson"
history = 3
rtol = 1e-3

[adjoint]
type = "Implicit"
nan_above = inf
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "some.toml"
    path.write_text(TEXT)
    return path


def refused(path, *overrides) -> str:
    """The message with which a config is refused; it is one line."""
    with pytest.raises(ValueError, match=r".") as caught:
        read_config(path, overrides)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def written(tmp_path, text) -> Path:
    path = tmp_path / "bad.toml"
    path.write_text(text)
    return path


def test_what_is_written_is_read(file):
    config = read_config(file)
    assert config.title == "a title"
    assert config.data.slices == (1, 3)
    assert config.mask == masks.CartesianRandom(acceleration=2)
    assert config.map == maps.HalfQuadratic(nets.DnCNN(layers=3, features=4), penalty=1.0)
    assert isinstance(config.map.penalty, float)  # an int is read as a float where a float is wanted
    assert config.solver == solvers.Anderson(history=3, rtol=1e-3)
    assert config.adjoint == implicit.Implicit(nan_above=math.inf)
    assert config.loss == losses.MSE()
    assert config.inference is None


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_configs_come_back_equal(path, tmp_path):
    config = read_config(path)
    text = to_toml(to_table(config))
    again = read_config(written(tmp_path, text))
    assert again == config
    assert to_toml(to_table(again)) == text
    assert hash(again) == hash(config)


def test_there_are_the_configs_that_are_promised():
    promised = {"quickstart", "gilton_deprox_4x", "gilton_deprox_8x", "gilton_degrad_4x", "hqs_4x"}
    assert promised | {"thesis_mse_8x", "thesis_perp_8x"} <= {path.stem for path in SHIPPED}


@pytest.mark.parametrize("changes", PLAN["experiment"].values(), ids=PLAN["experiment"])
def test_every_experiment_is_an_experiment_and_changes_something(changes):
    as_it_is = read_config(ROOT / PLAN["config"], PLAN["overrides"])
    assert (read_config(ROOT / PLAN["config"], [*PLAN["overrides"], *changes]) == as_it_is) is (changes == [])


@pytest.mark.parametrize(
    ("module", "key", "more"),
    [
        (masks, "mask", {}),
        (maps, "map", {"net": {"type": "DnCNN"}}),
        (nets, "map.net", {}),
        (solvers, "solver", {}),
        (implicit, "adjoint", {}),
        (losses, "loss", {}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_every_exported_setting_is_a_name_in_toml(file, tmp_path, module, key, more):
    exported = [getattr(module, name) for name in module.__all__]
    choices = [cls for cls in exported if isinstance(cls, type) and dataclasses.is_dataclass(cls)]
    names = [cls.__name__ for cls in choices if cls.__name__ not in ("Stats",)]
    assert names
    for name in names:
        classical = name in ("FISTA", "PrimalDual")
        wanted = {"prior": {"type": "TotalVariation"}} if classical else more
        sets = [f"{key}.type={name}", *(f"{key}.{k}.{kk}={vv}" for k, v in wanted.items() for kk, vv in v.items())]
        config = read_config(file, sets)
        value = config
        for part in key.split("."):
            value = getattr(value, part)
        assert type(value).__name__ == name
        assert read_config(written(tmp_path, to_toml(to_table(config)))) == config


def test_strings_with_quotes_and_breaks_come_back(file, tmp_path):
    config = dataclasses.replace(read_config(file), title='a "b" \\ c\nd = [1]\té', paper="# no comment")
    assert read_config(written(tmp_path, to_toml(to_table(config)))) == config


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("--solver.rtol=1e-2", "solver.rtol", 1e-2),
        ("solver.rtol=1e-2", "solver.rtol", 1e-2),
        ("--train.steps=7", "train.steps", 7),
        ("--train.learning_rate=1", "train.learning_rate", 1.0),
        ("--adjoint.nan_above=inf", "adjoint.nan_above", math.inf),
        ("--map.net.features=8", "map.net.features", 8),
        ("--map.learn_penalty=true", "map.learn_penalty", True),
        ("--data.train=some/folder/*.h5", "data.train", "some/folder/*.h5"),
        ("--data.train=a=b", "data.train", "a=b"),
        ('--title="7"', "title", "7"),
        ("--out=runs/x", "out", "runs/x"),
        ("--data.noise=[0, 0.5]", "data.noise", (0, 0.5)),
        ("--data.phantoms.shape=[2, 16, 16]", "data.phantoms.shape", (2, 16, 16)),
        ("--mask.acceleration=[4, 8]", "mask.acceleration", (4, 8)),
        ("--train.parallel=pmap", "train.parallel", "pmap"),
    ],
)
def test_overrides(file, override, key, value):
    overrides = [override, "mask.center_fraction=[0.08, 0.04]"] if "[4, 8]" in override else [override]
    found = read_config(file, overrides)
    for part in key.split("."):
        found = getattr(found, part)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("order", [1, -1])
def test_an_override_of_the_type_keeps_what_both_types_have(file, order):
    overrides = ["--solver.type=Picard", "--solver.max_steps=9"][::order]
    assert read_config(file, overrides).solver == solvers.Picard(max_steps=9, rtol=1e-3)
    assert read_config(file, ["mask.type=CartesianMagic"]).mask == masks.CartesianMagic(acceleration=2)
    assert read_config(file, ["inference.type=Broyden"]).inference == solvers.Broyden()


def test_false_leaves_out_what_may_be_left_out_and_nothing_else(file):
    given = ["start.type=UNet", "inference.type=Picard", "finish.type=HalfQuadratic"]
    given += ["finish.net.type=UNet", "finish.penalty=0.3"]
    config = read_config(file, given)
    assert config.start == nets.UNet()
    assert config.finish == maps.HalfQuadratic(nets.UNet(), penalty=0.3)
    without = read_config(file, [*given, "start=false", "finish=false", "inference=false", "data.slices=false"])
    assert without.start is without.finish is without.inference is without.data.slices is None
    message = refused(file, "solver=false")
    assert 'solver needs type = "NAME"' in message
    assert "Picard" in message
    assert "Stats" not in message  # no setting


def test_an_unknown_key_is_named_with_its_close_match(file, tmp_path):
    message = refused(file, "--solver.max_step=3")
    assert str(file) in message
    assert "unknown key solver.max_step;" in message
    assert "solver.max_steps?" in message
    message = refused(file, "--train.qqq=3")
    assert "train.qqq" in message
    assert "learning_rate" in message
    message = refused(written(tmp_path, TEXT + "\n[trian]\nsteps = 3\n"))
    assert "unknown key trian" in message
    assert "did you mean train?" in message
    assert "map.net.feature" in refused(file, "--map.net.feature=3")


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("train.steps=1.5", ["train.steps", "int", "1.5"]),
        ("train.steps=true", ["train.steps", "int", "True"]),
        ("train.steps=many", ["train.steps", "int", "'many'"]),
        ("train.learning_rate=true", ["train.learning_rate", "float", "True"]),
        ("train.learning_rate=fast", ["train.learning_rate", "float"]),
        ("map.learn_penalty=1", ["map.learn_penalty", "bool", "1"]),
        ("title=7", ["title", "str", "7"]),
        ("data.slices=[1]", ["data.slices", "tuple[int, int]"]),
        ("data.slices=[1, 2, 3]", ["data.slices"]),
        ("data.slices=[1, 2.5]", ["data.slices"]),
        ("data.slices=4", ["data.slices"]),
        ("data.noise=[0.1, true]", ["data.noise"]),
        ("data.crop_mode=zoom", ["data.crop_mode", "field_of_view", "resolution", "zoom"]),
        ("train.parallel=threads", ["train.parallel", "shard_map", "pmap"]),
        ("mask.acceleration=fast", ["mask.acceleration"]),
        ("train=3", ["train", "table"]),
        ("solver=Picard", ["solver", "Picard", "Anderson", "type"]),
        ("solver.type=Newton", ["solver", "Newton", "Anderson", "Picard", "Broyden"]),
        ("solver.type=Stats", ["solver"]),
        ("solver.type=3", ["solver"]),
        ("solver.type=[1]", ["solver"]),
        ("map.net.type=HalfQuadratic", ["map.net", "DnCNN"]),
        ("loss.type=MSSE", ["loss", "MSE"]),
        ("mask.acceleration=0.5", ["mask", "acceleration", "at least 1", "0.5"]),
        ("mask.acceleration=nan", ["mask", "acceleration"]),
        ("mask.center_fraction=1.5", ["mask", "center_fraction"]),
        ("train.batch_size=0", ["train", "batch_size", "0"]),
        ("train.steps=-1", ["train", "steps", "-1"]),
        ("train.validate_every=0", ["train", "validate_every"]),
        ("train.checkpoint_every=0", ["train", "checkpoint_every"]),
        ("train.ema=1.5", ["train", "ema", "1.5"]),
        ("train.learning_rate=nan", ["train", "learning_rate"]),
        ("pretrain.batch_size=0", ["pretrain", "batch_size"]),
        ("data.augment.phase=-1", ["data.augment", "phase"]),
    ],
)
def test_a_wrong_value_is_named(file, override, words):
    message = refused(file, override)
    assert str(file) in message
    assert not [word for word in words if word not in message], message


def test_malformed_overrides(file):
    assert "--section.key=value" in refused(file, "--solver.rtol")
    assert "title is a value" in refused(file, "--title.x=3")


def test_files_that_cannot_be_read(tmp_path):
    assert str(tmp_path / "no.toml") in refused(tmp_path / "no.toml")
    assert str(tmp_path) in refused(tmp_path)
    assert "not valid TOML" in refused(written(tmp_path, "title = "))
    (tmp_path / "bad.toml").write_bytes(b"title = '\xff\xfe'")
    assert "not valid TOML" in refused(tmp_path / "bad.toml")


def test_what_is_missing_is_named(tmp_path):
    assert "title" in refused(written(tmp_path, TEXT.replace('title = "a title"', "")))
    assert "map" in refused(written(tmp_path, 'title = "x"'))
    assert "net" in refused(written(tmp_path, 'title = "x"\n[map]\ntype = "HalfQuadratic"\n'))


def test_configs_are_settings(file):
    config = read_config(file)
    assert isinstance(config, Config)
    assert hash(config) == hash(read_config(file))
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.seed = 4
