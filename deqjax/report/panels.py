"""Images as small PNG files, one pixel for each sample: magnitudes, errors, phases, and mosaics of coil maps."""

import io
import math
from pathlib import Path
from typing import Any

import numpy as np

from deqjax.atomic_write import atomic_file
from deqjax.report.optional_packages import require


def grey_png(image: np.ndarray, white: float) -> bytes:
    """Return magnitudes (y, x) as a PNG of 8-bit grey values; ``white`` and everything above it is white.

    >>> grey_png(np.eye(4), 1.0)[1:4]
    b'PNG'
    """
    return _png(_levels(image, white))


def error_png(error: np.ndarray, top: float) -> bytes:
    """Return absolute errors (y, x) as a PNG in the colours of matplotlib's inferno, from 0 to ``top``.

    >>> error_png(np.eye(4), 1.0)[1:4]
    b'PNG'
    """
    return _png(_levels(np.abs(error), top), "inferno")


def phase_png(image: np.ndarray, white: float) -> bytes:
    """Return the phases of a complex image (y, x) as a PNG in the cyclic colours of matplotlib's twilight.

    Phases from -pi to pi have the colours from one end to the other. Where the magnitude is below a tenth of ``white``,
    the picture is darker in proportion, so that the background is black.

    >>> phase_png(np.full((4, 4), 1j), 1.0)[1:4]
    b'PNG'
    """
    colours = _colours("twilight")[((np.angle(image) / (2 * np.pi) + 0.5) * 255).astype(np.uint8)]
    brightness = np.clip(10 * np.abs(image) / white, 0, 1)[..., None]
    return _png((colours * brightness).astype(np.uint8))


def mosaic_png(images: np.ndarray, white: float) -> bytes:
    """Return magnitudes (n, y, x) as one PNG, in rows of about as many images as there are rows.

    >>> mosaic_png(np.ones((3, 4, 4)), 1.0)[1:4]
    b'PNG'
    """
    count, height, width = images.shape
    across = math.ceil(math.sqrt(count))
    down = math.ceil(count / across)
    padded = np.zeros((across * down, height, width))
    padded[:count] = np.abs(images)
    return grey_png(padded.reshape(down, across, height, width).swapaxes(1, 2).reshape(down * height, -1), white)


def window_of_detail(image: np.ndarray, fraction: float = 0.25) -> tuple[int, int, int, int]:
    """Return the square window (top, left, height, width) of an image (y, x) with the most detail.

    The detail of a window is the sum of the magnitudes of the gradient in it. The side of the window is ``fraction`` of
    the shorter side of the image.

    >>> image = np.zeros((16, 16))
    >>> image[9, 10] = 1
    >>> top, left, height, width = window_of_detail(image)
    >>> (height, width), top <= 8 and top + height > 10, left <= 9 and left + width > 11
    ((4, 4), True, True)
    """
    side = max(2, round(fraction * min(image.shape)))
    detail = np.hypot(*np.gradient(np.asarray(image, np.float64)))
    sums = np.pad(detail, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    windows = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    top, left = np.unravel_index(np.argmax(windows), windows.shape)
    return int(top), int(left), side, side


def save_figure(figure: Any, path: str | Path, dpi: float, background: str) -> None:
    """Save a matplotlib figure as a PNG with a palette of 256 colours, a third of the size of a plain one."""
    drawn, file = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=dpi, facecolor=background)
    pillow = require("PIL.Image")
    pillow.open(drawn).convert("RGB").quantize(256, dither=pillow.Dither.NONE).save(file, format="png", optimize=True)
    with atomic_file(path, overwrite=True) as temporary:
        temporary.write_bytes(file.getvalue())


def _levels(image: np.ndarray, white: float) -> np.ndarray:
    return (np.clip(np.nan_to_num(image) / (white or 1.0), 0, 1) * 255 + 0.5).astype(np.uint8)


def _colours(name: str) -> np.ndarray:
    colours = require("matplotlib").colormaps[name](np.arange(256))[:, :3]
    return (colours * 255 + 0.5).astype(np.uint8)


def _png(pixels: np.ndarray, colours: str = "") -> bytes:
    image = require("PIL.Image").fromarray(pixels)
    if colours:
        image.putpalette(_colours(colours).tobytes())
    file = io.BytesIO()
    image.save(file, format="png", optimize=True)
    return file.getvalue()
