"""Measures of a mask: its realised acceleration and its incoherence."""

import numpy as np


def realised_acceleration(mask: np.ndarray) -> float:
    """Return the number of points of a mask over the number of points that it samples, ``1 / mean(mask)``.

    Args:
        mask: any array of zeros and ones, such as (1, x) or (y, x).

    Returns:
        The acceleration that the mask realises, without unit; the setting ``acceleration`` is nominal.

    Raises:
        ValueError: The mask samples nothing, or holds another value than 0 and 1.

    >>> realised_acceleration(np.array([[1, 0, 0, 1, 0, 0]]))
    3.0
    """
    sampled = np.count_nonzero(_zeros_and_ones(mask))
    if sampled == 0:
        raise ValueError(f"mask of shape {np.shape(mask)} samples nothing: its acceleration is infinite")
    return float(np.size(mask) / sampled)


def incoherence(mask: np.ndarray) -> float:
    """Return the highest side lobe of a mask's point-spread function over its peak.

    ``max over r != 0 of |PSF(r)| / |PSF(0)|``, where ``PSF`` is the Fourier transform of the mask over all its axes.
    The result is 1 for every R-th line, whose artefacts are copies of the image, and 0 for a full mask. Random masks
    lie between; lower is better. The side lobes of a mask (1, x) lie along x. For a mask (t, 1, x) the time axis is
    transformed too, which gives the point spread in temporal frequency and x.

    Args:
        mask: one real mask of any shape, such as (1, x), (y, x) or (t, 1, x); not a batch of masks.

    Returns:
        A number without unit, 0 to 1 for masks of zeros and ones.

    Raises:
        ValueError: The mask samples nothing, or holds another value than 0 and 1.

    Source: Lustig, Donoho, Pauly, "Sparse MRI: The application of compressed sensing for rapid MR imaging", Magnetic
    Resonance in Medicine 58:1182-1195, 2007, "Incoherence", the side lobe to peak ratio, for the sparsity basis of
    pixels.

    >>> round(incoherence(np.array([[1, 0, 1, 0]])), 6), round(incoherence(np.ones((4, 5))), 6)
    (1.0, 0.0)
    """
    spread = np.abs(np.fft.fftn(_zeros_and_ones(mask))).ravel()
    if not spread.size or spread[0] == 0:
        raise ValueError(f"mask of shape {np.shape(mask)} samples nothing: it has no point-spread function")
    return float(spread[1:].max(initial=0.0) / spread[0])


def _zeros_and_ones(mask: np.ndarray) -> np.ndarray:
    """Return a mask as float64; raise a ValueError if it holds another value than 0 and 1."""
    values = np.asarray(mask)
    if values.dtype.kind not in "biuf" or not ((values == 0) | (values == 1)).all():
        raise ValueError(
            f"mask of shape {values.shape} must hold only 0 (not sampled) and 1 (sampled): divide a mask of 0 and 255 "
            "by 255, and set NaN to 0 or 1"
        )
    return values.astype(np.float64)
