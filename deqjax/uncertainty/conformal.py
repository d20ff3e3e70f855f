"""Split conformal calibration: how far a scale must be stretched, from the errors of images that were held back.

Nothing is assumed about the method, the errors or the scale, except that the new image and the calibration images are
*exchangeable*: their joint distribution does not depend on their order. This holds for slices of one population under
one acquisition, and not for another person, scanner or contrast.

Sources: A. N. Angelopoulos et al., "Image-to-image regression with distribution-free uncertainty quantification and
applications in imaging", ICML 2022 (intervals for images); A. N. Angelopoulos and S. Bates, "A gentle introduction to
conformal prediction and distribution-free uncertainty quantification", 2021, section 1 and appendix D (the quantile);
J. Wen, R. Ahmad, P. Schniter, "Conformal bounds on full-reference image quality for imaging inverse problems", 2025
(the bound on a metric).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike


def conformal_quantile(scores: Sequence[float] | np.ndarray, delta: float) -> float:
    """Return the ``ceil((n + 1) (1 - delta))``-th smallest of n scores.

    The score of a further exchangeable image is at most this value with probability ``1 - delta`` or more, and, without
    ties, with probability ``ceil((n + 1) (1 - delta)) / (n + 1)`` exactly.

    Args:
      scores: of the calibration images, (n,).
      delta: in (0, 1).

    Returns:
      The quantile; infinity if there are fewer than ``1 / delta - 1`` scores.

    Raises:
      ValueError: there is no score, a score is NaN, or delta is not in (0, 1).

    >>> conformal_quantile([3.0, 1.0, 2.0, 4.0], 0.4), conformal_quantile([3.0, 1.0, 2.0, 4.0], 0.1)
    (3.0, inf)
    """
    found = np.sort(np.asarray(scores, float))
    check_fraction("delta", delta)
    if found.ndim != 1 or not found.size or np.isnan(found).any():
        raise ValueError(f"scores must be one number for each of at least one image, without NaN; they are {scores}")
    rank = int(np.ceil((found.size + 1) * (1 - delta) - 1e-9))
    return float(found[rank - 1]) if rank <= found.size else np.inf


def image_score(error: ArrayLike, scale: ArrayLike, alpha: float) -> float:
    """Return the smallest factor for which at most a fraction alpha of the pixels have an error above factor x scale.

    Args:
      error: the magnitudes of the errors, one for each pixel of one image.
      scale: the expected size of the error, with the same shape; not negative.
      alpha: in (0, 1).

    Returns:
      The factor; infinity if more than alpha of the pixels have an error and a scale of 0.

    Raises:
      ValueError: the shapes differ, an entry is negative or NaN, or alpha is not in (0, 1).

    >>> image_score([0.0, 1.0, 2.0, 9.0], [1.0, 1.0, 1.0, 1.0], 0.25)
    2.0
    """
    check_fraction("alpha", alpha)
    size, unit = np.asarray(error, float), np.asarray(scale, float)
    if size.shape != unit.shape or not size.size:
        raise ValueError(f"error has shape {size.shape} and scale {unit.shape}: give one of each for every pixel")
    if not ((size >= 0).all() and (unit >= 0).all()):
        raise ValueError("error and scale must be at least 0 and not NaN")
    ratio = np.divide(size, unit, out=np.where(size > 0, np.inf, 0.0), where=unit > 0).ravel()
    return float(np.sort(ratio)[ratio.size - 1 - int(np.floor(alpha * ratio.size + 1e-9))])


def check_fraction(name: str, value: float) -> None:
    """Raise a ValueError unless a value is in (0, 1).

    >>> check_fraction("alpha", 0.1)
    """
    if not 0 < value < 1:
        raise ValueError(f"{name} must be in (0, 1); it is {value}")
