"""Tables of results, one row per volume: on the terminal, as CSV, and how their values are formatted."""

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deqjax.atomic_write import atomic_file
from deqjax.report.optional_packages import require

Row = Mapping[str, Any]
"""The results of one volume, by column name."""


def metrics_table(rows: Sequence[Row], title: str, means: bool = True, console: Any = None) -> None:
    """Print one line per volume, and below them the mean and the standard deviation over the volumes.

    Args:
        rows: one dict per volume, such as ``{"volume": "file1000031.h5", "psnr": 31.4, "ssim": 0.91}``; a missing value
            is left blank.
        title: the title of the table.
        means: whether the mean and the deviation are printed; use False for rows that are methods, not volumes.
        console: a ``rich.console.Console``, by default the terminal.

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
    text = require("rich.text").Text
    table = require("rich.table").Table(title=text(title), show_footer=bool(summary), footer_style="bold")
    for position, name in enumerate(names):
        heading = ("", "") if position else (f"mean of {len(rows)}", "")
        mean, spread = summary.get(name, heading)
        footer = text(f"{mean}\n± {spread}" if spread else mean)
        table.add_column(text(name), footer, justify="right" if is_numeric(rows, name) else "left", overflow="fold")
    formats = {name: number_format(row.get(name) for row in rows) for name in names}
    for row in rows:
        table.add_row(*(text(format_value(row.get(name), formats[name])) for name in names))
    (console or require("rich.console").Console()).print(table)


def write_csv(path: str | Path, rows: Sequence[Row]) -> None:
    """Write the rows as CSV at full precision. The file is written completely or not at all.

    Args:
        path: the file; its folder is created.
        rows: one dict per volume; a missing value is left empty.

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


def columns_of(rows: Sequence[Row]) -> list[str]:
    """Return the names of all columns, in the order in which they first appear.

    >>> columns_of([{"volume": "a", "psnr": 30.0}, {"volume": "b", "ssim": 0.9}])
    ['volume', 'psnr', 'ssim']
    """
    return list(dict.fromkeys(name for row in rows for name in row))


def is_number(value: object) -> bool:
    """Return whether a value is one real number, including NumPy and JAX scalars.

    >>> [is_number(value) for value in (1, 2.5, np.float32(1), True, "3", None, [1.0])]
    [True, True, True, False, False, False, False]
    """
    array = np.asarray(value)
    return array.ndim == 0 and array.dtype.kind in "iuf"


def is_numeric(rows: Sequence[Row], name: str) -> bool:
    """Return whether every value of a column that is present is a number.

    >>> is_numeric([{"psnr": 30.0}, {}], "psnr"), is_numeric([{"volume": "a"}], "volume")
    (True, False)
    """
    return all(is_number(row.get(name)) or row.get(name) is None for row in rows)


def number_format(values: Iterable[Any]) -> str:
    """Return the format of a column: as many decimals as give its largest number four significant digits.

    >>> [number_format(column) for column in ([31.4159, 2.0], [0.91], [1e-5, 2e-5])]
    ['.2f', '.4f', '.3e']
    """
    magnitudes = (abs(float(value)) for value in values if is_number(value))
    largest = max((magnitude for magnitude in magnitudes if math.isfinite(magnitude)), default=0.0)
    if largest and not 1e-3 <= largest < 1e6:
        return ".3e"
    return f".{max(3 - math.floor(math.log10(largest)), 0) if largest else 1}f"


def format_value(value: Any, number: str) -> str:
    """Format a value: a float in the format ``number`` of its column, None as nothing, any other value by ``str``.

    >>> [format_value(value, ".2f") for value in (31.41592, 17, "knee", None, float("nan"))]
    ['31.42', '17', 'knee', '', 'nan']
    """
    if value is None:
        return ""
    return format(float(value), number) if np.asarray(value).dtype.kind == "f" else str(value)


def summary_of(rows: Sequence[Row]) -> dict[str, tuple[str, str]]:
    """Return the formatted mean and standard deviation (ddof 1) over the rows of every column of real numbers.

    A column of integers holds counts, and has none.

    >>> summary_of([{"volume": "a", "slices": 6, "psnr": 30.0}, {"volume": "b", "slices": 6, "psnr": 32.0}])
    {'psnr': ('31.00', '1.41')}
    """
    found = {}
    for name in columns_of(rows):
        if not is_numeric(rows, name):
            continue
        values = [float(row[name]) for row in rows if row.get(name) is not None]
        if not values or all(np.asarray(row[name]).dtype.kind != "f" for row in rows if row.get(name) is not None):
            continue
        written, mean = number_format(values), sum(values) / len(values)
        spread = math.sqrt(sum((value - mean) ** 2 for value in values) / max(len(values) - 1, 1))
        found[name] = format(mean, written), format(spread, written)
    return found
