"""Run the notebooks of examples/ and keep their pictures for the documentation: python docs/run_examples.py [NAME...].

The pictures go to docs/examples/NAME-1.png and so on. docs/site_hooks.py makes a page of each notebook.
"""

import runpy
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt

from deqjax.report.panels import save_figure

ROOT = Path(__file__).resolve().parents[1]


def run_example(path: Path) -> int:
    """Run one notebook, and return the number of pictures that it shows."""
    shown: list[Any] = []

    def show() -> None:
        shown.append(plt.gcf())
        save_figure(plt.gcf(), ROOT / "docs" / "examples" / f"{path.stem}-{len(shown)}.png", 75, "white")
        plt.close("all")

    with mock.patch.object(plt, "show", show):
        runpy.run_path(str(path), run_name="__main__")
    return len(shown)


if __name__ == "__main__":
    for path in sorted((ROOT / "examples").glob("*.py")):
        if not sys.argv[1:] or path.stem in sys.argv[1:]:
            print(f"{path.stem}: {run_example(path)} pictures", flush=True)
