"""Configs: every shipped one comes back equal; overrides; whatever is wrong is named, with its file and key."""

import dataclasses
import math
import sys
from pathlib import Path

import pytest

from deqjax import implicit, losses, maps, masks, nets, solvers
from deqjax.config import Config, Phase, Trust, read_config, to_toml
from deqjax.jacobian_penalty import JacobianPenalty
from deqjax.objectives import Denoising, Supervised

ROOT = Path(__file__).parents[2]
OTHERS = ("registration", "studies")
SHIPPED = sorted(path for path in (ROOT / "configs").rglob("*.toml") if path.parent.name not in OTHERS)

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

[[phase]]
name = "train"
steps = 5

[phase.objective]
type = "Supervised"
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


def value_at(config, key):
    """The value of a dotted key; an element of a tuple is found by its name."""
    for part in key.split("."):
        named = [element for element in config if element.name == part] if isinstance(config, tuple) else None
        config = named[0] if named else getattr(config, part)
    return config


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
    text = to_toml(config)
    again = read_config(written(tmp_path, text))
    assert again == config
    assert to_toml(again) == text
    assert hash(again) == hash(config)


def test_there_are_the_configs_that_are_promised():
    promised = {"quickstart", "gilton_deprox_4x", "gilton_deprox_8x", "gilton_degrad_4x", "hqs_4x"}
    assert promised | {"thesis_mse_8x", "thesis_perp_8x"} <= {path.stem for path in SHIPPED}


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
        prior = {"prior": {"type": "TotalVariation"}}
        other = {
            "FISTA": prior,
            "PrimalDual": prior,
            "MultiScaleHalfQuadratic": {"net": {"type": "MultiScaleUNet"}},
            "Sequence": {"map": {"type": "PrimalDual", "prior": '{type="TotalVariation"}'}},
        }
        wanted = other.get(name, more)
        sets = [f"{key}.type={name}", *(f"{key}.{k}.{kk}={vv}" for k, v in wanted.items() for kk, vv in v.items())]
        config = read_config(file, sets)
        value = config
        for part in key.split("."):
            value = getattr(value, part)
        assert type(value).__name__ == name
        assert read_config(written(tmp_path, to_toml(config))) == config


def test_strings_with_quotes_and_breaks_come_back(file, tmp_path):
    config = dataclasses.replace(read_config(file), title='a "b" \\ c\nd = [1]\té', paper="# no comment")
    assert read_config(written(tmp_path, to_toml(config))) == config


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("--solver.rtol=1e-2", "solver.rtol", 1e-2),
        ("solver.rtol=1e-2", "solver.rtol", 1e-2),
        ("--phase.train.steps=7", "phase.train.steps", 7),
        ("--phase.0.learning_rate=1", "phase.train.learning_rate", 1.0),
        ("--phase.train.objective.unrolled=3", "phase.train.objective.unrolled", 3),
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
        ("--run.parallel=pmap", "run.parallel", "pmap"),
    ],
)
def test_overrides(file, override, key, value):
    overrides = [override, "mask.center_fraction=[0.08, 0.04]"] if "[4, 8]" in override else [override]
    found = value_at(read_config(file, overrides), key)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("order", [1, -1])
def test_an_override_of_the_type_keeps_what_both_types_have(file, order):
    overrides = ["--solver.type=Picard", "--solver.max_steps=9"][::order]
    assert read_config(file, overrides).solver == solvers.Picard(max_steps=9, rtol=1e-3)
    assert read_config(file, ["mask.type=CartesianMagic"]).mask == masks.CartesianMagic(acceleration=2)
    assert read_config(file, ["inference.type=Broyden"]).inference == solvers.Broyden()


def test_a_table_without_a_type_has_that_of_the_default(tmp_path):
    text = 'title = "x"\n[map]\ntype = "HalfQuadratic"\n[map.net]\ntype = "DnCNN"\n'
    config = read_config(written(tmp_path, text), ["solver.rtol=1e-2", "adjoint.solver.max_steps=3"])
    assert config.solver == solvers.Anderson(rtol=1e-2)
    assert config.adjoint == implicit.Implicit(solver=solvers.Anderson(max_steps=3))
    assert "map needs type" in refused(written(tmp_path, 'title = "x"\n[map]\npenalty = 1\n'))


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
    message = refused(file, "--phase.train.qqq=3")
    assert "phase.train.qqq" in message
    assert "learning_rate" in message
    message = refused(written(tmp_path, TEXT + "\n[rum]\nema = 0.9\n"))
    assert "unknown key rum" in message
    assert "did you mean run?" in message
    assert "map.net.feature" in refused(file, "--map.net.feature=3")


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("phase.train.steps=1.5", ["phase.train.steps", "int", "1.5"]),
        ("phase.train.steps=true", ["phase.train.steps", "int", "True"]),
        ("phase.train.steps=many", ["phase.train.steps", "int", "'many'"]),
        ("phase.train.learning_rate=true", ["phase.train.learning_rate", "float", "True"]),
        ("phase.train.learning_rate=fast", ["phase.train.learning_rate", "float"]),
        ("map.learn_penalty=1", ["map.learn_penalty", "bool", "1"]),
        ("title=7", ["title", "str", "7"]),
        ("data.slices=[1]", ["data.slices", "tuple[int, int]"]),
        ("data.slices=[1, 2, 3]", ["data.slices"]),
        ("data.slices=[1, 2.5]", ["data.slices"]),
        ("data.slices=4", ["data.slices"]),
        ("data.noise=[0.1, true]", ["data.noise"]),
        ("data.crop_mode=zoom", ["data.crop_mode", "field_of_view", "resolution", "zoom"]),
        ("run.parallel=threads", ["run.parallel", "shard_map", "pmap"]),
        ("mask.acceleration=fast", ["mask.acceleration"]),
        *((f"phase.train.clip_norm={value}", ["phase.train", "clip_norm"]) for value in ("-1", "0", "nan")),
        ("phase.train.objective.jacobian.weight=-1", ["weight", "at least 0"]),
        ("phase.train.objective.jacobian.weight=nan", ["weight", "at least 0"]),
        *((f"data.noise={value}", ["data", "noise"]) for value in ("[0.1, 0.05]", "[-0.1, 0.1]", "[0.1, inf]")),
        *((f"data.crop={value}", ["data", "crop"]) for value in ("[0, 5]", "[-1, 5]")),
        *((f"data.slices={value}", ["data", "slices"]) for value in ("[5, 2]", "[-1, 2]")),
        ("data.files=[3, 1]", ["data", "files"]),
        ("run=3", ["run", "table"]),
        ("phase=3", ["phase", "array of tables"]),
        ("phase.train=3", ["phase.train", "section"]),
        ("phase.9.steps=3", ["phase.9.steps", "no '9'", "train"]),
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
        ("phase.train.batch_size=0", ["phase.train", "batch_size", "0"]),
        ("phase.train.steps=-1", ["phase.train", "steps", "-1"]),
        ("run.validate_every=0", ["run", "validate_every"]),
        ("run.checkpoint_every=0", ["run", "checkpoint_every"]),
        ("run.ema=1.5", ["run", "ema", "1.5"]),
        ("phase.train.learning_rate=nan", ["phase.train", "learning_rate"]),
        ("data.augment.phase=-1", ["data.augment", "phase"]),
    ],
)
def test_a_wrong_value_is_named(file, override, words):
    message = refused(file, override)
    assert str(file) in message
    assert not [word for word in words if word not in message], message


OLD = """
[pretrain]
steps = 4
noise = [0.1, 0.3]

[train]
steps = 6
ema = 0.5
init_from = "brain"

[train.jacobian]
weight = 2.0
"""


def test_the_layout_of_version_0_1_is_read(tmp_path):
    plain = TEXT.split("[[phase]]")[0]
    config = read_config(written(tmp_path, plain + OLD))
    penalty = JacobianPenalty(weight=2.0)
    assert config.phase == (
        Phase("pretrain", Denoising((0.1, 0.3)), steps=4),
        Phase("train", Supervised(jacobian=penalty), steps=6),
    )
    assert (config.run.ema, config.run.init_from) == (0.5, "brain")
    unrolled = read_config(written(tmp_path, plain + OLD), ["pretrain.unrolled=3"])
    assert unrolled.phase[0].objective == Supervised(unrolled=3, jacobian=penalty)
    assert read_config(written(tmp_path, plain + "[pretrain]\nbatch_size = 2\n")).phase[0].steps == 0


def test_overrides_of_version_0_1_set_the_phases_of_these_names(file):
    config = read_config(
        file, ["--train.steps=7", "--train.ema=0.5", "--pretrain.steps=3", "--train.jacobian.weight=2"]
    )
    assert [(phase.name, phase.steps) for phase in config.phase] == [("pretrain", 3), ("train", 7)]
    assert config.run.ema == 0.5
    assert config.phase[1].objective == Supervised(jacobian=JacobianPenalty(weight=2.0))
    assert "unknown key phase.train.step" in refused(file, "--train.step=7")


def test_a_phase_is_left_out_with_false_and_two_need_two_names(file, tmp_path):
    assert read_config(file, ["--phase.train=false"]).phase == ()
    assert "'name'" in refused(written(tmp_path, TEXT + "[[phase]]\nsteps = 1\n"))
    assert "name of its own" in refused(written(tmp_path, TEXT + "[[phase]]\nname = 'train'\nsteps = 1\n"))


MODULE = """
from dataclasses import dataclass
import jax.numpy as jnp

@dataclass(frozen=True)
class Halving:
    max_steps: int = 9
    rtol: float = 1e-3
    def init(self, x):
        return ()
    def update(self, x, fx, step, state):
        return (x + fx) / 2, state

@dataclass
class Mutable:
    max_steps: int = 9
    rtol: float = 1e-3
    init = Halving.init
    update = Halving.update

@dataclass(frozen=True)
class Nothing:
    rtol: float = 1e-3

def function():
    pass
"""


def test_a_class_of_the_user_is_named_by_its_module(file, tmp_path):
    (tmp_path / "own_solvers_a.py").write_text(MODULE)
    trust = Trust((str(tmp_path),))
    config = read_config(file, ["solver.type=own_solvers_a:Halving", "solver.max_steps=4"], trust)
    assert type(config.solver).__name__ == "Halving"
    assert config.solver.max_steps == 4
    text = to_toml(config)
    assert 'type = "own_solvers_a:Halving"' in text
    assert read_config(written(tmp_path, text), (), trust) == config


@pytest.mark.parametrize(
    "name",
    [
        "subprocess:Popen",
        "os:system",
        "pathlib:Path",
        "own_solvers_b:Mutable",
        "own_solvers_b:Nothing",
        "own_solvers_b:function",
        "own_solvers_b:Missing",
        "no_such_module:X",
        ":",
        "own_solvers_b:",
        "own_solvers_b:Halving.x",
    ],
)
def test_what_is_not_a_setting_is_refused(file, tmp_path, name):
    (tmp_path / "own_solvers_b.py").write_text(MODULE)
    with pytest.raises(ValueError, match=r"solver.type = .*(is not a Solver|cannot be imported)"):
        read_config(file, [f"solver.type={name}"], Trust((str(tmp_path),)))


def test_nothing_is_imported_without_permission(file, tmp_path, monkeypatch):
    (tmp_path / "own_solvers_c.py").write_text("raise SystemExit('it ran')")
    monkeypatch.syspath_prepend(tmp_path)
    assert "trust_code=True" in refused(file, "solver.type=own_solvers_c:Halving")
    assert "own_solvers_c" not in sys.modules


def test_malformed_overrides(file):
    assert "--section.key=value" in refused(file, "--solver.rtol")
    assert "title is a value" in refused(file, "--title.x=3")


def test_files_that_cannot_be_read(tmp_path):
    assert str(tmp_path / "no.toml") in refused(tmp_path / "no.toml")
    assert str(tmp_path) in refused(tmp_path)
    assert "not valid TOML" in refused(written(tmp_path, "title = "))
    (tmp_path / "bad.toml").write_bytes(b"title = '\xff\xfe'")
    assert "not valid TOML" in refused(tmp_path / "bad.toml")


@pytest.mark.parametrize(
    "title",
    ["a\x00b", "\x1b[31m", "\x7f", "\r\n", "\t", "\u2028", "\\", '"', "'", '"' * 3, "'" * 3, "\ud7ff"],
)
def test_every_title_comes_back(file, tmp_path, title):
    config = dataclasses.replace(read_config(file), title=title)
    assert read_config(written(tmp_path, to_toml(config))) == config


@pytest.mark.parametrize(
    "text",
    [
        "x = " + "[" * 5000 + "]" * 5000,
        "x = " + "{ a = " * 5000 + "1" + " }" * 5000,
        "seed = " + "1" * 5000,
        "seed = 1" + "0" * 100,
        f"seed = {2**63}",
        "[phase]\nname = 'train'",
        "phase = [1, 2]",
        "[[phase]]\nname = 3",
        "[[phase]]\nname = 'a'\nsteps = 1" + "0" * 30,
        "[[solver]]\ntype = 'Picard'",
        "[data]\nslices = [1, 1" + "0" * 30 + "]",
        "[data.noise]\na = 1",
        "[map]\ntype = 'HalfQuadratic'\n[map.net]\ntype = 'DnCNN'\nlayers = 1e400",
    ],
)
def test_extreme_files_are_refused_in_one_line(tmp_path, text):
    refused(written(tmp_path, 'title = "x"\n' + text))


@pytest.mark.parametrize("value", ["[" * 3000, "1" * 5000, "{" * 3000, "\x00", "=", ""])
def test_extreme_overrides_are_refused_in_one_line(file, value):
    refused(file, f"--phase.train.steps={value}")


def test_what_is_missing_is_named(tmp_path):
    assert "title" in refused(written(tmp_path, TEXT.replace('title = "a title"', "")))
    assert "map" in refused(written(tmp_path, 'title = "x"'))
    assert "net" in refused(written(tmp_path, 'title = "x"\n[map]\ntype = "HalfQuadratic"\n'))


def test_configs_are_settings(file):
    config = read_config(file)
    assert isinstance(config, Config)
    assert hash(config) == hash(read_config(file))
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.seed = 4  # type: ignore[misc]
