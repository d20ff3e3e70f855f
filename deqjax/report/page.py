"""A self-contained HTML page: pictures are embedded, all text is escaped, and nothing is loaded from a network.

A click on a picture enlarges it without any script: its figure becomes the target of the address.
"""

import base64
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from deqjax.atomic_write import atomic_file
from deqjax.report.table import Row, columns_of, format_value, is_numeric, number_format, summary_of

STYLE = Path(__file__).with_name("page.css")


@dataclass(frozen=True)
class Html:
    """A part of a page that is already HTML markup. Plain strings are escaped."""

    markup: str


Part = Html | str


def paragraph(text: str) -> Html:
    """Return a paragraph of plain text.

    >>> paragraph("2 < 3").markup
    '<p>2 &lt; 3</p>'
    """
    return Html(f"<p>{escape(text)}</p>")


def code(text: str) -> Html:
    """Return a preformatted block, for settings or commands.

    >>> code("python train.py > log").markup
    '<pre>python train.py &gt; log</pre>'
    """
    return Html(f"<pre>{escape(text)}</pre>")


def headline(tiles: Iterable[tuple[str, str, str]]) -> Html:
    """Return the most important results as large numbers, in triples of a label, a value and ``good``, ``bad`` or "".

    >>> headline([("PSNR", "28.0 dB", "good")]).markup
    '<ul class=tiles><li class="good"><b>28.0 dB</b><small>PSNR</small></li></ul>'
    """
    items = (
        f'<li class="{kind}"><b>{escape(value)}</b><small>{escape(label)}</small></li>' for label, value, kind in tiles
    )
    return Html(f"<ul class=tiles>{''.join(items)}</ul>")


def details(summary: str, parts: Iterable[Part], opened: bool = False) -> Html:
    """Return parts that are folded under a line of text until a reader opens them.

    >>> details("more", ["text"]).markup
    '<details><summary>more</summary><p>text</p></details>'
    """
    return Html(f"<details{' open' * opened}><summary>{escape(summary)}</summary>{_markup(parts)}</details>")


def group(kind: str, parts: Iterable[Part]) -> Html:
    """Return pictures side by side: ``primary`` (three), ``secondary`` (four, two on a phone) or ``curves`` (two).

    >>> group("primary", []).markup
    '<div class="primary"></div>'
    """
    return Html(f'<div class="{escape(kind)}">{_markup(parts)}</div>')


def picture(
    source: str | Path | bytes,
    caption: str = "",
    note: str = "",
    *,
    frame: tuple[float, float, float, float] | None = None,
    scale: str = "",
    pixels: bool = False,
) -> Html:
    r"""Return an embedded PNG picture with a caption below it, which is also its alternative text. A click enlarges it.

    Args:
        source: a .png file, or its bytes.
        caption: plain text.
        note: a second line of plain text.
        frame: a rectangle to draw on the picture, (left, top, width, height) as fractions of it.
        scale: ``error`` or ``phase``: the colour scale to draw below.
        pixels: whether the pixels are shown as squares.

    Raises:
        ValueError: the source is not a PNG.

    >>> '<img alt="a" src="data:image/png;base64,iVBORw0KGgo=">' in picture(b"\x89PNG\r\n\x1a\n", "a").markup
    True
    """
    data = source if isinstance(source, bytes) else Path(source).read_bytes()
    if not data.startswith(b"\x89PNG\r\n\x1a\n"):
        raise ValueError(
            f"{'the picture' if isinstance(source, bytes) else source} is not a PNG: write it as .png first"
        )
    name = f"p{hashlib.sha256(data + caption.encode()).hexdigest()[:12]}"
    box = ""
    if frame is not None:
        sides = zip(("left", "top", "width", "height"), frame)
        box = f'<span class=frame style="{";".join(f"{side}:{100 * part:.2f}%" for side, part in sides)}"></span>'
    bar = f'<span class="scale {escape(scale)}"></span>' * bool(scale)
    below = f"<b>{escape(caption)}</b>" * bool(caption) + f"<br>{escape(note)}" * bool(note)
    return Html(
        f"<figure id={name}{' class=pixels' * pixels}><a href=#{name}>"
        f'<img alt="{escape(caption)}" src="data:image/png;base64,{base64.b64encode(data).decode()}">{box}</a>'
        f"<a class=close href=#- title=close>&#10005;</a><figcaption>{below}</figcaption>"
        f"{bar}</figure>"
    )


def html_table(rows: Sequence[Row], means: bool = True) -> Html:
    """Return a table with one line per row.

    Args:
        rows: one dict per line, by column name; a missing value is left blank.
        means: whether the mean and the standard deviation over several rows are written below them. Counts, which are
            integers, have none.

    >>> "<td class=number>30.00</td>" in html_table([{"volume": "a", "psnr": 30.0}]).markup
    True
    """
    names, summary = columns_of(rows), summary_of(rows) if means and len(rows) > 1 else {}

    def line(tag: str, values: Iterable[tuple[str, bool]]) -> str:
        cells = (f"<{tag}{' class=number' if right else ''}>{escape(text)}</{tag}>" for text, right in values)
        return f"<tr>{''.join(cells)}</tr>"

    numeric = [is_numeric(rows, name) for name in names]
    head = line("th", zip(names, numeric))
    formats = {name: number_format(row.get(name) for row in rows) for name in names}
    lines = ([format_value(row.get(name), formats[name]) for name in names] for row in rows)
    body = "".join(line("td", zip(texts, numeric)) for texts in lines)
    foot = ""
    for part, label in enumerate((f"mean of {len(rows)}", "deviation") if summary else ()):
        texts = [summary[name][part] if name in summary else "" for name in names]
        foot += line("td", zip(texts if names[0] in summary else [label, *texts[1:]], numeric))
    return Html(f"<div class=wide><table><thead>{head}</thead><tbody>{body}</tbody><tfoot>{foot}</tfoot></table></div>")


def write_page(path: str | Path, title: str, sections: Iterable[tuple[str, Iterable[Part]]]) -> None:
    """Write one self-contained page. The file is written completely or not at all.

    Args:
        path: the .html file; its folder is created.
        title: the title of the page.
        sections: pairs of a heading and its parts, which the other functions of this module return; a plain string
            becomes a paragraph. An empty heading is left out.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_page(f"{folder}/index.html", "Test", [("Result", [html_table([{"psnr": 30.0}]), "At 4x."])])
    ...     Path(folder, "index.html").read_text().count("<h2>Result</h2>")
    1
    """
    body = []
    for heading, parts in sections:
        body.append(f"<section>{f'<h2>{escape(heading)}</h2>' * bool(heading)}{_markup(parts)}</section>")
    page = "\n".join(
        [
            "<!doctype html>",
            "<html lang=en><head><meta charset=utf-8>",
            '<meta name=viewport content="width=device-width, initial-scale=1"><link rel=icon href="data:,">',
            f"<title>{escape(title)}</title><style>{STYLE.read_text(encoding='utf-8')}</style></head>",
            f"<body><h1>{escape(title)}</h1>",
            *body,
            "</body></html>",
        ]
    )
    with atomic_file(path, overwrite=True) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _markup(parts: Iterable[Part]) -> str:
    return "\n".join(part.markup if isinstance(part, Html) else paragraph(part).markup for part in parts)
