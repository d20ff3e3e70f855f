"""The results of a study: CSV files, curves, and one page with tables, curves and pictures."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deqjax.report import (
    Part,
    code,
    details,
    error_png,
    grey_png,
    group,
    html_table,
    metric_curves,
    metrics_table,
    phase_png,
    picture,
    window_of_detail,
    write_csv,
    write_page,
)
from deqjax.run.study_cells import IMAGES, EvaluationCell
from deqjax.run.study_settings import Study
from deqjax.run.study_statistics import COVERAGE, ZERO_FILLED, observations, summarise

ERROR_SCALE = 5.0
"""The error maps range up to white over this number."""

UNITS = {"PSNR": "PSNR, dB", "phase error": "phase error, rad"}
DRAWN = ("PSNR", "SSIM", "phase error", "magnitude bias")
"""The metrics of which curves are drawn."""

BUDGET = "evaluations"
"""The evaluation axis over which the metrics are also drawn over measured seconds."""

Row = dict[str, Any]


def write_report(study: Study, cells: Sequence[EvaluationCell], out: Path, command: str) -> list[Row]:
    """Write the results of all cells that are done, print a short table, and return the rows of the summary.

    The folder gets ``volumes.csv`` and ``slices.csv`` with one line for each image and cell, ``summary.csv`` as
    :func:`~deqjax.run.study_statistics.summarise` describes it, ``profile.csv`` with the cost of each cell, the curves
    as PNG files, and ``index.html``.

    Args:
      study: the study.
      cells: its evaluations, done or not.
      out: the folder of the study.
      command: the command line that gives these results.

    Raises:
      ValueError: no cell is done, a result belongs to other settings, or the files have no full data to compare with.
    """
    done = [cell for cell in cells if cell.done]
    if not done:
        raise ValueError(f"{out}: no cell of the study is done")
    results = [cell.result() for cell in done]
    write_csv(out / "volumes.csv", [result["levels"] | row for result in results for row in result["volume"]])
    write_csv(out / "slices.csv", [result["levels"] | row for result in results for row in result["slice"]])
    costs = profiles(results, study)
    write_csv(out / "profile.csv", costs)
    rows = summarise(observations(results, study), study)
    if not rows:
        raise ValueError(f"{out}: the validation files are undersampled, so that there is nothing to compare with")
    write_csv(out / "summary.csv", rows)
    axis, level = study.baseline
    levels = study.train | study.evaluate
    axes = [a for a in levels if a == axis or (len(levels[a]) > 1 and a not in study.pooled)]
    metrics_table(mean_table(rows, axes), study.title, means=False)
    curves = draw_curves(study, rows, costs, out)
    missing = [cell.name for cell in cells if not cell.done]
    pooled = [a for a in study.pooled if a in levels]
    averaged = f" The values of a {study.unit} are averaged over {', '.join(pooled)} first." if pooled else ""
    sections: list[tuple[str, list[Part]]] = [
        ("", [f"{len(done)} of {len(cells)} cells are done."]),
        (
            "Means",
            [
                html_table(interval_table(rows, axes), means=False),
                f"Mean and {COVERAGE:.0%} bootstrap interval over {study.unit}s.{averaged}",
            ],
        ),
        (
            f"Differences from {axis} {level}",
            [
                html_table(difference_table(rows, axes), means=False),
                "The mean difference, its bootstrap interval, in how many of the trainings it has this sign, and the p "
                "of Wilcoxon's signed-rank test, adjusted for the number of comparisons with the metric (Benjamini and "
                f"Hochberg). The test takes the {study.unit}s as independent. Those of one person are not, so that p "
                "is too small and the interval too narrow.",
            ],
        ),
        ("Curves", [group("curves", [picture(path, caption) for caption, path in curves.items()])] if curves else []),
        ("Cost", [html_table(costs, means=False), "Seconds on the machine and at the time of the evaluation."]),
        ("Pictures", sheets(done, study)),
        ("How to reproduce this page", [code(command), *([details("Missing cells", missing)] if missing else [])]),
    ]
    write_page(out / "index.html", study.title, [section for section in sections if section[1]])
    print(f"{len(done)} of {len(cells)} cells are done; page: {out / 'index.html'}")
    return rows


def mean_table(rows: Sequence[Row], axes: Sequence[str]) -> list[Row]:
    """Return one row for each combination of levels, and the mean of each metric.

    >>> mean_table([{"loss": "L1", "metric": "PSNR", "mean": 30.0}], ["loss"])
    [{'loss': 'L1', 'PSNR': 30.0}]
    """
    return _wide(rows, axes, lambda row, _: row["mean"])


def interval_table(rows: Sequence[Row], axes: Sequence[str]) -> list[Row]:
    """Return one row for each combination of levels, and the mean of each metric with its interval, as text.

    >>> interval_table([{"loss": "L1", "metric": "PSNR", "mean": 30.0, "low": 29.0, "high": 31.0}], ["loss"])
    [{'loss': 'L1', 'PSNR': '30.00 [29.00, 31.00]'}]
    """
    return _wide(rows, axes, lambda row, form: f"{row['mean']:{form}} [{row['low']:{form}}, {row['high']:{form}}]")


def difference_table(rows: Sequence[Row], axes: Sequence[str]) -> list[Row]:
    """Return one row for each combination of levels, and the comparison with the baseline, as text."""

    def text(row: Row, form: str) -> str:
        low, high = row["difference low"], row["difference high"]
        parts = [f"{row['difference']:+{form}} [{low:+{form}}, {high:+{form}}]"]
        parts += [row["agree"]] if "agree" in row else []
        parts += [f"p {row['p adjusted']:.2g}"] if "p adjusted" in row else []
        return ", ".join(parts)

    return _wide([row for row in rows if "difference" in row], axes, text)


def _wide(rows: Sequence[Row], axes: Sequence[str], cell: Callable[[Row, str], Any]) -> list[Row]:
    table: dict[tuple[str, ...], Row] = {}
    for row in rows:
        levels = {axis: row[axis] for axis in axes}
        wide = table.setdefault(tuple(levels.values()), levels)
        wide[row["metric"]] = cell(row, ".2f" if row["metric"] == "PSNR" else ".4f")
    return list(table.values())


def profiles(results: Sequence[Mapping[str, Any]], study: Study) -> list[Row]:
    """Return the mean cost over the pooled axes, one row for each combination of the other levels."""
    found: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    axes = [axis for axis in (*study.train, *study.evaluate) if axis not in study.pooled]
    for result in results:
        found.setdefault(tuple(result["levels"][axis] for axis in axes), []).append(result["profile"])
    return [
        dict(zip(axes, key)) | {name: float(np.mean([one[name] for one in same])) for name in same[0]}
        for key, same in found.items()
    ]


def draw_curves(study: Study, rows: Sequence[Row], costs: Sequence[Row], out: Path) -> dict[str, Path]:
    """Draw the metrics over every evaluation axis whose levels begin with numbers, such as ``3 %`` or ``8x``.

    The other axes have their first levels, apart from that of the baseline. The lines are the methods.

    Returns:
      Captions and files.
    """
    compared, drawn = study.baseline[0], {}
    for axis, levels in study.evaluate.items():
        numbers = {level: float(found[0]) for level in levels if (found := re.match(r"[\d.]+", level))}
        if axis == compared or len(numbers) < 2 or len(numbers) < len(levels):
            continue
        others = study.train | study.evaluate
        fixed = {a: next(iter(others[a])) for a in others if a not in (axis, compared, *study.pooled)}

        def is_shown(row: Row, fixed: dict[str, str] = fixed) -> bool:
            return all(row[a] in (level, ZERO_FILLED) for a, level in fixed.items())

        shown = [row for row in rows if is_shown(row)]
        seconds = {(row[compared], row[axis]): row["seconds per slice"] for row in costs if is_shown(row)}
        for metric in DRAWN:
            for x in (axis, "seconds per slice")[: 2 if axis == BUDGET else 1]:
                lines: dict[str, list[tuple[float, ...]]] = {}
                for row in shown:
                    at = numbers[row[axis]] if x == axis else seconds.get((row[compared], row[axis]))
                    if row["metric"] == metric and at is not None:
                        lines.setdefault(row[compared], []).append((at, row["mean"], row["low"], row["high"]))
                name = UNITS.get(metric, metric)
                path = out / "curves" / f"{metric}_over_{x}.png".replace(" ", "_")
                metric_curves(path, lines, x, name)
                drawn[f"{name}, over {x}"] = path
    return drawn


def sheets(cells: Sequence[EvaluationCell], study: Study) -> list[Part]:
    """Show the middle slice of the first volume of every method: the image, the framed part, its error and its phase.

    The pooled axes, and the evaluation axes apart from that of the baseline, have their first levels.
    """
    methods = [axis for axis in (*study.train, study.baseline[0]) if axis not in study.pooled]
    levels = study.train | study.evaluate
    first = {axis: next(iter(levels[axis])) for axis in levels if axis not in methods}
    parts: list[Part] = []
    for cell in cells:
        if any(cell.levels[axis] != level for axis, level in first.items()):
            continue
        with np.load(cell.folder / IMAGES) as file:
            images = {name: file[name] for name in file.files}
        target = images.get("target", images["image"])
        white = float(np.percentile(np.abs(target), 99.8)) or 1.0
        if not parts:
            parts.append(group("secondary", _row("target", target, target, white)))
            parts.append(group("secondary", _row(ZERO_FILLED, images["zero_filled"], target, white)))
        name = ", ".join(cell.levels[axis] for axis in dict.fromkeys(methods) if len(levels[axis]) > 1)
        parts.append(group("secondary", _row(name or "reconstruction", images["image"], target, white)))
    return parts


def _row(name: str, image: np.ndarray, target: np.ndarray, white: float) -> list[Part]:
    top, left, high, wide = window_of_detail(np.abs(target))
    y, x = target.shape
    frame = left / x, top / y, wide / x, high / y
    magnitude = np.abs(image)
    error = magnitude - np.abs(target)
    return [
        picture(grey_png(magnitude, white), name, frame=frame),
        picture(
            grey_png(magnitude[top : top + high, left : left + wide], white), f"{name}, the framed part", pixels=True
        ),
        picture(
            error_png(error, white / ERROR_SCALE),
            f"{name}, error",
            f"to {100 / ERROR_SCALE:g} % of white",
            scale="error",
        ),
        picture(phase_png(image, white), f"{name}, phase", "-180 to 180 degrees", scale="phase"),
    ]
