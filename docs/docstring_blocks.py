"""How the docstrings appear on the documentation site: examples become blocks of code, and roles become plain names."""

import re
from typing import Any

import griffe

ROLE = re.compile(r":\w+:`~?([^`]+)`")


class DocstringBlocks(griffe.Extension):
    """Fence every paragraph that starts with ``>>>``; otherwise Markdown takes it for a quotation."""

    def on_package(self, *, pkg: Any, **_: Any) -> None:
        """Change the docstrings of a package after it was read."""
        _change(pkg)


def _change(part: Any) -> None:
    if part.is_alias:
        return
    if part.docstring is not None:
        text = ROLE.sub(r"`\1`", part.docstring.value).replace(
            "] [", "]\N{WORD JOINER} ["
        )  # else a link: [batch,] [coil,]
        part.docstring.value = fenced(text)
    for member in part.members.values():
        _change(member)


def fenced(text: str) -> str:
    """Return a docstring with its examples between fences."""
    paragraphs = []
    for paragraph in text.split("\n\n"):
        indent = paragraph[: len(paragraph) - len(paragraph.lstrip())]
        example = paragraph.lstrip().startswith(">>>")
        paragraphs.append(f"{indent}```pycon\n{paragraph.rstrip()}\n{indent}```\n" if example else paragraph)
    return "\n\n".join(paragraphs)
