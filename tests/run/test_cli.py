"""The command deqjax: its help, its exit codes, its small commands, and the two ways to write an option."""

import argparse
import subprocess
import sys

import numpy as np
import pytest
from commands import refusal, succeed

import deqjax
from deqjax.data import write_phantoms
from deqjax.run import cli, find_config, shipped_configs
from deqjax.run.cli import main, make_parser


def commands() -> dict[str, argparse.ArgumentParser]:
    """The subparsers by the names of their commands."""
    (found,) = (action for action in make_parser()._actions if isinstance(action, argparse._SubParsersAction))
    return found.choices


@pytest.mark.parametrize("name", list(commands()))
def test_every_command_has_a_help_that_ends_well(name, capsys):
    with pytest.raises(SystemExit) as caught:
        main([name, "--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: deqjax {name}")
    described = text.split("\n\n")[1]
    assert described[0].isupper()
    assert described.rstrip().endswith((".", "="))
    assert len(commands()[name]._actions) == 1 or "example" in text


def test_the_help_of_the_command_names_all_commands_and_exit_codes(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert all(name in text for name in commands())
    assert "130 interrupted" in text


def test_an_option_is_written_with_a_space_or_an_equals_sign(tmp_path, capsys):
    one, other = tmp_path / "one.npy", tmp_path / "other.npy"
    succeed("masks", ["CartesianRandom", "--shape", "32", "48", "--mask.acceleration=3", f"--out={one}"])
    succeed("masks", ["CartesianRandom", "--shape", "32", "48", "--mask.acceleration", "3", "--out", str(other)])
    np.testing.assert_array_equal(np.load(one), np.load(other))
    assert np.load(one).shape == (1, 48)
    assert "realised acceleration" in capsys.readouterr().out
    assert "exists and is not overwritten" in refusal("masks", ["CartesianRandom", f"--out={one}"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["models", "--seed=1"], "unrecognized arguments: --seed=1"),
        (["train", "quickstart", "--verbose"], "unrecognized arguments: --verbose"),
        (["info"], "the following arguments are required: FILE"),
        (["masks", "--shape", "a"], "invalid int value"),
    ],
)
def test_wrong_use(arguments, words, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == cli.WRONG_USE
    assert words in capsys.readouterr().err


def test_a_failure_is_one_line_and_exit_code_1():
    assert "no such config file" in refusal("train", ["nothing.toml"])
    assert "quickstart" in refusal("train", ["quickstrat"])
    assert "not a model folder" in refusal("evaluate", ["nothing"])
    assert "no such file" in refusal("info", ["nothing.h5"])
    assert 'needs type = "NAME"' in refusal("masks", ["Nothing"])


@pytest.mark.parametrize("error", [OSError("no space left on device"), ImportError("install this"), ValueError("a\nb")])
def test_every_expected_error_is_one_line(error, monkeypatch, capsys):
    def fail(_):
        raise error

    monkeypatch.setattr(cli.reconstruction_commands, "list_models", fail)
    assert main(["models"]) == cli.FAILED
    assert capsys.readouterr().err == f"error: {' '.join(str(error).split())}\n"


def test_an_interrupt_says_how_to_go_on(monkeypatch, capsys):
    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.reconstruction_commands, "train_config", interrupt)
    assert main(["train", "quickstart", "--out", "a b"]) == cli.INTERRUPTED
    assert capsys.readouterr().err == "interrupted; to go on, run again: deqjax train quickstart --out 'a b'\n"


def test_info_describes_files(tmp_path, capsys):
    write_phantoms(tmp_path, 2, (3, 16, 16), coils=2)
    succeed("info", [str(tmp_path)])
    lines = capsys.readouterr().out.splitlines()
    assert sum("3 slices, 2 coils, 16 x 16" in line for line in lines) == 2
    assert sum("It is fully sampled" in line for line in lines) == 2
    assert sum("coil sensitivities are estimated" in line for line in lines) == 2


def test_configs_are_found_by_name(tmp_path, capsys):
    succeed("configs", [])
    assert capsys.readouterr().out.split() == shipped_configs()
    for name in (
        "quickstart",
        "baselines/total_variation",
        "baselines/total_variation.toml",
        "configs/quickstart.toml",
    ):
        assert find_config(name).is_file()
    own = tmp_path / "quickstart"
    own.write_text("")
    assert find_config(own) == own


@pytest.mark.parametrize(
    "command",
    [["-m", "deqjax"], pytest.param(["-c", "from deqjax.__main__ import run; run()"], marks=pytest.mark.slow)],
)
def test_the_module_is_the_command(command):
    done = subprocess.run([sys.executable, *command, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"deqjax {deqjax.__version__}\n"
