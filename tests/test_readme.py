"""The Python blocks of the README run as they are printed, in one namespace, without any file."""

import re
from pathlib import Path
from typing import Any

import pytest

README = Path(__file__).parents[1] / "README.md"


def python_blocks(text: str) -> list[tuple[int, str]]:
    """The fenced Python blocks of a Markdown text, each with the number of its first line."""
    found = re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [(text.count("\n", 0, match.start(1)) + 1, match[1]) for match in found]


def test_the_blocks_run_without_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = python_blocks(README.read_text(encoding="utf-8"))
    assert len(blocks) >= 4
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {}
    for line, source in blocks:
        exec(compile("\n" * (line - 1) + source, str(README), "exec"), namespace)  # errors name the line of the README
        if "stats" in source:
            assert bool(namespace["stats"].converged.all()), f"README.md:{line} does not converge"
    assert not list(tmp_path.iterdir())
