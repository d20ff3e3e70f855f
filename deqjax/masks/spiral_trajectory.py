"""Spirals from the centre of k-space outwards."""

import math

import numpy as np

from deqjax.masks.radial_trajectory import check_counts


def spiral_trajectory(
    shape: tuple[int, int],
    turns: float,
    interleaves: int = 1,
    samples: int | None = None,
    power: float = 1.0,
    start: float = 0.0,
) -> np.ndarray:
    """Wind spirals from the centre of k-space to the ellipse that touches its edges.

    ``k(t) = tau^power / 2 (Y sin a, X cos a)`` with ``a = start + 2 pi (turns tau + i / interleaves)`` and
    ``tau = t^(1 / (power + 1))``, t from 0 to 1: far out, the samples lie evenly along the arc. Power 1 is the spiral
    of Archimedes, whose windings are evenly spaced; a larger power samples the centre more densely.

    Args:
      shape: of the image, (y, x).
      turns: of each interleaf; along x ``turns * interleaves = X / 2`` is full sampling.
      interleaves: number of spirals, turned against each other.
      samples: on each; None is enough for them to lie half a cycle apart or less.
      power: how much denser the centre is, above 0.
      start: angle of the first from the axis x, in radians.

    Returns:
      (interleaf, sample, 2) float32, the last axis (ky, kx), in cycles per field of view: -Y / 2 to Y / 2, -X / 2 to
      X / 2.

    Raises:
      ValueError: a shape, or a number of interleaves or samples, below 1; turns or a power not above 0.

    Source: Kim, Adalsteinsson, Spielman, "Simple analytic variable density spiral design", Magnetic Resonance in
    Medicine 50:214-219, 2003, eq. 1, at a constant gradient amplitude.

    >>> trajectory = spiral_trajectory((16, 16), turns=4, interleaves=2, samples=100)
    >>> trajectory.shape, float(trajectory[0, -1, 1])
    ((2, 100, 2), 8.0)
    """
    for name, value in (("turns", turns), ("power", power)):
        if not 0 < value < math.inf:
            raise ValueError(f"{name} must be a number above 0, got {value!r}")
    if samples is None:
        samples = math.ceil((1 + power) * (math.pi * turns + 1) * max(shape)) + 1
    check_counts(shape, interleaves=interleaves, samples=samples)
    tau = np.linspace(0, 1, samples)[None, :] ** (1 / (power + 1))
    angle = start + 2 * math.pi * (turns * tau + np.arange(interleaves)[:, None] / interleaves)
    k = tau**power / 2
    return np.stack([shape[0] * k * np.sin(angle), shape[1] * k * np.cos(angle)], axis=-1).astype(np.float32)
