"""Reading Cartesian k-space from ISMRMRD files."""

from pathlib import Path

import h5py
import numpy as np

from deqjax.data.finite import check_read
from deqjax.data.fourier import fft1c, ifft1c
from deqjax.data.ismrmrd_acquisitions import open_acquisitions, samples_of
from deqjax.data.ismrmrd_header import Encoding
from deqjax.data.ismrmrd_plan import FRAME, Plan, plan_frames
from deqjax.data.scan import Scan, shared_mask, slice_range


def read_ismrmrd(
    path: str | Path,
    slices: tuple[int, int] | None = None,
    *,
    encoding: int | None = None,
    remove_oversampling: bool = False,
) -> Scan:
    """Read Cartesian k-space: kspace (slice, [coil,] y, x) complex64, without the coil axis for one coil.

    y is the readout, x is ``kspace_encode_step_1``; line n lies at ``x = n - center + X // 2``, and a short readout at
    ``y = Y // 2 - center_sample``. The leading axis runs over every (set, repetition, phase, contrast, slice) of the
    file, the slice fastest; ``attrs["frames"]`` lists them. Lines measured more than once (averages, segments) are
    averaged. With partitions (``kspace_encode_step_2``) the scan is 3-D: it is transformed along the readout, so that
    ``slice`` is the position along it, frame by frame, y is the partition and x the line. The mask says what was
    measured, None where all was; lines that are missing evenly at both edges, of a lower phase resolution, are left to
    ``padding``. Noise, navigators and the like are left out, and calibration lines too unless the
    header calls them embedded. ``remove_oversampling`` keeps the field of view of ``reconSpace`` along the readout.
    ``slices=(first, last)`` reads no other acquisition, both included.

    Raises ValueError, which names the file: not HDF5, no acquisitions, a broken header; several encodings in use, which
    it lists (choose with ``encoding``); a trajectory that is not Cartesian; reversed readouts, which need a phase
    correction first; lines outside the encoded space; coils that change; NaN.

    Source: Inati et al., "ISMRM Raw Data Format", Magnetic Resonance in Medicine 77(1):411-421, 2017.

    >>> import tempfile
    >>> from deqjax.data import write_ismrmrd
    >>> path = write_ismrmrd(tempfile.mkdtemp() + "/scan.h5", np.ones((3, 5, 8, 6), np.complex64))
    >>> read_ismrmrd(path, slices=(1, 2)).kspace.shape
    (2, 5, 8, 6)
    """
    with open_acquisitions(path) as (data, encodings):
        plan = plan_frames(path, data, encodings, encoding)
        rows, partitions = plan.encoding.encoded[0], plan.encoding.encoded[2]
        keep = plan.encoding.pixels(0) if remove_oversampling else rows
        per_frame = keep if partitions > 1 else 1
        first, last = slice_range(path, slices, len(plan.frames) * per_frame)
        frames = range(first // per_frame, last // per_frame + 1)
        kspace, lines, measured_rows = _read(path, data, plan, frames)
    if keep < rows:
        measured_rows = measured_rows[(np.arange(keep) - keep // 2) * rows // keep + rows // 2]
        start = (rows - keep) // 2
        kspace = fft1c(ifft1c(kspace, axis=-2)[..., start : start + keep, :], axis=-2) * lines[:, None, :, None]
        kspace *= measured_rows[:, None]
    if partitions > 1:
        # (frame, coil, z, y, x) -> a slice for every position along the readout: (frame y, coil, z, x)
        kspace = np.moveaxis(ifft1c(kspace, axis=-2), -2, 1).reshape(-1, kspace.shape[1], partitions, kspace.shape[-1])
        sampled = np.repeat(lines, keep, axis=0)
        inside = slice(first - frames[0] * per_frame, last + 1 - frames[0] * per_frame)
        kspace, sampled = kspace[inside], sampled[inside]
    else:
        kspace, sampled = kspace[:, :, 0], measured_rows[None, :, None] & lines
    check_read(path, "the k-space", kspace, first, last)
    y, voxel_size = kspace.shape[-2], plan.encoding.voxel_size
    if voxel_size is not None:
        voxel_size = voxel_size[0 if partitions > 1 else 2], voxel_size[2 if partitions > 1 else 0], voxel_size[1]
    return Scan(
        kspace=np.ascontiguousarray(kspace[:, 0] if plan.coils == 1 else kspace),
        mask=None if _only_padded(sampled, plan.encoding.padding) else shared_mask(sampled),
        padding=plan.encoding.padding,
        crop=(min(plan.encoding.pixels(2 if partitions > 1 else 0), y), plan.encoding.pixels(1)),
        attrs={"frames": [dict(zip(FRAME, map(int, plan.frames[number]))) for number in frames]},
        name=Path(path).name,
        slices=tuple(range(first, last + 1)),
        format="ISMRMRD HDF5",
        voxel_size=voxel_size,
    )


def ismrmrd_shape(path: str | Path) -> tuple[int, ...]:
    """Shape (slice, [coil,] y, x) of what `read_ismrmrd` reads, from the headers."""
    with open_acquisitions(path) as (data, encodings):
        plan = plan_frames(path, data, encodings, None)
    x, y, z = plan.encoding.encoded
    coils = (plan.coils,) if plan.coils > 1 else ()
    return (len(plan.frames) * x, *coils, z, y) if z > 1 else (len(plan.frames), *coils, x, y)


def _only_padded(sampled: np.ndarray, padding: tuple[int, int] | None) -> bool:
    """Whether all was sampled but for lines that are missing evenly at both edges, which makes larger pixels only."""
    left, right = padding or (0, sampled.shape[-1])
    even = abs(left - (sampled.shape[-1] - right)) <= 1
    return even and shared_mask(sampled[..., left:right]) is None


def _read(path: str | Path, data: h5py.Dataset, plan: Plan, frames: range) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """K-space (frame, coil, z, y, x), which lines (frame, z, x) and which rows (y,) were measured."""
    columns, partitions = plan.encoding.encoded[1], plan.encoding.encoded[2]
    rows = plan.encoding.encoded[0]
    kspace = np.zeros((len(frames), plan.coils, partitions, rows, columns), np.complex64)
    times = np.zeros((len(frames), partitions, columns), np.int32)
    measured_rows = np.zeros(rows, bool)
    inside = (plan.frame_of >= frames[0]) & (plan.frame_of <= frames[-1])
    frame_of = dict(zip(plan.chosen[inside].tolist(), (plan.frame_of[inside] - frames[0]).tolist()))
    for number, samples in samples_of(path, data, plan.heads, plan.chosen[inside], plan.coils):
        head = plan.heads[number]
        z, x = _position(path, plan.encoding, number, head)
        start = 0
        if samples.shape[1] != rows:
            start = rows // 2 - (int(head["center_sample"]) - int(head["discard_pre"]))
        end = start + samples.shape[1]
        if start < 0 or end > rows:
            raise ValueError(
                f"{path}: acquisition {number} has {samples.shape[1]} samples with centre {head['center_sample']}, "
                f"which do not fit the {rows} of the encoded space; correct the header"
            )
        kspace[frame_of[number], :, z, start:end, x] += samples
        times[frame_of[number], z, x] += 1
        measured_rows[start:end] = True
    if times.max() > 1:
        kspace /= np.maximum(times, 1)[:, None, :, None].astype(np.float32)
    return kspace, times > 0, measured_rows


def _position(path: str | Path, encoding: Encoding, number: int, head: np.ndarray) -> tuple[int, int]:
    """Where on the grid (z, x) a line lies."""
    place = []
    for step, size, centre in (
        (1, encoding.encoded[1], encoding.centre[0]),
        (2, encoding.encoded[2], encoding.centre[1]),
    ):
        line = int(head["idx"][f"kspace_encode_step_{step}"])
        at = line if centre is None else line - centre + size // 2
        if not 0 <= at < size:
            raise ValueError(
                f"{path}: acquisition {number} has kspace_encode_step_{step} = {line}, outside the {size} of the "
                f"encoded space (centre {centre}); correct the header"
            )
        place.append(at)
    return place[1], place[0]
