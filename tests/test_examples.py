"""The notebooks of examples/ run from top to bottom. They are Python scripts in the percent format of jupytext."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def test_there_are_six_and_each_has_text_and_code() -> None:
    assert len(EXAMPLES) == 6
    for path in EXAMPLES:
        text = path.read_text(encoding="utf-8")
        assert text.count("# %% [markdown]\n# ") >= 2, path
        assert text.count("\n# %%\n") >= 2, path


@pytest.mark.slow
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(path: Path, tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "MPLBACKEND": "agg"}
    command = [sys.executable, str(path)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stderr[-3000:]
