"""Warnings if the centre of k-space in an ISMRMRD header disagrees with the data."""

from pathlib import Path

import numpy as np

from deqjax.data.formats.ismrmrd_acquisitions import ImageAcquisitions
from deqjax.data.scan import warn_of_scan

SMALLEST_SIZE = 16
"""Along a shorter axis, the energy does not tell where the centre is."""

PEAK_OVER_MEDIAN, PEAK_OVER_CENTRE = 10, 4
"""A peak of the energy counts only if it is that much higher than the median and than the values at the centre."""


def warn_of_centre(path: str | Path, image: ImageAcquisitions, kspace: np.ndarray) -> None:
    """Warn if the energy of k-space or the fields of Siemens converters put its centre elsewhere than the header.

    Siemens converters write the line and the partition at the centre of k-space to ``idx.user[5]`` and ``idx.user[6]``.
    The energy of k-space is largest at its centre; it counts if its peak is 10 times the median and lies more than
    ``max(3, size // 24)`` points away.

    Args:
      path: the file.
      image: the acquisitions.
      kspace: (frame, coil, z, y, x).

    Warns:
      ScanWarning: they disagree.
    """
    encoding, counters = image.encoding, image.heads["idx"][image.chosen]
    user = counters["user"] if "user" in (counters.dtype.names or ()) else np.zeros((0, 0))
    for step, entry, size in ((1, 5, encoding.encoded[1]), (2, 6, encoding.encoded[2])):
        centre = encoding.centre[step - 1]
        centre = size // 2 if centre is None else centre
        found = np.unique(user[:, entry]) if user.ndim == 2 and user.shape[1] > entry else np.zeros(0)
        if size > 1 and len(found) == 1 and 0 < found[0] < size and found[0] != centre:
            warn_of_scan(
                f"{path}: the centre of k-space along kspace_encode_step_{step} is {centre} in the header, but "
                f"{found[0]} in idx.user[{entry}], where Siemens converters write it; the data are placed by the "
                "header, correct the center of its encodingLimits if the image is wrong"
            )
    energy = np.zeros(kspace.shape[2:])
    for frame in kspace:
        for coil in frame:
            energy += np.square(coil.real, dtype=np.float64) + np.square(coil.imag, dtype=np.float64)
    for axis, name in enumerate("zyx"):
        profile = energy.sum(axis=tuple(other for other in range(3) if other != axis))
        peak, centre = _energy_peak(profile), len(profile) // 2
        if peak is not None:
            warn_of_scan(
                f"{path}: the energy of k-space is largest at {name} = {peak}, and not at its centre {name} = "
                f"{centre}, where the header puts the zero frequency; correct the header (center of encodingLimits, or "
                "center_sample of the acquisitions) if the image is wrong"
            )


def _energy_peak(profile: np.ndarray) -> int | None:
    """Return the index of a clear peak of the energy that is not at the centre; None if there is no such peak."""
    size, present = len(profile), profile[profile > 0]
    if size < SMALLEST_SIZE or not present.size or not np.isfinite(profile).all():
        return None
    peak, centre, tolerance = int(profile.argmax()), size // 2, max(3, size // 24)
    near = profile[centre - tolerance : centre + tolerance + 1].max()
    clear = profile[peak] > PEAK_OVER_MEDIAN * np.median(present) and profile[peak] > PEAK_OVER_CENTRE * near
    return peak if clear and abs(peak - centre) > tolerance else None
