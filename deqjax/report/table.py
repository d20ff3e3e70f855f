"""Metrics of each volume: on the terminal and as CSV."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deqjax.atomic_write import atomic_file
from deqjax.report.extra import extra
from deqjax.report.rows import Row, columns_of, format_value, is_number, number_format, summary_of


def metrics_table(rows: Sequence[Row], title: str, means: bool = True, console: Any = None) -> None:
    """Print one line per volume and, below, the mean and standard deviation over volumes.

    Args:
        rows: one dict per volume, as in ``{"volume": "file1000031.h5", "psnr": 31.4, "ssim": 0.91}``; missing is blank.
        title: what was measured.
        means: whether the last line is shown: not for rows that are methods rather than volumes.
        console: a ``rich.console.Console``, default the terminal.

    Raises:
        ImportError: rich is not installed.

    >>> from rich.console import Console
    >>> rows = [{"volume": "a", "psnr": 30.0}, {"volume": "b", "psnr": 32.0}]
    >>> metrics_table(rows, "test", console=Console(force_terminal=False))
            test
    ...
    │ a         │  30.00 │
    │ b         │  32.00 │
    ...
    """
    names, summary = columns_of(rows), summary_of(rows) if means and len(rows) > 1 else {}
    text = extra("rich.text").Text
    table = extra("rich.table").Table(title=text(title), show_footer=bool(summary), footer_style="bold")
    for position, name in enumerate(names):
        numeric = all(is_number(row.get(name)) or row.get(name) is None for row in rows)
        words = ("", "") if position else (f"mean of {len(rows)}", "")
        mean, spread = summary.get(name, words)
        footer = text(f"{mean}\n± {spread}" if spread else mean)
        table.add_column(text(name), footer, justify="right" if numeric else "left", overflow="fold")
    formats = {name: number_format(row.get(name) for row in rows) for name in names}
    for row in rows:
        table.add_row(*(text(format_value(row.get(name), formats[name])) for name in names))
    (console or extra("rich.console").Console()).print(table)


def write_csv(path: str | Path, rows: Sequence[Row]) -> None:
    """Write the rows at full precision, whole or not at all.

    Args:
        path: the file; its folder is made.
        rows: one dict per volume; missing values are empty.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_csv(f"{folder}/test.csv", [{"volume": "a", "psnr": 30.5}])
    ...     print(Path(folder, "test.csv").read_text())
    volume,psnr
    a,30.5
    """
    with atomic_file(path, overwrite=True) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns_of(rows), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
