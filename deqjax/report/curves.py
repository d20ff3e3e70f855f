"""Curves: residuals over the steps of a solver, and the metrics of a training run over its steps."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from deqjax.report.log import SOLVES, validation_label
from deqjax.report.optional_packages import require
from deqjax.report.panels import save_figure
from deqjax.report.table import Row

COLOURS = ("#2563eb", "#e0590b", "#0f9f6e", "#b4309b", "#8a6d0b", "#0891b2", "#d02f44", "#5b5f6b")
Panel = tuple[dict[str, str], bool]
"""The columns of one panel and their names in the legend, and whether the y axis is logarithmic."""


def convergence(path: str | Path, curves: Mapping[str, ArrayLike], rtol: float | None = None) -> None:
    """Draw relative residuals over solver steps on a logarithmic axis, with a dot where an image stopped.

    For several images, each image is a thin line and their median is a thick one; an image that has stopped counts with
    its last value.

    Args:
        path: the .png file; its folder is created.
        curves: names and residuals, (steps,) or (image, steps), NaN after the stop.
        rtol: the tolerance, drawn as a dashed line.

    Raises:
        ValueError: The residuals are not (steps,) or (image, steps).
        ImportError: matplotlib is not installed.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     convergence(f"{folder}/a.png", {"Picard": 0.5 ** np.arange(9), "Anderson": 0.2 ** np.arange(9)})
    ...     Path(folder, "a.png").read_bytes()[1:4]
    b'PNG'
    """
    figure = require("matplotlib.figure").Figure(figsize=(5, 3.2), layout="constrained")
    axes = _panel(figure.add_subplot(), "solver step", "relative residual")
    axes.set_yscale("log")
    for (name, curve), colour in zip(curves.items(), _colours(len(curves)), strict=True):
        residuals = np.array(curve, float, ndmin=2)
        if residuals.ndim != 2:
            raise ValueError(f"curves[{name!r}] has shape {residuals.shape}: give (steps,) or (image, steps)")
        residuals = np.where(residuals > 0, residuals, np.nan)
        steps = np.arange(1, residuals.shape[1] + 1)
        residuals = residuals[np.isfinite(residuals).any(axis=1)]
        stops = [np.flatnonzero(np.isfinite(residual))[-1] for residual in residuals]
        several = len(residuals) > 1
        for residual, stop in zip(residuals, stops, strict=True):
            style = {"lw": 0.8, "alpha": 0.3} if several else {"lw": 2.0}
            axes.plot(steps, residual, color=colour, label=None if several else name, **style)
            axes.plot(steps[stop], residual[stop], "o", color=colour, ms=3 if several else 5, alpha=style.get("alpha"))
        if several:
            kept = [np.where(np.arange(len(r)) > stop, r[stop], r) for r, stop in zip(residuals, stops, strict=True)]
            last = max(stops) + 1
            axes.plot(steps[:last], np.median(kept, axis=0)[:last], color=colour, lw=2.2, label=name)
    if rtol is not None:
        axes.axhline(rtol, color="#667080", lw=1, ls="--", label=f"rtol {rtol:g}")
    _finish(path, figure)


def training_curve(path: str | Path, rows: Sequence[Row]) -> None:
    """Draw the metrics of a training run over its steps.

    There is one panel each, below one another, for ``loss``, for every metric whose name starts with ``validation_``,
    for the solver steps (``forward_steps``, ``backward_steps``) and for the relative residuals (``forward_residual``,
    ``backward_residual``). A panel without data is left out.

    Args:
        path: the .png file; its folder is created.
        rows: the rows of a training log, which `read_log` returns.

    Raises:
        ValueError: The rows contain none of these metrics.
        ImportError: matplotlib is not installed.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     training_curve(f"{folder}/a.png", [{"step": step, "loss": 1 / step} for step in range(1, 9)])
    ...     Path(folder, "a.png").read_bytes()[1:4]
    b'PNG'
    """
    panels = panels_of(list(dict.fromkeys(name for row in rows for name, value in row.items() if value is not None)))
    figure = require("matplotlib.figure").Figure(figsize=(5, 2.6 * len(panels)))
    figure.set_layout_engine("constrained", w_pad=0.12, h_pad=0.1)
    for position, (label, (names, logarithmic)) in enumerate(panels.items()):
        axes = _panel(figure.add_subplot(len(panels), 1, position + 1), "training step", label)
        for (name, legend), colour in zip(names.items(), COLOURS, strict=False):
            pairs = [(row["step"], row[name]) for row in rows if row.get(name) is not None]
            if not pairs:
                continue
            steps, values = np.array(pairs, float).T
            _smoothed(axes, steps, values, colour, legend)
            if logarithmic and (values > 0).any():
                axes.set_yscale("log")
    _finish(path, figure)


def metric_curves(path: str | Path, lines: Mapping[str, ArrayLike], x: str, y: str) -> None:
    """Draw a metric over a condition, such as the noise: one line for each method, with its interval as a band.

    Args:
        path: the .png file; its folder is created.
        lines: names and points, (point, 4): the condition, the metric, and the lower and upper end of its interval.
        x: the label of the condition.
        y: the label of the metric.

    Raises:
        ImportError: matplotlib is not installed.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     metric_curves(f"{folder}/a.png", {"TV": [[0, 30, 29, 31], [1, 28, 27, 29]]}, "noise, %", "PSNR, dB")
    ...     Path(folder, "a.png").read_bytes()[1:4]
    b'PNG'
    """
    figure = require("matplotlib.figure").Figure(figsize=(5, 3.2), layout="constrained")
    axes = _panel(figure.add_subplot(), x, y)
    axes.xaxis.set_major_locator(require("matplotlib.ticker").MaxNLocator(nbins=7))
    for (name, points), colour in zip(lines.items(), _colours(len(lines)), strict=True):
        at, value, low, high = np.array(sorted(map(tuple, np.asarray(points)))).T
        axes.plot(at, value, color=colour, lw=1.8, marker="o", ms=3.5, label=name)
        axes.fill_between(at, low, high, color=colour, alpha=0.12, lw=0)
    _finish(path, figure)


def panels_of(names: Sequence[str]) -> dict[str, Panel]:
    """Return the panels of a training curve for the metrics that a log contains, by the label of the y axis.

    Raises:
        ValueError: There is no panel for any of them.

    >>> list(panels_of(["step", "loss", "validation_psnr", "forward_steps"]))
    ['loss', 'validation PSNR, dB', 'solver steps']
    """
    panels: dict[str, Panel] = {"loss": ({"loss": "training"}, True)}
    for name in names:
        if name.startswith("validation_"):
            panels[", ".join(filter(None, validation_label(name)))] = ({name: "validation"}, False)
    panels["solver steps"] = ({f"{solve}_steps": solve for solve in SOLVES}, False)
    panels["relative residual"] = ({f"{solve}_residual": solve for solve in SOLVES}, True)
    found = {label: panel for label, panel in panels.items() if set(names) & set(panel[0])}
    if not found:
        raise ValueError(
            f"rows hold {sorted(names)}, but no loss, no validation_... and no steps or residuals of a solve"
        )
    return found


def _smoothed(axes: Any, steps: np.ndarray, values: np.ndarray, colour: str, legend: str) -> None:
    window = len(values) // 40
    if window < 3:
        axes.plot(steps, values, color=colour, lw=1.8, marker="o" if len(values) < 40 else None, ms=3, label=legend)
        return
    axes.plot(steps, values, color=colour, lw=0.6, alpha=0.3)
    mean = np.convolve(values, np.ones(window) / window, mode="valid")
    axes.plot(steps[window // 2 :][: len(mean)], mean, color=colour, lw=1.8, label=legend)


def _colours(count: int) -> list[str]:
    return [COLOURS[position % len(COLOURS)] for position in range(count)]


def _panel(axes: Any, x: str, y: str) -> Any:
    axes.set_xlabel(x, color="#3b424d")
    axes.set_ylabel(y, color="#3b424d")
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#b4bac4")
    axes.tick_params(colors="#667080", which="both", labelsize=9)
    axes.grid(color="#e6e8ec", lw=0.7)
    axes.set_axisbelow(True)
    axes.xaxis.set_major_locator(require("matplotlib.ticker").MaxNLocator(integer=True, nbins=7))
    return axes


def _finish(path: str | Path, figure: Any) -> None:
    for axes in figure.axes:
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False, fontsize=9)
    save_figure(figure, path, 150, "white")
