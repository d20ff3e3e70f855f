"""What the build of the documentation site changes: links that leave the folder docs become plain text."""

import re
from typing import Any

OUTSIDE = re.compile(r"\[([^\]]*)\]\(\.\./[^)]*\)")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Keep the text of links to source files and to the README, which are not part of the site."""
    return OUTSIDE.sub(r"\1", markdown)
