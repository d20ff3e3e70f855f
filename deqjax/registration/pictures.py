"""Pictures of a registration: a checkerboard, an overlay in two colours, and the change of volume."""

from pathlib import Path
from typing import Any

import jax
import numpy as np

from deqjax.atomic_write import atomic_file
from deqjax.registration.grid import Grid
from deqjax.registration.measures import volume_change
from deqjax.registration.types import Map


def checkerboard(a: Any, b: Any, squares: int = 8) -> np.ndarray:
    """Alternate between two images in squares: where the images are aligned, edges continue across the squares.

    Args:
      a: an image, (y, x).
      b: an image, (y, x).
      squares: the number of squares along each axis.

    >>> checkerboard(np.zeros((4, 4)), np.ones((4, 4)), squares=2)[0]
    array([0., 0., 1., 1.])
    """
    rows, columns = (np.arange(n) * squares // n for n in np.shape(a))
    return np.where((rows[:, None] + columns) % 2 == 0, a, b)


def fusion(a: Any, b: Any) -> np.ndarray:
    """Overlay two images (y, x) in magenta and green, (y, x, 3) in [0, 1]; it is grey where they agree.

    >>> fusion(np.eye(2), np.eye(2))[0, 0]
    array([1., 1., 1.])
    """
    a, b = _unit(a), _unit(b)
    return np.stack([a, b, a], axis=-1)


def save_picture(path: str | Path, fixed: jax.Array, warped: jax.Array, mapping: Map, grid: Grid) -> None:
    """Draw the middle slice: fixed image, warped image, checkerboard, overlay and the logarithm of the volume change.

    Args:
      path: the file of the picture.
      fixed: the fixed image, (x, y[, z]).
      warped: the warped moving image, (x, y[, z]).
      mapping: the map of the registration.
      grid: the grid of the images.

    Raises:
      ModuleNotFoundError: if matplotlib is not installed: pip install 'deqjax[report]'.
    """
    from matplotlib.figure import Figure

    def middle_slice(image: Any) -> np.ndarray:
        image = np.asarray(image)
        return (image if image.ndim == 2 else image[:, :, image.shape[2] // 2]).T

    before, after = middle_slice(np.abs(fixed)), middle_slice(np.abs(warped))
    volume = np.log(np.maximum(middle_slice(volume_change(mapping.displacement(grid), grid)), 1e-3))
    figure = Figure(figsize=(15, 3.4), layout="constrained")
    panels = {
        "fixed": _unit(before),
        "moving, warped": _unit(after),
        "checkerboard": checkerboard(_unit(before), _unit(after)),
        "fusion": fusion(before, after),
        "log volume change": volume,
    }
    for axes, (title, panel) in zip(figure.subplots(1, len(panels)), panels.items(), strict=True):
        colours = {"cmap": "RdBu", "vmin": -1, "vmax": 1} if title.startswith("log") else {"cmap": "gray"}
        axes.imshow(panel, origin="lower", **colours)
        axes.set_title(title)
        axes.set_axis_off()
    with atomic_file(path, overwrite=True) as temporary:
        figure.savefig(temporary)


def _unit(image: Any) -> np.ndarray:
    low, high = np.nanpercentile(image, [0.5, 99.5])
    return np.clip((np.nan_to_num(np.asarray(image), nan=low) - low) / (high - low if high > low else 1), 0, 1)
