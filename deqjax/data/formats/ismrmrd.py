"""Reading Cartesian k-space and calibration lines from ISMRMRD files."""

import math
from pathlib import Path

import h5py
import numpy as np

from deqjax.data.finite_checks import to_complex64
from deqjax.data.formats.ismrmrd_acquisitions import (
    FRAME_COUNTERS,
    REVERSE,
    ImageAcquisitions,
    has_flag,
    iterate_samples,
    open_acquisitions,
    select_acquisitions,
)
from deqjax.data.formats.ismrmrd_centre import warn_of_centre
from deqjax.data.formats.ismrmrd_header import Encoding
from deqjax.data.fourier_numpy import fft1c, ifft1c
from deqjax.data.scan import Scan, shared_mask, slice_range, warn_of_scan
from deqjax.file_checks import check_claimed_size


def read_ismrmrd(
    path: str | Path,
    slices: tuple[int, int] | None = None,
    *,
    encoding: int | None = None,
    remove_oversampling: bool = False,
    group: str | None = None,
) -> Scan:
    """Read Cartesian k-space from an ISMRMRD file.

    y is the readout and x is ``kspace_encode_step_1``: line n lies at ``x = n - center + X // 2``, and a short readout
    starts at ``y = Y // 2 - center_sample``. Reversed readouts, such as every second echo of a bipolar sequence, are
    flipped; a shift of their echo by a fraction of a sample remains. The leading axis counts every (set, repetition,
    phase, contrast, slice) of the file, with the slice fastest; ``attrs["frames"]`` lists them. Lines that were
    measured more than once (averages, segments) are averaged, each point by its own number of measurements. If there
    are partitions (``kspace_encode_step_2``), the scan is 3-D: it is transformed along the readout, so that ``slice``
    is the position along the readout, frame by frame, y is the partition and x the line.

    The mask says which points were measured, for each slice if the slices differ; it is None if all were. Lines that
    are missing evenly at both edges, which is a lower phase resolution, are described by ``padding`` and not by the
    mask. Noise, navigators and similar acquisitions are left out. Calibration lines are left out too, unless the header
    calls them embedded; ``attrs["calibration_lines"]`` counts those that are left out, and `read_calibration` reads
    them.

    Args:
      path: the file.
      slices: first and last entry of the leading axis to read, both included; None reads all. The samples of no other
        acquisition are read.
      encoding: number of the encoding to read, for a file with several.
      remove_oversampling: whether to keep only the field of view of ``reconSpace`` along the readout.
      group: the HDF5 group of the measurement, for a file with several; by default ``dataset``, or the only one.

    Returns:
      The scan: kspace (slice, [coil,] y, x) complex64, without the coil axis for one coil.

    Raises:
      ValueError: the file is not HDF5, has no acquisitions or a broken header; several encodings or groups are in use
        (the message lists them); the trajectory is not Cartesian; one frame has readouts in both directions, which need
        a phase correction first; lines lie outside the encoded space; the number of coils changes; or values are not
        finite. The message names the file.

    Warns:
      ScanWarning: the centre of k-space in the header disagrees with the energy of the data or with the acquisitions
        (the data are placed by the header), or a 3-D scan has short readouts, which the mask cannot describe.

    Source: Inati et al., "ISMRM Raw Data Format", Magnetic Resonance in Medicine 77(1):411-421, 2017.

    >>> import tempfile
    >>> from deqjax.data import write_ismrmrd
    >>> path = write_ismrmrd(tempfile.mkdtemp() + "/scan.h5", np.ones((3, 5, 8, 6), np.complex64))
    >>> read_ismrmrd(path, slices=(1, 2)).kspace.shape
    (2, 5, 8, 6)
    """
    return _read(path, slices, encoding, remove_oversampling, group, calibration=False)


def read_calibration(
    path: str | Path,
    slices: tuple[int, int] | None = None,
    *,
    encoding: int | None = None,
    remove_oversampling: bool = False,
    group: str | None = None,
) -> Scan:
    """Read the calibration lines of an ISMRMRD file, from which coil sensitivities are estimated.

    These are the lines with the flags "parallel calibration" and "parallel calibration and imaging", of every
    calibration mode: embedded, interleaved, separate and other. They are placed as in `read_ismrmrd`, and the mask says
    where they lie. The leading axis counts the frames in which calibration lines were measured, which may be fewer
    than those of the image; ``attrs["frames"]`` lists them.

    Args:
      path: the file.
      slices: first and last entry of the leading axis to read, both included; None reads all.
      encoding: number of the encoding to read, for a file with several.
      remove_oversampling: whether to keep only the field of view of ``reconSpace`` along the readout.
      group: the HDF5 group of the measurement, for a file with several.

    Returns:
      The scan: kspace (slice, [coil,] y, x) complex64, which is zero where no calibration line was measured.

    Raises:
      ValueError: the file has no calibration lines, and the cases of `read_ismrmrd`.

    >>> import tempfile
    >>> from deqjax.data import write_ismrmrd
    >>> read_calibration(write_ismrmrd(tempfile.mkdtemp() + "/scan.h5", np.ones((3, 5, 8, 6), np.complex64)))
    Traceback (most recent call last):
    ValueError: ...scan.h5: no calibration lines among 18 acquisitions; estimate the sensitivities from the image
    """
    return _read(path, slices, encoding, remove_oversampling, group, calibration=True)


def ismrmrd_shape(path: str | Path) -> tuple[int, ...]:
    """Return the shape (slice, [coil,] y, x) of what `read_ismrmrd` reads, from the headers."""
    with open_acquisitions(path) as (data, encodings):
        image = select_acquisitions(path, data, encodings, None)
    x, y, z = image.encoding.encoded
    coils = (image.coils,) if image.coils > 1 else ()
    return (len(image.frames) * x, *coils, z, y) if z > 1 else (len(image.frames), *coils, x, y)


def _sampled_but_for_padding(sampled: np.ndarray, padding: tuple[int, int] | None) -> bool:
    """Whether everything was sampled except for lines that are missing evenly at both edges."""
    left, right = padding or (0, sampled.shape[-1])
    even = abs(left - (sampled.shape[-1] - right)) <= 1
    return even and shared_mask(sampled[..., left:right]) is None


def _read(
    path: str | Path,
    slices: tuple[int, int] | None,
    encoding: int | None,
    remove_oversampling: bool,
    group: str | None,
    calibration: bool,
) -> Scan:
    with open_acquisitions(path, group) as (data, encodings):
        image = select_acquisitions(path, data, encodings, encoding, calibration)
        rows, partitions = image.encoding.encoded[0], image.encoding.encoded[2]
        keep = image.encoding.pixels(0) if remove_oversampling else rows
        per_frame = keep if partitions > 1 else 1
        first, last = slice_range(path, slices, len(image.frames) * per_frame)
        frames = range(first // per_frame, last // per_frame + 1)
        kspace, measured = _read_frames(path, data, image, frames)
    kspace = to_complex64(path, "the k-space", kspace, first, last)
    warn_of_centre(path, image, kspace)
    if keep < rows:
        start = (rows - keep) // 2
        measured = measured[:, :, (np.arange(keep) - keep // 2) * rows // keep + rows // 2]
        kspace = fft1c(ifft1c(kspace, axis=-2)[..., start : start + keep, :], axis=-2) * measured[:, None]
    if partitions > 1:
        # (frame, coil, z, y, x) -> (frame y, coil, z, x): one slice for every position along the readout
        kspace = np.moveaxis(ifft1c(kspace, axis=-2), -2, 1).reshape(-1, kspace.shape[1], partitions, kspace.shape[-1])
        sampled = np.asarray(measured.any(axis=2))
        if (measured != sampled[:, :, None]).any():
            warn_of_scan(
                f"{path}: a 3-D scan with short readouts (partial echo), which are filled with zeros before the "
                "transform along the readout; expect a lower resolution along it, which the mask does not describe"
            )
        sampled = np.repeat(sampled, keep, axis=0)
        inside = slice(first - frames[0] * per_frame, last + 1 - frames[0] * per_frame)
        kspace, sampled = kspace[inside], sampled[inside]
    else:
        kspace, sampled = kspace[:, :, 0], measured[:, 0]
    y, voxel_size = kspace.shape[-2], image.encoding.voxel_size
    if voxel_size is not None:
        voxel_size = voxel_size[0 if partitions > 1 else 2], voxel_size[2 if partitions > 1 else 0], voxel_size[1]
    padding = None if calibration else image.encoding.padding
    return Scan(
        kspace=np.ascontiguousarray(kspace[:, 0] if image.coils == 1 else kspace),
        mask=None if not calibration and _sampled_but_for_padding(sampled, padding) else shared_mask(sampled),
        padding=padding,
        crop=(min(image.encoding.pixels(2 if partitions > 1 else 0), y), image.encoding.pixels(1)),
        attrs={
            "frames": [dict(zip(FRAME_COUNTERS, map(int, image.frames[number]))) for number in frames],
            "calibration_lines": 0 if calibration else image.calibration_lines,
        },
        name=Path(path).name,
        slices=tuple(range(first, last + 1)),
        format="ISMRMRD HDF5",
        voxel_size=voxel_size,
    )


def _read_frames(
    path: str | Path, data: h5py.Dataset, image: ImageAcquisitions, frames: range
) -> tuple[np.ndarray, np.ndarray]:
    """Read k-space (frame, coil, z, y, x), and which of its points (frame, z, y, x) were measured."""
    rows, columns, partitions = image.encoding.encoded
    shape = (len(frames), image.coils, partitions, rows, columns)
    check_claimed_size(path, f"k-space {shape} of the header", 8 * math.prod(shape), Path(path).stat().st_size)
    kspace = np.zeros(shape, np.complex64)
    times = np.zeros((len(frames), partitions, rows, columns), np.int32)
    inside = (image.frame_of >= frames[0]) & (image.frame_of <= frames[-1])
    chosen, frame_of = image.chosen[inside], image.frame_of[inside] - frames[0]
    backwards = has_flag(image.heads["flags"], REVERSE)
    both = np.intersect1d(frame_of[backwards[chosen]], frame_of[~backwards[chosen]])
    if both.size:
        raise ValueError(
            f"{path}: readouts in both directions in frame {both[0] + frames[0]}; correct their phase and write them "
            "in one direction"
        )
    frame_of_number = dict(zip(chosen.tolist(), frame_of.tolist()))
    for number, samples in iterate_samples(path, data, image.heads, chosen, image.coils):
        head = image.heads[number]
        z, x = _grid_position(path, image.encoding, number, head)
        size, centre = samples.shape[1], int(head["center_sample"]) - int(head["discard_pre"])
        if backwards[number]:
            samples, centre = samples[:, ::-1], size - 1 - centre
        start = 0 if size == rows else rows // 2 - centre
        if start < 0 or start + size > rows:
            raise ValueError(
                f"{path}: acquisition {number} has {size} samples with centre {head['center_sample']}, which do not "
                f"fit the {rows} of the encoded space along the readout (y); correct the header"
            )
        frame = frame_of_number[number]
        with np.errstate(invalid="ignore", over="ignore"):  # the sums are checked when all are read
            kspace[frame, :, z, start : start + size, x] += samples
        times[frame, z, start : start + size, x] += 1
    if times.max() > 1:
        kspace /= np.maximum(times, 1)[:, None].astype(np.float32)
    return kspace, times > 0


def _grid_position(path: str | Path, encoding: Encoding, number: int, head: np.ndarray) -> tuple[int, int]:
    """Return the indices (z, x) of an acquisition on the grid of the encoded space."""
    position = []
    for step, axis, size, centre in (
        (1, "x", encoding.encoded[1], encoding.centre[0]),
        (2, "z", encoding.encoded[2], encoding.centre[1]),
    ):
        line = int(head["idx"][f"kspace_encode_step_{step}"])
        at = line if centre is None else line - centre + size // 2
        if not 0 <= at < size:
            raise ValueError(
                f"{path}: acquisition {number} has kspace_encode_step_{step} = {line}, outside the {size} lines of the "
                f"encoded space along {axis} (centre {centre}); correct the header"
            )
        position.append(at)
    return position[1], position[0]
