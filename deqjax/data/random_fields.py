"""Smooth random functions of position: sums of plane waves, and smoothed noise."""

import numpy as np


def plane_waves(
    rng: np.random.Generator, coordinates: tuple[np.ndarray, ...], frequency: float, count: int
) -> np.ndarray:
    """Sum random plane waves: ``sqrt(2 / count) sum_j cos(2 pi k_j . r + phase_j)``, whose mean square is 1.

    Args:
      rng: the generator of the wave vectors and phases.
      coordinates: one array for each component of the position ``r``, in any unit of length; the arrays broadcast
        against each other.
      frequency: standard deviation of each component of the normally distributed ``k_j``, in cycles per unit of length.
      count: number of waves.

    Returns:
      The values at all positions, float32.

    Source: Shinozuka, "Simulation of Multivariate and Multidimensional Random Processes", Journal of the Acoustical
    Society of America 49:357-368, 1971 (spectral representation of a random field).

    >>> plane_waves(np.random.default_rng(0), (np.zeros((4, 1)), np.zeros(5)), frequency=1.0, count=3).shape
    (4, 5)
    """
    vectors = 2 * np.pi * frequency * rng.standard_normal((count, len(coordinates)))
    phases = rng.uniform(0, 2 * np.pi, count)
    total = np.zeros(np.broadcast_shapes(*(r.shape for r in coordinates)), np.float32)
    for vector, phase in zip(vectors, phases):
        total += np.cos(sum(np.float32(k) * r for k, r in zip(vector, coordinates)) + np.float32(phase))
    return np.float32(np.sqrt(2 / count)) * total


def smoothed_noise(rng: np.random.Generator, shape: tuple[int, int, int], width: float) -> np.ndarray:
    """Smooth white noise with a Gaussian filter, and scale it to standard deviation 1.

    Args:
      rng: the generator of the noise.
      shape: (slice, y, x).
      width: standard deviation of the filter along y and x in pixels; along the slices it is 0.8.

    Returns:
      The noise (slice, y, x), float32.

    >>> smoothed_noise(np.random.default_rng(0), (2, 8, 8), width=2.0).std().round(3)
    np.float32(1.0)
    """
    from scipy.ndimage import gaussian_filter  # half a second of the import of deqjax

    noise = gaussian_filter(rng.standard_normal(shape, np.float32), (0.8, width, width), mode="wrap", truncate=2.5)
    return noise / (noise.std() + np.float32(1e-12))
