"""The noise level of measured k-space, and the scale to which noise levels are relative."""

import numpy as np

FAR = 0.15
"""The share of the samples, those farthest from the centre of k-space, from which the noise is measured."""


def estimate_noise(kspace: np.ndarray, mask: np.ndarray) -> float:
    """Estimate the standard deviation of the complex noise, ``sigma^2 = -q / log(3/4)``.

    q is the lower quartile of ``|y|^2`` over the samples that are farthest from the centre, a share of ``FAR``. This
    holds for complex Gaussian noise, whose ``|n|^2`` has the distribution ``1 - exp(-t / sigma^2)``; signal makes it an
    upper bound.

    Args:
      kspace: ([coil,] y, x) complex.
      mask: zeros and ones, broadcasts against (y, x).

    Returns:
      ``sigma = sqrt(E |n|^2)`` in the units of the k-space, or 0 if nothing was measured.

    >>> rng = np.random.default_rng(0)
    >>> noise = rng.normal(size=(128, 128)) + 1j * rng.normal(size=(128, 128))
    >>> 1.3 < estimate_noise(noise, np.ones((1, 128))) < 1.5
    True
    """
    y, x = kspace.shape[-2:]
    planes, mask = kspace.reshape(-1, y, x), np.broadcast_to(mask, (y, x)) != 0
    if not mask.any():
        return 0.0
    radius = np.hypot((np.arange(y)[:, None] - y // 2) / y, (np.arange(x) - x // 2) / x)
    far = mask & (radius >= np.quantile(radius[mask], 1 - FAR))
    samples = np.abs(planes[:, far]).astype(np.float64) ** 2
    samples = samples[samples > 0]
    return float(np.sqrt(np.quantile(samples, 0.25) / -np.log(0.75))) if samples.size else 0.0


def energy_scale(power: np.ndarray) -> float:
    """Return ``sqrt(sum p^2 / sum p)`` of the squared magnitudes p of an image, the scale of `deqjax.EnergyScale`.

    >>> energy_scale(np.array([[9.0, 9.0], [0.0, 0.0]]))
    3.0
    """
    return float(np.sqrt((power**2).sum() / power.sum())) if power.any() else 0.0
