"""How far a mask's artefacts are from a copy of the image."""

import numpy as np


def incoherence(mask: np.ndarray) -> float:
    """Divide the highest side lobe of a mask's point-spread function by its peak.

    ``max over r != 0 of |PSF(r)| / |PSF(0)|`` with ``PSF`` the Fourier transform of the mask over all its axes: 1 for
    every R-th line, whose artefacts are copies of the image, 0 for a full mask; random masks lie between, and the
    lower the better. A mask (1, x) has its side lobes along x. Of a mask (t, 1, x) the time axis is transformed too:
    the point spread in temporal frequency and x.

    Args:
      mask: real, any shape, such as (1, x), (y, x) or (t, 1, x); one mask, not a batch of them.

    Returns:
      no unit, 0 to 1 for masks of zeros and ones.

    Raises:
      ValueError: a mask that samples nothing.

    Source: Lustig, Donoho, Pauly, "Sparse MRI: The application of compressed sensing for rapid MR imaging", Magnetic
    Resonance in Medicine 58:1182-1195, 2007, "Incoherence", the side lobe to peak ratio, for the sparsity basis of
    pixels.

    >>> round(incoherence(np.array([[1, 0, 1, 0]])), 6), round(incoherence(np.ones((4, 5))), 6)
    (1.0, 0.0)
    """
    spread = np.abs(np.fft.fftn(np.asarray(mask, dtype=np.float64))).ravel()
    if not spread.size or spread[0] == 0:
        raise ValueError(f"mask of shape {np.shape(mask)} samples nothing: it has no point-spread function")
    return float(spread[1:].max(initial=0.0) / spread[0])
