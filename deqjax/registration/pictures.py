"""What to look at after a registration: a checkerboard, a fusion overlay and the change of volume."""

from pathlib import Path
from typing import Any

import jax
import numpy as np

from deqjax.atomic_write import atomic_file
from deqjax.registration.grid import Grid
from deqjax.registration.measures import volume_change
from deqjax.registration.transforms import Map


def checkerboard(a: Any, b: Any, squares: int = 8) -> np.ndarray:
    """Alternate between two images (y, x) in squares: edges that run on across them are aligned.

    >>> checkerboard(np.zeros((4, 4)), np.ones((4, 4)), squares=2)[0]
    array([0., 0., 1., 1.])
    """
    rows, columns = (np.arange(n) * squares // n for n in np.shape(a))
    return np.where((rows[:, None] + columns) % 2 == 0, a, b)


def fusion(a: Any, b: Any) -> np.ndarray:
    """Overlay two images (y, x) as magenta and green, (y, x, 3) in [0, 1]: grey where they agree.

    >>> fusion(np.eye(2), np.eye(2))[0, 0]
    array([1., 1., 1.])
    """
    a, b = _unit(a), _unit(b)
    return np.stack([a, b, a], axis=-1)


def save_picture(path: str | Path, fixed: jax.Array, warped: jax.Array, map: Map, grid: Grid) -> None:
    """Write one picture of the middle slice: fixed, warped, checkerboard, fusion and log volume change.

    Raises:
      ModuleNotFoundError: matplotlib is not installed: pip install 'deqjax[report]'.
    """
    from matplotlib.figure import Figure

    def middle(image: Any) -> np.ndarray:
        image = np.asarray(image)
        return (image if image.ndim == 2 else image[:, :, image.shape[2] // 2]).T

    before, after = middle(np.abs(fixed)), middle(np.abs(warped))
    volume = np.log(np.maximum(middle(volume_change(map.displacement(grid), grid)), 1e-3))
    figure = Figure(figsize=(15, 3.4), layout="constrained")
    panels = {
        "fixed": _unit(before),
        "moving, warped": _unit(after),
        "checkerboard": checkerboard(_unit(before), _unit(after)),
        "fusion": fusion(before, after),
        "log volume change": volume,
    }
    for axes, (title, panel) in zip(figure.subplots(1, len(panels)), panels.items(), strict=True):
        limit = {"cmap": "RdBu", "vmin": -1, "vmax": 1} if title.startswith("log") else {"cmap": "gray"}
        axes.imshow(panel, origin="lower", **limit)
        axes.set_title(title)
        axes.set_axis_off()
    with atomic_file(path, overwrite=True) as temporary:
        figure.savefig(temporary)


def _unit(image: Any) -> np.ndarray:
    low, high = np.percentile(image, [0.5, 99.5])
    return np.clip((np.asarray(image) - low) / max(high - low, 1e-12), 0, 1)
