"""Writing Cartesian k-space and noise measurements as an ISMRMRD file."""

from pathlib import Path

import h5py
import numpy as np

from deqjax.atomic_write import atomic_file
from deqjax.data.finite_checks import check_finite_write
from deqjax.data.formats.ismrmrd_acquisitions import (
    ACQUISITION,
    FIRST_IN_SLICE,
    LAST_IN_MEASUREMENT,
    LAST_IN_SLICE,
    NOISE,
)
from deqjax.data.formats.ismrmrd_header import make_xml
from deqjax.physics.array_checks import zero_one_mask


def write_ismrmrd(
    path: str | Path,
    kspace: np.ndarray,
    mask: np.ndarray | None = None,
    *,
    voxel_size: tuple[float, float, float] = (1.0, 1.0, 1.0),
    crop: tuple[int, int] | None = None,
    noise: np.ndarray | None = None,
    overwrite: bool = False,
) -> Path:
    """Write Cartesian k-space as an ISMRMRD file, with one acquisition for every line that was sampled.

    The file appears under its name when it is complete.

    Args:
      path: the file.
      kspace: (slice, y, x) or (slice, coil, y, x), stored as complex64; y is the readout.
      mask: the sampled lines, (1, x) or (slice, 1, x); by default all lines.
      voxel_size: mm along (slice, y, x).
      crop: the size (y, x) of ``reconSpace``; by default that of k-space.
      noise: (coil, sample), written as the first acquisition, a noise measurement.
      overwrite: whether an existing file may be replaced.

    Returns:
      The path.

    Raises:
      ValueError: another shape, a size above 65535, a mask of points instead of lines, values that are not finite, or a
        file that exists.

    Source: Inati et al., "ISMRM Raw Data Format", Magnetic Resonance in Medicine 77(1):411-421, 2017.

    >>> import tempfile
    >>> write_ismrmrd(tempfile.mkdtemp() + "/scan.h5", np.ones((3, 8, 6), np.complex64)).name
    'scan.h5'
    """
    if kspace.ndim not in (3, 4) or max(kspace.shape) > 65535 or not np.iscomplexobj(kspace) or kspace.size == 0:
        raise ValueError(
            "kspace must be complex with axes (slice, y, x) or (slice, coil, y, x), of 1 to 65535 each; got shape "
            f"{kspace.shape}, type {kspace.dtype}"
        )
    kspace = (kspace[:, None] if kspace.ndim == 3 else kspace).astype("<c8")
    slices, coils, rows, columns = kspace.shape
    if noise is not None and (noise.ndim != 2 or noise.shape[0] != coils or noise.shape[1] > 65535):
        raise ValueError(
            f"noise must be (coil, sample) with {coils} coils, as kspace {kspace.shape} has, and at most 65535 "
            f"samples; got shape {noise.shape}"
        )
    lines = _sampled_lines(mask, slices, columns)
    check_finite_write(path, "kspace", kspace)
    # each readout: samples (coil, sample), flags, slice, line
    readouts = [] if noise is None else [(noise, 1 << (NOISE - 1), 0, 0)]
    for number, sampled in enumerate(lines):
        for line in map(int, sampled):
            flags = (line == sampled[0]) << (FIRST_IN_SLICE - 1) | (line == sampled[-1]) << (LAST_IN_SLICE - 1)
            readouts.append((kspace[number, :, :, line], int(flags), number, line))
    written = np.zeros(len(readouts), ACQUISITION)
    for i, readout in enumerate(readouts):
        _fill_acquisition(written, i, *readout)
    written["head"]["position"][:, 2] = written["head"]["idx"]["slice"] * voxel_size[0]
    written["head"]["flags"][-1] |= np.uint64(1 << (LAST_IN_MEASUREMENT - 1))
    size = crop or (rows, columns)
    xml = make_xml((rows, columns, 1), (size[0], size[1], 1), (voxel_size[1], voxel_size[2], voxel_size[0]))
    with atomic_file(path, overwrite) as temporary, h5py.File(temporary, "w") as file:
        file.create_dataset("dataset/data", data=written, maxshape=(None,), dtype=ACQUISITION)
        file.create_dataset("dataset/xml", data=[xml], dtype=h5py.string_dtype())
    return Path(path)


def _sampled_lines(mask: np.ndarray | None, slices: int, columns: int) -> list[np.ndarray]:
    """Return the numbers of the sampled lines of every slice."""
    mask = np.ones((1, columns)) if mask is None else zero_one_mask(np.asarray(mask))
    if mask.shape not in ((1, columns), (slices, 1, columns)):
        raise ValueError(
            f"mask has shape {mask.shape}; lines are written, so it must be (1, x) or (slice, 1, x), here "
            f"(1, {columns}) or ({slices}, 1, {columns})"
        )
    lines = [np.flatnonzero(row) for row in np.broadcast_to(mask, (slices, 1, columns))[:, 0]]
    if not all(map(len, lines)):
        raise ValueError("mask leaves a slice without any line; leave that slice out of kspace")
    return lines


def _fill_acquisition(written: np.ndarray, i: int, samples: np.ndarray, flags: int, number: int, line: int) -> None:
    """Fill in acquisition ``i`` with the samples (coil, sample) of one line of the slice ``number``."""
    head = written["head"][i]
    head["version"], head["flags"], head["scan_counter"], head["sample_time_us"] = 1, flags, i, 1
    head["active_channels"] = head["available_channels"] = samples.shape[0]
    head["number_of_samples"], head["center_sample"] = samples.shape[1], samples.shape[1] // 2
    head["read_dir"], head["phase_dir"], head["slice_dir"] = np.eye(3)
    head["idx"]["slice"], head["idx"]["kspace_encode_step_1"] = number, line
    written["traj"][i] = np.zeros(0, "<f4")
    written["data"][i] = np.ascontiguousarray(samples, "<c8").view("<f4").ravel()
