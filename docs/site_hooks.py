"""What the build of the documentation site adds: pages of the notebooks, and no links that leave the folder docs."""

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[1]
OUTSIDE = re.compile(r"\[([^\]]*)\]\(\.\./[^)]*\)")


def on_files(files: Any, config: Any, **_: Any) -> Any:
    """Make a page of every notebook of examples/, with the pictures of docs/run_examples.py."""
    for path in sorted((ROOT / "examples").glob("*.py")):
        page = notebook_page(path.read_text(encoding="utf-8"), path.stem)
        files.append(File.generated(config, f"examples/{path.stem}.md", content=page))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Keep the text of links to source files and to the README, which are not part of the site."""
    return OUTSIDE.sub(r"\1", markdown)


def notebook_page(text: str, name: str) -> str:
    """Return the Markdown of a script in the percent format: cells of text as they are, cells of code as blocks."""
    parts, pictures = [], 0
    for cell in text.split("\n# %%")[1:]:
        kind, _, body = cell.partition("\n")
        if "[markdown]" in kind:
            parts.append(re.sub(r"^# ?", "", body, flags=re.MULTILINE))
            continue
        parts.append(f"```python\n{body.strip()}\n```")
        for _ in range(body.count("plt.show()")):
            pictures += 1
            parts.append(picture(name, pictures))
    last = pictures + 1  # a loop shows several pictures
    while (ROOT / "docs" / "examples" / f"{name}-{last}.png").exists():
        parts.append(picture(name, last))
        last += 1
    source = f"The source of this page is `examples/{name}.py`, a script that Jupyter opens with jupytext."
    return "\n\n".join([*parts, source])


def picture(name: str, number: int) -> str:
    """Return the Markdown of one picture of a notebook, or nothing if it was not made."""
    exists = (ROOT / "docs" / "examples" / f"{name}-{number}.png").exists()
    return f"![Picture {number} of the notebook {name}]({name}-{number}.png)" if exists else ""
