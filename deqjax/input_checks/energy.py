"""Checks of where the energy of k-space lies: along its axes and slices, in one sample, and in its real part."""

import numpy as np

CONCENTRATION = 0.4
"""K-space of an image has at least this share of its energy in a tenth of its rows. The least that was measured was
0.6 for single coils with 30 % noise; images have 0.14 to 0.3."""

ONE_SLICE = 0.7
"""The largest share of the energy of 6 slices or more that one slice in ten may have."""

SPIKE = 10
"""A sample with more than this many times the magnitude of all its neighbours is a spike; k-space is smooth."""

SPIKE_SHARE = 1e-3
"""The least share of the energy of a spike that matters: its stripes then are 3 % of the image."""


def energy_of(kspace: np.ndarray) -> np.ndarray:
    """Return the energy (y, x) of k-space (..., y, x), the sum over the leading axes, at a scale of 1."""
    planes = kspace.reshape(-1, *kspace.shape[-2:])
    scale = np.float32(max(np.abs(planes.real).max(), np.abs(planes.imag).max()) or 1)
    energy = np.zeros(planes.shape[-2:])
    for plane in planes:
        energy += (plane.real / scale).astype(np.float64) ** 2 + (plane.imag / scale).astype(np.float64) ** 2
    return energy


def check_concentration(energy: np.ndarray) -> dict[int, str]:
    """Return a warning for every axis, -2 or -1, along which the energy (y, x) is not concentrated as in k-space.

    >>> check_concentration(np.ones((32, 32)))[-2][:55]
    'The energy of k-space is spread along y: the tenth of t'
    """
    warnings = {}
    for axis, name in ((-2, "y"), (-1, "x")):
        share = _share_of_a_tenth(energy.sum(axis=-3 - axis))
        if share < CONCENTRATION:
            warnings[axis] = (
                f"The energy of k-space is spread along {name}: the tenth of the lines with the most energy has "
                f"{share:.0%} of it, where an image has 60 % or more. Either the array is transformed along {name} "
                "already (use dj.physics.fftc or fft2c), or it holds mostly noise."
            )
    return warnings


def check_slices(kspace: np.ndarray) -> tuple[str, ...]:
    """Return a warning if the slices of k-space (slice, [coil,] y, x) seem to be encoded by a Fourier transform.

    >>> volume = np.random.default_rng(0).uniform(1, 2, (8, 4, 4)) + 0j
    >>> check_slices(volume), check_slices(np.fft.fft(volume, axis=0))[0][:48]
    ((), 'The slice 0 of 8 has 97% of the energy of k-spac')
    """
    largest = np.abs(kspace).max()
    energy = np.array([np.sum(np.abs(one / largest) ** 2, dtype=np.float64) for one in kspace])
    share = _share_of_a_tenth(energy)
    if len(kspace) < 6 or share < ONE_SLICE:
        return ()
    return (
        f"The slice {int(np.argmax(energy))} of {len(kspace)} has {share:.0%} of the energy of k-space. If the first "
        "axis is the second phase-encoding axis of a 3-D scan, transform it: "
        "np.fft.fftshift(np.fft.ifft(np.fft.ifftshift(kspace, 0), axis=0), 0).",
    )


def check_real(kspace: np.ndarray) -> tuple[str, ...]:
    """Return a warning if the imaginary part of k-space is zero everywhere.

    >>> check_real(np.ones((1, 4, 4), complex))[0][:49]
    'The imaginary part of k-space is zero everywhere.'
    """
    if kspace.imag.any() or kspace.shape[-1] * kspace.shape[-2] < 4:
        return ()
    return (
        "The imaginary part of k-space is zero everywhere. The image is then symmetric about its centre, which no "
        "measured image is: the phase of k-space was lost, as in a magnitude.",
    )


def find_spike(energy: np.ndarray) -> tuple[int, int] | None:
    """Return the place of the strongest spike in k-space: a sample that is far above all samples around it.

    Samples near the middle, or near the first one, are left out: they may be the peak of an image without contrast.

    Args:
      energy: (y, x).

    >>> energy = np.ones((16, 16))
    >>> energy[3, 4] = 1000
    >>> find_spike(energy)
    (3, 4)
    """
    if min(energy.shape) < 8:
        return None
    around = [np.roll(energy, (i, j), (0, 1)) for i in range(-2, 3) for j in range(-2, 3) if i or j]
    is_spike = (energy > SPIKE**2 * np.max(around, axis=0)) & (np.count_nonzero(around, axis=0) >= 4)
    is_spike &= energy > SPIKE_SHARE * energy.sum()
    distance = [np.minimum(abs(np.arange(n) - n // 2), abs((np.arange(n) + n // 2) % n - n // 2)) for n in energy.shape]
    is_spike &= np.maximum.outer(*distance) > 2
    if not is_spike.any():
        return None
    y, x = np.unravel_index(np.argmax(np.where(is_spike, energy, 0)), energy.shape)
    return int(y), int(x)


def _share_of_a_tenth(profile: np.ndarray) -> float:
    """Return the share of the energy that the tenth of the nonzero entries with the most energy has."""
    profile = np.sort(profile[profile > 0])
    return float(profile[-max(1, round(0.1 * profile.size)) :].sum() / profile.sum())
