"""What an ISMRMRD file is made of: acquisitions, their counters and flags."""

import h5py
import numpy as np

COUNTERS = np.dtype(
    [
        *((name, "<u2") for name in ("kspace_encode_step_1", "kspace_encode_step_2", "average", "slice", "contrast")),
        *((name, "<u2") for name in ("phase", "repetition", "set", "segment")),
        ("user", "<u2", 8),
    ]
)
HEAD = np.dtype(
    [
        ("version", "<u2"),
        ("flags", "<u8"),
        *((name, "<u4") for name in ("measurement_uid", "scan_counter", "acquisition_time_stamp")),
        ("physiology_time_stamp", "<u4", 3),
        *((name, "<u2") for name in ("number_of_samples", "available_channels", "active_channels")),
        ("channel_mask", "<u8", 16),
        *((name, "<u2") for name in ("discard_pre", "discard_post", "center_sample", "encoding_space_ref")),
        ("trajectory_dimensions", "<u2"),
        ("sample_time_us", "<f4"),
        *((name, "<f4", 3) for name in ("position", "read_dir", "phase_dir", "slice_dir", "patient_table_position")),
        ("idx", COUNTERS),
        ("user_int", "<i4", 8),
        ("user_float", "<f4", 8),
    ]
)
ACQUISITION = np.dtype([("head", HEAD), ("traj", h5py.vlen_dtype("<f4")), ("data", h5py.vlen_dtype("<f4"))])

# Flags are bits, numbered from 1.
FIRST_IN_SLICE, LAST_IN_SLICE, NOISE, CALIBRATION, REVERSE, LAST_IN_MEASUREMENT = 7, 8, 19, 20, 22, 25
NO_IMAGE = (NOISE, 23, 24, 26, 27, 28, 29, 30, 31)
"""Noise, navigator, phase correction, feedback, dummy, surface coil correction, phase stabilisation."""


def has_flag(flags: np.ndarray, *numbers: int) -> np.ndarray:
    """Which of the flag words have one of these flags.

    >>> has_flag(np.array([1 << 18, 1], np.uint64), NOISE)
    array([ True, False])
    """
    return (flags & np.uint64(sum(1 << (number - 1) for number in numbers))) != 0
