"""Which acquisitions of an ISMRMRD file make the image, and which frame each belongs to."""

from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from deqjax.data.ismrmrd_acquisitions import count_coils
from deqjax.data.ismrmrd_header import Encoding
from deqjax.data.ismrmrd_layout import CALIBRATION, NO_IMAGE, REVERSE, has_flag

FRAME = ("set", "repetition", "phase", "contrast", "slice")
"""The counters that number the frames, the slowest first."""


class Plan(NamedTuple):
    """The encoding that was chosen, and its acquisitions."""

    encoding: Encoding
    heads: np.ndarray
    chosen: np.ndarray
    """Numbers of the acquisitions that are image."""
    frames: np.ndarray
    """(frame, 5): the counters FRAME of every frame."""
    frame_of: np.ndarray
    """Frame of each of the chosen."""
    coils: int


def plan_frames(path: str | Path, data: h5py.Dataset, encodings: list[Encoding], wanted: int | None) -> Plan:
    """Choose encoding and acquisitions; every refusal of `read_ismrmrd` that concerns them is made here."""
    heads = data.fields("head")[:]
    flags, space = heads["flags"], heads["encoding_space_ref"]
    embedded = np.array([encoding.calibration == "embedded" for encoding in encodings] or [False])
    calibration = has_flag(flags, CALIBRATION) & ~embedded[np.minimum(space, len(embedded) - 1)]
    image = ~has_flag(flags, *NO_IMAGE) & ~calibration
    used = sorted(set(space[image].tolist()))
    if not used:
        raise ValueError(f"{path}: none of {len(heads)} acquisitions is of an image; give the measurement itself")
    names = ", ".join(f"{n}: {encodings[n] if n < len(encodings) else 'not in the header'}" for n in used)
    if wanted is None and len(used) > 1:
        raise ValueError(f"{path}: {len(used)} encodings in use ({names}); choose one, read_ismrmrd(path, encoding=0)")
    number = used[0] if wanted is None else wanted
    if number not in used or number >= len(encodings):
        raise ValueError(f"{path}: no acquisitions of encoding {number}, or no header of it; in use are {names}")
    encoding = encodings[number]
    if encoding.trajectory != "cartesian":
        raise ValueError(
            f"{path}: trajectory '{encoding.trajectory}', only 'cartesian' is read; grid it first, or reconstruct it "
            "with physics.NonCartesian"
        )
    chosen = np.flatnonzero(image & (space == number))
    if has_flag(flags[chosen], REVERSE).any():
        raise ValueError(f"{path}: readouts in both directions; correct their phase and write them in one direction")
    counters = np.stack([heads["idx"][name][chosen] for name in FRAME], axis=1)
    frames, frame_of = np.unique(counters, axis=0, return_inverse=True)
    return Plan(encoding, heads, chosen, frames, frame_of.reshape(-1), count_coils(path, heads, chosen))
