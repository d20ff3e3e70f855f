"""The HTML page: it parses, escapes all text, embeds its pictures, and fits on a phone and on a large screen."""

import base64
import html
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import jax
import numpy as np
import pytest

from deqjax.report import Html, code, comparison, details, headline, html_table, paragraph, picture, write_page

VOID = {"meta", "img", "link", "br"}


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
    parts: list[Html | str] = [html_table(rows), evil, paragraph(evil), code(evil)]
    parts += [details(evil, [headline([(evil, evil, "good")])]), picture(tmp_path / "a.png", evil, evil)]
    write_page(tmp_path / "new" / "index.html", evil, [(evil, parts), ("empty", [])])

    reader = Reader()
    page = (tmp_path / "new" / "index.html").read_text(encoding="utf-8")
    reader.feed(page)
    reader.close()
    assert not reader.open
    assert "script" not in reader.seen
    assert sum(evil in text for text in reader.text) == 13
    assert reader.alternatives == [evil]
    assert [source[:5] for source in reader.sources if not source.startswith("#")] == ["data:", "data:"]  # no network
    source = next(source for source in reader.sources if source.startswith("data:image"))
    assert base64.b64decode(source.removeprefix("data:image/png;base64,")) == (tmp_path / "a.png").read_bytes()
    for word in ("31.25", "mean of 2", "32.00", "1.06"):
        assert word in reader.text
    assert "mean of" not in html_table(rows, means=False).markup
    assert 'name=viewport content="width=device-width' in page


MEASURE = """<script>
const box = (e) => { const r = e.getBoundingClientRect(); return [r.left, r.top, r.right, r.bottom].map(Math.round) }
const boxes = (q) => [...document.querySelectorAll(q)].map(box)
top.document.title = JSON.stringify({inner: innerWidth, scroll: document.documentElement.scrollWidth,
  tiles: boxes(".tiles li"), head: boxes("section:nth-of-type(2) > .wide th"),
  figures: boxes("details[open] .primary figure"), wide: boxes("details:not([open]) table").length})
</script>"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs Debian's chromium")
@pytest.mark.parametrize("width", [390, 1440])
def test_the_page_of_an_evaluation_fits_on_a_phone_and_on_a_large_screen(width, evaluated_page, tmp_path):
    """Measured in Chromium: nothing sticks out, the short table is visible, and a phone stacks the three pictures."""
    page, shot = tmp_path / "index.html", tmp_path / "shot.png"
    inside = html.escape(evaluated_page.read_text().replace("</body>", f"{MEASURE}</body>"))
    page.write_text(f'<title></title><iframe style="width:{width}px; height:900px; border:0" srcdoc="{inside}">')

    def run(option, page):  # the frame makes the page narrower than any window of Chromium can be
        browser = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        command = [*browser, f"--window-size={width},900", option, page.as_uri()]
        return subprocess.run(command, capture_output=True, check=True, timeout=120).stdout.decode()

    run(f"--screenshot={shot}", evaluated_page)
    assert shot.stat().st_size > 10_000
    found = json.loads(html.unescape(re.findall("<title>(.+?)</title>", run("--dump-dom", page))[0]))
    assert found["inner"] == width
    assert found["scroll"] <= width
    assert len(found["tiles"]) == 5
    assert len(found["head"]) == 5  # volume, PSNR, SSIM, evaluations, converged
    assert all(0 <= left < right <= width for left, _, right, _ in found["tiles"] + found["head"])
    assert max(bottom for *_, bottom in found["tiles"]) < 900  # the headline needs no scrolling
    target, reconstruction, error = found["figures"]
    if width == 390:
        assert target[3] <= reconstruction[1] < reconstruction[3] <= error[1]
        assert target[2] - target[0] > 340
    else:
        assert target[1] == reconstruction[1] == error[1]
        assert target[2] < reconstruction[0] < reconstruction[2] < error[0]


@pytest.fixture(scope="module")
def evaluated_page(tmp_path_factory) -> Path:
    """The page of a method without training on two simulated volumes with long names."""
    from deqjax.config import read_config
    from deqjax.data import write_phantoms
    from deqjax.model_folders import inference_method
    from deqjax.run.evaluation import evaluate

    folder = tmp_path_factory.mktemp("page")
    files = write_phantoms(folder / "files", 2, (2, 64, 64), coils=2)
    files = [path.rename(path.with_name(f"a_long_name_of_a_file_<b>_{n}.h5")) for n, path in enumerate(files)]
    config = read_config(Path(__file__).parents[2] / "configs" / "baselines" / "total_variation.toml")
    recon = inference_method(config)
    evaluate(recon, recon.init(jax.random.key(0)), config, files, folder / "out", "deqjax <evaluate>")
    return folder / "out" / "index.html"


def test_only_png_files_are_embedded(tmp_path):
    (tmp_path / "a.png").write_text("<svg>")
    with pytest.raises(ValueError, match="not a PNG"):
        picture(tmp_path / "a.png")
