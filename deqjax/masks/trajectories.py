"""Radial and spiral trajectories of k-space, and the density compensation of their samples."""

import math
from typing import Literal

import numpy as np

GOLDEN_ANGLE = math.pi * (math.sqrt(5) - 1) / 2
"""111.25 degrees: spokes at multiples of this angle are spread nearly evenly, whatever their number."""


def radial_trajectory(
    shape: tuple[int, int],
    spokes: int,
    samples: int | None = None,
    order: Literal["golden", "uniform"] = "golden",
    start: float = 0.0,
) -> np.ndarray:
    """Return straight spokes through the centre of k-space.

    ``k(s, n) = ((n - n0) / samples) (Y sin a_s, X cos a_s)`` with ``n0 = samples // 2`` and ``a_s = start + s step``,
    where the step is 111.25 degrees ("golden") or ``pi / spokes`` ("uniform").

    Args:
        shape: (y, x) of the image.
        spokes: number of spokes, at least 1.
        samples: number of samples of each spoke, at least 1; None takes twice the larger size of the image, for which
            the samples are at most half a cycle apart.
        order: "golden" or "uniform".
        start: angle of the first spoke from the axis x, in radians.

    Returns:
        float32 (spoke, sample, 2). The last axis is (ky, kx) in cycles per field of view, from -Y / 2 to Y / 2 and
        from -X / 2 to X / 2.

    Raises:
        ValueError: The shape is not (y, x), a number is below 1, or the order is unknown.

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


def spiral_trajectory(
    shape: tuple[int, int],
    turns: float,
    interleaves: int = 1,
    samples: int | None = None,
    power: float = 1.0,
    start: float = 0.0,
) -> np.ndarray:
    """Return spirals from the centre of k-space to the ellipse that touches its edges.

    ``k(t) = tau^power / 2 (Y sin a, X cos a)`` with ``a = start + 2 pi (turns tau + i / interleaves)`` and
    ``tau = t^(1 / (power + 1))``, t from 0 to 1. Far from the centre, the samples are evenly spaced along the arc.
    Power 1 is the Archimedean spiral, whose turns are evenly spaced; a larger power samples the centre more densely.

    Args:
        shape: (y, x) of the image.
        turns: number of turns of each interleaf, above 0; ``turns * interleaves = X / 2`` is full sampling along x.
        interleaves: number of spirals, rotated against each other, at least 1.
        samples: number of samples of each spiral, at least 1; None takes as many as are needed for the samples to be
            at most half a cycle apart.
        power: how much denser the centre is, above 0.
        start: angle of the first spiral from the axis x, in radians.

    Returns:
        float32 (interleaf, sample, 2). The last axis is (ky, kx) in cycles per field of view, from -Y / 2 to Y / 2 and
        from -X / 2 to X / 2.

    Raises:
        ValueError: The shape is not (y, x), a number is below 1, or the turns or the power are not above 0.

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


def radial_density(trajectory: np.ndarray) -> np.ndarray:
    """Return the k-space area of each sample of a radial trajectory: a ramp times the angle between the spokes.

    ``d(s, n) = |k| dk da_s``, with the step dk along the spoke and half the angle da_s between the two neighbours of
    the spoke (spokes are lines, so angles are taken modulo pi). This is the area element in polar coordinates; it holds
    for an ellipse too. The sample at the centre has ``dk^2 / 6 da_s``, the end correction of the trapezoidal rule for
    the integral of ``|k| f(k)`` along both halves of the spoke. Its part of the disc of diameter dk, ``dk^2 / 4 da_s``,
    would add a constant to the image: on discs of 0.6 to 0.9 fields of view the best factor of ``dk^2 da_s`` is 0.170
    to 0.174 with 2 samples a cycle, and 0.18 to 0.21 with one.

    Args:
        trajectory: (spoke, sample, 2) of straight spokes through the centre, in cycles per field of view.

    Returns:
        float32 (spoke, sample), in squared cycles per field of view; the sum is about the sampled area.

    Raises:
        ValueError: The trajectory has another shape, holds NaN or infinity, or has a spoke of length zero.

    Source: Lauzon and Rutt, "Effects of polar sampling in k-space", Magnetic Resonance in Medicine 36:940-949, 1996;
    for spokes that are not evenly spread the angle of the Voronoi cell replaces ``pi / spokes``.

    >>> radial_density(radial_trajectory((8, 8), 4, samples=8, order="uniform"))[0].round(2)
    array([3.14, 2.36, 1.57, 0.79, 0.13, 0.79, 1.57, 2.36], dtype=float32)
    """
    trajectory = as_trajectory(trajectory)
    along = trajectory[:, -1] - trajectory[:, 0]
    if not (np.hypot(*along.T) > 0).all():
        raise ValueError(f"trajectory {trajectory.shape} has a spoke of length zero: give spokes through the centre")
    angle = np.mod(np.arctan2(along[:, 0], along[:, 1]), math.pi)
    order = np.argsort(angle)
    gaps = np.diff(angle[order], append=angle[order[0]] + math.pi)
    share = np.empty(len(angle))
    share[order] = (gaps + np.roll(gaps, 1)) / 2
    step = np.hypot(*along.T)[:, None] / (trajectory.shape[1] - 1)
    length = np.hypot(trajectory[..., 0], trajectory[..., 1])
    area = np.where(length > step / 4, length * step, step**2 / 6) * share[:, None]
    return area.astype(np.float32)


def density_compensation(trajectory: np.ndarray, steps: int = 10) -> np.ndarray:
    """Estimate the k-space area of each sample of any trajectory by iteration.

    ``d <- d / (C * d)`` from ``d = 1``, where ``(C * d)(k) = sum_j c(k - k_j) d_j`` and c is the product of two
    triangles of half width one cycle, whose integral is 1. At the fixed point the density around every sample is 1; on
    the points of a grid d is exactly 1. On 60 spokes at 32 x 32, ten steps are within 4 % (root mean square) of the
    ramp; more steps fit the kernel rather than the area. At the edge, where there are no samples outside, the weights
    are too large.

    Args:
        trajectory: (spoke, sample, 2), in cycles per field of view.
        steps: number of iterations, at least 1.

    Returns:
        float32 (spoke, sample), in squared cycles per field of view.

    Raises:
        ValueError: The trajectory has another shape or holds NaN or infinity, or there is fewer than 1 step.

    Source: Pipe and Menon, "Sampling density compensation in MRI: rationale and an iterative numerical solution",
    Magnetic Resonance in Medicine 41:179-186, 1999, "Theory"; the kernel is not theirs.

    >>> grid = np.stack(np.meshgrid(np.arange(-2, 2), np.arange(-2, 2)), axis=-1)
    >>> bool((density_compensation(grid) == 1).all())
    True
    """
    from scipy.sparse import coo_array  # these two slow the import of deqjax down
    from scipy.spatial import cKDTree

    trajectory = as_trajectory(trajectory)
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    points = trajectory.reshape(-1, 2)
    pairs = cKDTree(points).query_pairs(1.0, p=np.inf, output_type="ndarray")
    weight = np.prod(1 - np.abs(points[pairs[:, 0]] - points[pairs[:, 1]]), axis=1)
    rows, columns = np.concatenate([pairs, pairs[:, ::-1]]).T
    kernel = coo_array((np.concatenate([weight, weight]), (rows, columns)), shape=(len(points),) * 2).tocsr()
    density = np.ones(len(points))
    for _ in range(steps):
        density = density / (density + kernel @ density)
    return density.reshape(trajectory.shape[:2]).astype(np.float32)


def check_order(order: str) -> None:
    """Check that the order of the spokes is "golden" or "uniform".

    Raises:
        ValueError: It is neither.

    >>> check_order("golden")
    """
    if order not in ("golden", "uniform"):
        raise ValueError(f'order must be "golden" or "uniform", got {order!r}')


def check_counts(shape: tuple[int, int], **counts: int) -> None:
    """Check that the shape of an image is (y, x) and that the named numbers are at least 1.

    Raises:
        ValueError: They are not.

    >>> check_counts((8, 8), spokes=0)
    Traceback (most recent call last):
    ValueError: spokes must be a whole number of at least 1, got 0
    """
    if len(shape) != 2 or min(shape) < 1:
        raise ValueError(f"shape must be (y, x) of the image, both at least 1, got {tuple(shape)}")
    for name, count in counts.items():
        if not isinstance(count, int | np.integer) or count < 1:
            raise ValueError(f"{name} must be a whole number of at least 1, got {count!r}")


def as_trajectory(trajectory: np.ndarray) -> np.ndarray:
    """Return a trajectory as float64 (spoke, sample, 2).

    Raises:
        ValueError: It has another shape, is empty, or holds NaN or infinity.

    >>> as_trajectory(np.zeros((4, 3)))
    Traceback (most recent call last):
    ValueError: trajectory must be (spoke, sample, 2) and not empty, got (4, 3)
    """
    array = np.asarray(trajectory, dtype=np.float64)
    if array.ndim != 3 or array.shape[-1] != 2 or array.size == 0:
        raise ValueError(f"trajectory must be (spoke, sample, 2) and not empty, got {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"trajectory {array.shape} holds NaN or infinity: give finite cycles per field of view")
    return array
