"""The anatomy of an invented head: distances to the skin, the brain, the folds of the cortex, ventricles and nuclei.

Lengths are in units of half the field of view along y; y points from the forehead to the back, z points upwards.
Distances are positive inside. They are first-order approximations: a level-set function divided by the length of its
gradient.
"""

import math
from typing import NamedTuple

import numpy as np

from deqjax.data.random_fields import plane_waves

Points = tuple[np.ndarray, np.ndarray, np.ndarray]


class Anatomy(NamedTuple):
    """Signed distances (slice, y, x) to the parts of a head, from which `paint_tissues` makes an image."""

    head: np.ndarray
    brain: np.ndarray
    fold: np.ndarray
    ventricle: np.ndarray
    nuclei: np.ndarray
    lesion: np.ndarray
    vessel: np.ndarray


def head_coordinates(shape: tuple[int, int, int]) -> tuple[Points, float]:
    """Return the coordinates of the voxels of a head, and the size of a pixel; the head fits into any shape.

    Args:
      shape: (slice, y, x).

    Returns:
      The coordinates (z, y, x), arrays that broadcast to the shape, and the size of a pixel.

    >>> (z, y, x), pixel = head_coordinates((1, 100, 80))
    >>> z.shape, y.shape, x.shape, round(pixel, 5)
    ((1, 1, 1), (1, 100, 1), (1, 1, 80), 0.02125)
    """
    slices, height, width = shape
    pixel = max(2.0 / height, 1.7 / width)
    z = (np.linspace(-0.12, 0.5, slices) if slices > 1 else np.array([0.08])).astype(np.float32)
    y, x = (((np.arange(size) - size // 2) * pixel).astype(np.float32) for size in (height, width))
    return (z[:, None, None], y[None, :, None], x[None, None]), pixel


def invent_anatomy(rng: np.random.Generator, points: Points, pixel: float) -> Anatomy:
    """Invent one head, and compute the distances of the points to its parts.

    Args:
      rng: the generator of the head.
      points: the coordinates (z, y, x), from `head_coordinates`.
      pixel: the size of a pixel.

    >>> points, pixel = head_coordinates((1, 32, 32))
    >>> invent_anatomy(np.random.default_rng(0), points, pixel).brain.shape
    (1, 32, 32)
    """
    z, y, x = points
    tilt = rng.normal(0, 0.06)
    cosine, sine = math.cos(tilt), math.sin(tilt)
    y, x = y * cosine - x * sine + rng.normal(0, 0.02), y * sine + x * cosine
    y, x = (a + 0.008 * plane_waves(rng, (z, y, x), 0.7, 4) for a in (y, x))
    angle = np.arctan2(y, x)
    bumps = sum(rng.normal(0, 0.006) * np.cos(k * angle + rng.uniform(0, 2 * math.pi) + 2 * z) for k in range(2, 6))
    axes = tuple(size * rng.normal(1, 0.025) for size in (0.95, 0.9, 0.72))
    head = _ellipsoid((z, y, x), (0.05, 0.0, 0.0), axes, bumps)
    shell = 0.095 * rng.normal(1, 0.08) * (1 + 0.12 * np.cos(2 * angle + rng.uniform(0, 6)))
    brain = head - shell
    warp = [0.012 * plane_waves(rng, (z, y, x), 1.8, 4) for _ in range(3)]
    warped = (z + warp[0], y + warp[1], x + warp[2])
    ventricle = _ventricles(rng, warped)
    fold = np.minimum(_folds(rng, (z, y, x), angle, brain, pixel), brain)
    vessel = np.minimum(_vessels(rng, points), 0.06 - fold)
    return Anatomy(head, brain, fold, ventricle, _nuclei(rng, warped), _lesions(rng, warped), vessel)


def _ellipsoid(points: Points, center: tuple[float, ...], axes: tuple[float, ...], bumps: np.ndarray | float = 0.0):
    """Return the first-order distance inside an ellipsoid."""
    scaled = [(p - c) / a for p, c, a in zip(points, center, axes)]
    radius = np.sqrt(sum(s * s for s in scaled)) + np.float32(1e-6)
    slope = np.sqrt(sum((s / a) ** 2 for s, a in zip(scaled[1:], axes[1:]))) / radius
    return (1 + bumps - radius) / np.maximum(slope, 0.3)


def _folds(rng: np.random.Generator, points: Points, angle: np.ndarray, depth: np.ndarray, pixel: float) -> np.ndarray:
    """Return the distance from the nearest sulcus; sulci and fissures are sheets that enter from the surface."""
    z, y, x = points
    bent = np.arctan2(*(a + 0.035 * plane_waves(rng, points, 2.4, 5) for a in (y, x))) + 0.10 * plane_waves(
        rng, points, 2.2, 5
    )
    nearest = np.full(np.broadcast_shapes(*(p.shape for p in points)), np.float32(9))
    for low, high, sheet_depth in ((9, 13, 0.34), (17, 23, 0.15)):
        level = sum(
            rng.normal(0, 1) * np.cos(k * bent + rng.normal(0, 0.35 * low) * z + rng.uniform(0, 2 * math.pi))
            for k in range(low, high)
        )
        slope = np.hypot(*np.gradient(level, axis=(-2, -1))) / pixel
        deep = sheet_depth * (0.55 + 0.45 * np.cos(3 * angle + 4 * z + rng.uniform(0, 6)) * rng.uniform(0.5, 1))
        sheet = np.abs(level) / np.maximum(slope, 0.5)
        nearest = np.minimum(nearest, np.hypot(sheet, np.maximum(depth - deep, 0)))
    midline = x + 0.012 * plane_waves(rng, (z, y), 1.4, 4)
    callosum = np.clip(0.42 - 1.1 * np.maximum(z, -0.05), 0, None) * rng.normal(1, 0.05)
    nearest = np.minimum(nearest, np.hypot(midline, np.maximum(callosum - np.abs(y - 0.02), 0)))
    sylvian = y + 0.12 + 0.35 * (np.abs(x) - 0.5) + 0.8 * z + 0.02 * plane_waves(rng, points, 1.5, 4)
    opening = np.clip(0.33 + 1.2 * np.maximum(z - 0.1, 0), None, 0.7)
    return np.minimum(nearest, np.hypot(sylvian, np.maximum(opening - np.abs(x), 0)))


def _ventricles(rng: np.random.Generator, points: Points) -> np.ndarray:
    """Return the distance inside the ventricles: two lateral arcs near the midline, and a slit between the thalami."""
    z, y, x = points
    size = rng.uniform(0.6, 1.3)
    side = np.where(x > 0, np.float32(rng.normal(1, 0.1)), np.float32(rng.normal(1, 0.1)))
    length = 0.36 * np.sqrt(np.clip(1 - ((z - 0.12) / 0.27) ** 2, 0.01, None))
    taper = np.sqrt(np.clip(1 - (y / length) ** 2, 0, None))
    arc = 0.045 + 0.5 * (y + 0.03) ** 2 + 0.12 * np.maximum(y, 0)
    width = 0.040 * size * side * taper * (0.8 + 0.5 * np.cos(8 * (y - 0.02)) ** 2)
    lateral = np.minimum(width - np.abs(np.abs(x) - arc) - 0.003, np.abs(x) - 0.006)
    lateral = lateral - np.maximum(np.abs(z - 0.12) - 0.24, 0) - np.maximum(np.abs(y) - 0.85 * length, 0)
    third = 0.012 * size - np.hypot(x, np.maximum(np.abs(y - 0.08) - 0.09, 0)) - np.maximum(z - 0.06, 0)
    return np.maximum(lateral, third)


def _nuclei(rng: np.random.Generator, points: Points) -> np.ndarray:
    """Return the distance inside the thalamus, caudate, putamen and pallidum of both sides."""
    z, y, x = points
    mirrored = (z, y, np.abs(x))
    shapes = [((0.03, 0.10, 0.085), (0.16, 0.12, 0.065)), ((0.08, -0.19, 0.135), (0.18, 0.10, 0.045))]
    shapes += [((0.02, -0.06, 0.265), (0.14, 0.17, 0.05)), ((0.0, 0.0, 0.195), (0.10, 0.09, 0.03))]
    jitter = lambda values: tuple(v * rng.normal(1, 0.07) for v in values)
    return np.maximum.reduce([_ellipsoid(mirrored, jitter(c), jitter(a)) for c, a in shapes])


def _lesions(rng: np.random.Generator, points: Points) -> np.ndarray:
    """Return the distance inside a few small lesions in the brain; with probability 1/4 one is large."""
    lesions = np.full(np.broadcast_shapes(*(p.shape for p in points)), np.float32(-9))
    for number in range(rng.integers(1, 8)):
        large = number == 0 and rng.uniform() < 0.25
        radius = rng.uniform(0.07, 0.13) if large else rng.uniform(0.012, 0.04)
        theta, distance = rng.uniform(0, 2 * np.pi), math.sqrt(rng.uniform(0.02, 0.3))
        center = (rng.uniform(-0.1, 0.45), 1.1 * distance * math.sin(theta), distance * math.cos(theta))
        axes = tuple(radius * rng.uniform(0.7, 1.4) for _ in range(3))
        lesions = np.maximum(lesions, _ellipsoid(points, center, axes))
    return lesions


def _vessels(rng: np.random.Generator, points: Points) -> np.ndarray:
    """Return the distance inside vessels, thin curved tubes that run through the slices."""
    z, y, x = points
    vessels = np.full(np.broadcast_shapes(*(p.shape for p in points)), np.float32(-9))
    for _ in range(18):
        theta, distance = rng.uniform(0, 2 * np.pi), rng.uniform(0.1, 0.85)
        path_y = 0.75 * distance * math.sin(theta) + rng.normal(0, 0.06) * np.sin(7 * z + rng.uniform(0, 6))
        path_x = 0.58 * distance * math.cos(theta) + rng.normal(0, 0.06) * np.sin(7 * z + rng.uniform(0, 6))
        vessels = np.maximum(vessels, rng.uniform(0.006, 0.016) - np.hypot(y - path_y, x - path_x))
    return vessels
