"""A self-contained HTML page: pictures are embedded, all text is escaped, and the layout suits a phone screen."""

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from deqjax.atomic_write import atomic_file
from deqjax.report.table import Row, columns_of, format_value, is_numeric, number_format, summary_of

STYLE = """
:root { color-scheme: light dark; --line: #d9dce1; --soft: #f4f5f7; --text: #1c2026; --faint: #667080; --back: #fff }
@media (prefers-color-scheme: dark) {
  :root { --line: #363b44; --soft: #1f2329; --text: #e4e7eb; --faint: #98a1ae; --back: #15181c }
}
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 62rem; padding: 1.5rem 1rem 4rem; background: var(--back); color: var(--text);
  font: 16px/1.55 system-ui, sans-serif }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 1.5rem }
h2 { font-size: 1.2rem; margin: 2.5rem 0 .8rem; padding-top: .8rem; border-top: 1px solid var(--line) }
.wide { overflow-x: auto; margin: 1rem 0 }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .92rem }
th, td { padding: .35rem .8rem; text-align: left; border-bottom: 1px solid var(--line); white-space: nowrap }
th { background: var(--soft) } tfoot td { font-weight: 600; border-bottom: 0 }
.number { text-align: right }
figure { margin: 1rem 0 } img { max-width: 100%; height: auto; border-radius: 6px; display: block }
figcaption { color: var(--faint); font-size: .9rem; margin-top: .4rem }
pre { background: var(--soft); border: 1px solid var(--line); border-radius: 6px; padding: .8rem 1rem; overflow-x: auto;
  font: .85rem/1.5 ui-monospace, monospace }
"""


@dataclass(frozen=True)
class Html:
    """A part of a page that is already HTML markup. Plain strings are escaped."""

    markup: str


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


def picture(path: str | Path, caption: str = "") -> Html:
    """Return a PNG file as an embedded picture, with the caption below it and as its alternative text.

    Args:
        path: the .png file.
        caption: plain text.

    Raises:
        ValueError: The file is not a PNG.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "a.png").write_bytes(bytes.fromhex("89504e470d0a1a0a"))
    ...     picture(f"{folder}/a.png").markup
    '<figure><img alt="" src="data:image/png;base64,iVBORw0KGgo="></figure>'
    """
    data = Path(path).read_bytes()
    if not data.startswith(b"\x89PNG\r\n\x1a\n"):
        raise ValueError(f"path {path} is not a PNG file: write the picture as .png first")
    source = base64.b64encode(data).decode()
    below = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return Html(f'<figure><img alt="{escape(caption)}" src="data:image/png;base64,{source}">{below}</figure>')


def html_table(rows: Sequence[Row], means: bool = True) -> Html:
    """Return a table with one line per row.

    Args:
        rows: one dict per line, by column name; a missing value is left blank.
        means: whether the mean and the standard deviation over several rows are written below them.

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


def write_page(path: str | Path, title: str, sections: Iterable[tuple[str, Iterable[Html | str]]]) -> None:
    """Write one self-contained page. The file is written completely or not at all.

    Args:
        path: the .html file; its folder is created.
        title: the title of the page.
        sections: pairs of a heading and its parts, which `paragraph`, `html_table`, `picture` and `code` return; a
            plain string becomes a paragraph.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_page(f"{folder}/index.html", "Test", [("Result", [html_table([{"psnr": 30.0}]), "At 4x."])])
    ...     Path(folder, "index.html").read_text().count("<h2>Result</h2>")
    1
    """
    body = []
    for heading, parts in sections:
        body.append(f"<section><h2>{escape(heading)}</h2>")
        body.extend(part.markup if isinstance(part, Html) else paragraph(part).markup for part in parts)
        body.append("</section>")
    page = "\n".join(
        [
            "<!doctype html>",
            "<html lang=en><head><meta charset=utf-8>",
            '<meta name=viewport content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}</title><style>{STYLE}</style></head>",
            f"<body><h1>{escape(title)}</h1>",
            *body,
            "</body></html>",
        ]
    )
    with atomic_file(path, overwrite=True) as temporary:
        temporary.write_text(page, encoding="utf-8")
