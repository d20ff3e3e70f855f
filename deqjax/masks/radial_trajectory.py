"""Straight lines through the centre of k-space."""

import math
from typing import Literal

import numpy as np

GOLDEN_ANGLE = math.pi * (math.sqrt(5) - 1) / 2
"""111.25 degrees: spokes so far apart are spread nearly evenly, whatever their number."""


def radial_trajectory(
    shape: tuple[int, int],
    spokes: int,
    samples: int | None = None,
    order: Literal["golden", "uniform"] = "golden",
    start: float = 0.0,
) -> np.ndarray:
    """Lay spokes through the centre of k-space.

    ``k(s, n) = ((n - n0) / samples) (Y sin a_s, X cos a_s)`` with ``n0 = samples // 2`` and ``a_s = start + s step``,
    the step 111.25 degrees ("golden") or ``pi / spokes`` ("uniform").

    Args:
      shape: of the image, (y, x).
      spokes: number of lines.
      samples: on each; None is twice the larger size, so that they lie half a cycle apart or less.
      order: "golden" or "uniform".
      start: angle of the first spoke from the axis x, in radians.

    Returns:
      (spoke, sample, 2) float32, the last axis (ky, kx), in cycles per field of view: -Y / 2 to Y / 2, -X / 2 to X / 2.

    Raises:
      ValueError: a shape, or a number of spokes or samples, below 1; an unknown order.

    Source: Winkelmann, Schaeffter, Koehler, Eggers, Doessel, "An optimal radial profile order based on the golden ratio
    for time-resolved MRI", IEEE Transactions on Medical Imaging 26:68-76, 2007, section II.

    >>> radial_trajectory((8, 8), spokes=2, samples=4, order="uniform").round(2).tolist()[1]
    [[-4.0, -0.0], [-2.0, -0.0], [0.0, 0.0], [2.0, 0.0]]
    """
    samples = 2 * max(shape) if samples is None else samples
    check_counts(shape, spokes=spokes, samples=samples)
    check_order(order)
    step = GOLDEN_ANGLE if order == "golden" else math.pi / spokes
    angle = start + step * np.arange(spokes)[:, None]
    along = ((np.arange(samples) - samples // 2) / samples)[None, :]
    return np.stack([shape[0] * along * np.sin(angle), shape[1] * along * np.cos(angle)], axis=-1).astype(np.float32)


def check_order(order: str) -> None:
    """Refuse an order of the spokes that is neither "golden" nor "uniform".

    >>> check_order("golden")
    """
    if order not in ("golden", "uniform"):
        raise ValueError(f'order must be "golden" or "uniform", got {order!r}')


def check_counts(shape: tuple[int, int], **counts: int) -> None:
    """Refuse an image shape that is not (y, x), and counts below 1.

    >>> check_counts((8, 8), spokes=0)
    Traceback (most recent call last):
    ValueError: spokes must be a whole number of at least 1, got 0
    """
    if len(shape) != 2 or min(shape) < 1:
        raise ValueError(f"shape must be (y, x) of the image, both at least 1, got {tuple(shape)}")
    for name, count in counts.items():
        if not isinstance(count, int | np.integer) or count < 1:
            raise ValueError(f"{name} must be a whole number of at least 1, got {count!r}")
