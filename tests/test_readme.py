"""The Python blocks of the README and of docs run as they are printed, in one namespace a page, without any file."""

import re
from pathlib import Path
from typing import Any

import pytest

from deqjax.run.cli import make_parser

ROOT = Path(__file__).parents[1]
PAGES = ["conventions", "equilibrium", "classical", "reconstruct", "solvers", "train", "uncertainty", "without_targets"]
FENCED = r"^```(\w*)[^\n]*\n(.*?)^```$"


def python_blocks(text: str) -> list[tuple[int, str]]:
    """The fenced Python blocks of a Markdown text, each with the number of its first line."""
    found = re.finditer(r"^```python[^\n]*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [(text.count("\n", 0, match.start(1)) + 1, match[1]) for match in found]


def run(page: Path, blocks: list[tuple[int, str]]) -> None:
    namespace: dict[str, Any] = {"__name__": "page"}
    for line, source in blocks:
        exec(compile("\n" * (line - 1) + source, str(page), "exec"), namespace)  # errors name the line of the page
        if "stats" in source:
            assert bool(namespace["stats"].converged.all()), f"{page.name}:{line} does not converge"


def test_the_blocks_run_without_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = ROOT / "README.md"
    blocks = python_blocks(page.read_text(encoding="utf-8"))
    assert len(blocks) >= 4
    monkeypatch.chdir(tmp_path)
    run(page, blocks)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES)
def test_the_blocks_of_a_page_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = ROOT / "docs" / f"{name}.md"
    monkeypatch.chdir(tmp_path)
    run(page, python_blocks(page.read_text(encoding="utf-8")))
    assert not list(tmp_path.iterdir())


def test_the_commands_in_the_readme_and_in_docs_are_valid() -> None:
    commands = [
        line.split("#")[0].split()
        for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
        for language, block in re.findall(FENCED, path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
        if not language
        for line in re.findall(r"^deqjax (.*)$", block, re.MULTILINE)
    ]
    assert len(commands) > 15
    for command in commands:
        make_parser().parse_known_args(command)
