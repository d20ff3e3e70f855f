"""The benchmarks: every file can be imported, explains itself, and describes its command line."""

import ast
import contextlib
import importlib
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"
FILES = sorted(FOLDER.glob("*.py"))
OPTIONAL = ("torch", "sigpy")
"""Packages that a benchmark may need and a test environment may lack."""


def is_script(path: Path) -> bool:
    return 'if __name__ == "__main__":' in path.read_text()


def uses_argparse(path: Path) -> bool:
    return "ArgumentParser(" in path.read_text()


@contextlib.contextmanager
def skip_without_optional_packages(path: Path) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in OPTIONAL:
            raise
        pytest.skip(f"{path.name} needs {package}: pip install {package}")


@pytest.fixture
def benchmark_path(monkeypatch):
    """Let benchmarks import one another, as when Python runs a file of their folder; forget the modules afterwards."""
    monkeypatch.syspath_prepend(str(FOLDER))
    names = [path.stem for path in FILES]
    for name in names:
        sys.modules.pop(name, None)
    yield
    for name in names:
        sys.modules.pop(name, None)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_import_of_a_benchmark_runs_nothing(path, benchmark_path, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(path), "--no-such-option"])
    with skip_without_optional_packages(path):
        importlib.import_module(path.stem)
    output = capsys.readouterr()
    assert output.out == output.err == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_docstring_says_what_is_measured_and_names_the_command(path):
    docstring = ast.get_docstring(ast.parse(path.read_text()))
    assert docstring, f"{path.name} has no docstring"
    first, *rest = docstring.splitlines()
    assert len(first.partition(": python ")[0].split()) > 3, f"the first line does not describe the file: {first!r}"
    assert not rest or rest[0] == "", "a blank line follows the first line"
    if is_script(path):
        assert f"benchmarks/{path.name}" in docstring


@pytest.mark.parametrize("path", [path for path in FILES if uses_argparse(path)], ids=lambda path: path.name)
def test_help_prints_the_docstring(path, benchmark_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [str(path), "--help"])
    with skip_without_optional_packages(path), pytest.raises(SystemExit) as finished:
        runpy.run_path(str(path), run_name="__main__")
    assert finished.value.code == 0
    docstring = ast.get_docstring(ast.parse(path.read_text())) or "no docstring"
    assert docstring.splitlines()[0] in capsys.readouterr().out
