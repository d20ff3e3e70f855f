"""The HTML page: it parses, escapes all text and embeds its pictures."""

import base64
from html.parser import HTMLParser

import numpy as np
import pytest

from deqjax.report import Html, code, comparison, html_table, paragraph, picture, write_page

VOID = {"meta", "img"}


class Reader(HTMLParser):
    """Check that tags nest, and collect text and pictures."""

    def __init__(self):
        super().__init__()
        self.open, self.text, self.sources, self.seen, self.alternatives = [], [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        self.alternatives += [value for name, value in attrs if name == "alt"]
        self.sources += [value for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_the_page_is_self_contained_and_escapes_all_text(tmp_path):
    evil = "<script>alert('x')</script> & \"quotes\""
    comparison(tmp_path / "a.png", {"target": np.eye(8)})
    rows = [{evil: evil, "psnr": 31.25}, {evil: "b", "psnr": 32.75}]
    parts: list[Html | str] = [html_table(rows), evil, paragraph(evil), code(evil), picture(tmp_path / "a.png", evil)]
    write_page(tmp_path / "new" / "index.html", evil, [(evil, parts), ("empty", [])])

    reader = Reader()
    page = (tmp_path / "new" / "index.html").read_text(encoding="utf-8")
    reader.feed(page)
    reader.close()
    assert not reader.open
    assert "script" not in reader.seen
    assert sum(evil in text for text in reader.text) == 9
    assert reader.alternatives == [evil]
    (source,) = reader.sources
    assert base64.b64decode(source.removeprefix("data:image/png;base64,")) == (tmp_path / "a.png").read_bytes()
    for word in ("31.25", "mean of 2", "32.00", "1.06"):
        assert word in reader.text
    assert "mean of" not in html_table(rows, means=False).markup
    assert 'name=viewport content="width=device-width' in page


def test_only_png_files_are_embedded(tmp_path):
    (tmp_path / "a.png").write_text("<svg>")
    with pytest.raises(ValueError, match="not a PNG"):
        picture(tmp_path / "a.png")
