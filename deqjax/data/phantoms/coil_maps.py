"""Coil sensitivities of a ring of receive coils."""

import numpy as np


def birdcage_maps(coils: int, shape: tuple[int, int], radius: float = 1.6) -> np.ndarray:
    """Make smooth complex sensitivities of coils on a ring around the image, with ``sum_c |s_c|^2 = 1`` at every pixel.

    The magnitude of ``s_c`` falls off as 1 over the squared distance to coil c, which lies at the angle ``2 pi c /
    coils``. The phase of ``s_c`` is the direction to the coil plus that angle.

    Args:
      coils: number of coils.
      shape: (y, x) of the image.
      radius: radius of the ring, in half fields of view.

    Returns:
      The sensitivities (coil, y, x), complex64.

    Raises:
      ValueError: there is no coil.

    Source: ``birdcage_maps`` of SigPy (Ong and Lustig, "SigPy", ISMRM 2019) computes maps of this kind.

    >>> maps = birdcage_maps(4, (6, 5))
    >>> maps.shape, bool(np.allclose((abs(maps) ** 2).sum(axis=0), 1))
    ((4, 6, 5), True)
    """
    if coils < 1:
        raise ValueError(f"coils must be at least 1, got {coils}")
    y, x = ((np.arange(size) - size // 2) / (size / 2) for size in shape)
    angle = (2 * np.pi * np.arange(coils) / coils)[:, None, None]
    away_y, away_x = y[:, None] - radius * np.sin(angle), x - radius * np.cos(angle)
    maps = np.exp(1j * (np.arctan2(away_x, -away_y) + angle)) / (away_y**2 + away_x**2)
    return (maps / np.sqrt((np.abs(maps) ** 2).sum(axis=0))).astype(np.complex64)
