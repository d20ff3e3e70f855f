"""Images of reconstructions next to their target, with error maps at one scale."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from deqjax.report.optional_packages import require
from deqjax.report.panels import save_figure

BACKGROUND, TEXT, FAINT = "#0d0f12", "#f2f4f7", "#98a1ae"
WIDTH, GAP, MARGIN, HEADER = 2.5, 0.06, 0.14, 0.5
"""Sizes in inches: of one image, between images, around all of them, and above them for names and captions."""


def comparison(
    path: str | Path,
    columns: Mapping[str, ArrayLike],
    target_name: str = "target",
    error_scale: float = 5.0,
    captions: Mapping[str, str] | None = None,
) -> None:
    """Draw images in one row at one grey scale, and below each image its absolute error at one colour scale.

    White is the 99.8th percentile of the target. The error maps range from 0 to white / ``error_scale``.

    Args:
        path: the .png file; its folder is created.
        columns: names and magnitude images (y, x), drawn in this order; one of them is the target.
        target_name: the name of the target.
        error_scale: the factor by which errors are magnified.
        captions: a short line below a name, such as ``{"DE-Prox": "34.1 dB   0.921"}``.

    Raises:
        ValueError: No column is the target, the shapes differ or are not (y, x), or an image is complex.
        ImportError: matplotlib is not installed.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     comparison(f"{folder}/a.png", {"zero-filled": np.zeros((8, 8)), "target": np.eye(8)})
    ...     Path(folder, "a.png").read_bytes()[1:4]
    b'PNG'
    """
    images = {name: np.asarray(image) for name, image in columns.items()}
    if target_name not in images:
        raise ValueError(f"target_name {target_name!r} is not among the columns {list(images)}: name one of them")
    target = images[target_name]
    for name, image in images.items():
        if image.ndim != 2 or image.shape != target.shape or np.iscomplexobj(image):
            raise ValueError(
                f"columns[{name!r}] is {image.dtype} {image.shape} and the target {target.shape}: "
                "give real magnitudes (y, x) of one shape"
            )
    white = float(np.percentile(target, 99.8)) or 1.0
    height = WIDTH * target.shape[0] / target.shape[1]
    wide, high = len(images) * (WIDTH + GAP) - GAP + 2 * MARGIN, 2 * height + GAP + HEADER + 2 * MARGIN
    figure = require("matplotlib.figure").Figure(figsize=(wide, high), facecolor=BACKGROUND)

    def axes(left: float, bottom: float, width: float, tall: float) -> Any:
        return figure.add_axes((left / wide, bottom / high, width / wide, tall / high), facecolor=BACKGROUND)

    shown, bar_left = None, MARGIN
    for position, (name, image) in enumerate(images.items()):
        left = MARGIN + position * (WIDTH + GAP)
        upper = axes(left, MARGIN + height + GAP, WIDTH, height)
        upper.imshow(image, cmap="gray", vmin=0, vmax=white)
        upper.set_axis_off()
        middle, top = (left + WIDTH / 2) / wide, high - MARGIN
        figure.text(middle, top / high, name, color=TEXT, weight="bold", size=11, ha="center", va="top")
        caption = (captions or {}).get(name, "")
        figure.text(middle, (top - 0.22) / high, caption, color=FAINT, size=9.5, ha="center", va="top")
        if name == target_name:
            bar_left = left
            continue
        lower = axes(left, MARGIN, WIDTH, height)
        shown = lower.imshow(np.abs(image - target), cmap="inferno", vmin=0, vmax=white / error_scale)
        lower.set_axis_off()
    if shown is not None:  # The colour bar takes the place of the target's error map, which would be zero.
        bar_axes = axes(bar_left + 0.15 * WIDTH, MARGIN + height / 2 - 0.1, 0.7 * WIDTH, 0.13)
        bar = figure.colorbar(shown, cax=bar_axes, orientation="horizontal")
        ticks = np.linspace(0, 1, 3)
        bar.set_ticks(ticks * white / error_scale, labels=[f"{100 * tick / error_scale:.3g} %" for tick in ticks])
        bar.ax.tick_params(colors=FAINT, labelsize=9, length=2)
        bar.ax.set_title(f"|error| of white, magnified {error_scale:g} times", color=FAINT, size=9.5)
        bar.outline.set_visible(False)
    save_figure(figure, path, 150, BACKGROUND)
