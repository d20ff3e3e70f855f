"""The acquisitions of an ISMRMRD file, one after another; its noise."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np

from deqjax.data.hdf5 import open_hdf5
from deqjax.data.ismrmrd_header import Encoding, parse_encodings
from deqjax.data.ismrmrd_layout import NOISE, has_flag

BLOCK = 64
"""Acquisitions read at once."""


def read_noise(path: str | Path) -> np.ndarray:
    """Read the noise measurements of an ISMRMRD file: (coil, sample) complex64, readout after readout.

    For ``deqjax.physics.prewhiten(kspace, noise)``: the covariance of the coils is ``noise noise^H / samples``, at the
    bandwidth of the noise scan. Raises ValueError, which names the file, where there are none, and where their coils
    change.

    Source: as of `read_ismrmrd`; flag ``ACQ_IS_NOISE_MEASUREMENT``.

    >>> import tempfile
    >>> from deqjax.data import write_ismrmrd
    >>> path = tempfile.mkdtemp() + "/scan.h5"
    >>> path = write_ismrmrd(path, np.ones((1, 2, 8, 6), np.complex64), noise=np.ones((2, 100), np.complex64))
    >>> read_noise(path).shape
    (2, 100)
    """
    with open_acquisitions(path) as (data, _):
        heads = data.fields("head")[:]
        chosen = np.flatnonzero(has_flag(heads["flags"], NOISE))
        if not len(chosen):
            raise ValueError(f"{path}: no noise measurement among {len(heads)} acquisitions; leave prewhitening out")
        coils = count_coils(path, heads, chosen)
        return np.concatenate([samples for _, samples in samples_of(path, data, heads, chosen, coils)], axis=1)


@contextmanager
def open_acquisitions(path: str | Path) -> Iterator[tuple[h5py.Dataset, list[Encoding]]]:
    """Open a file, and hand out its acquisitions and encodings; every failure is a ValueError that names the file."""
    with open_hdf5(path) as file:
        group = file[find_group(path, file)]
        data = group["data"]
        if data.ndim != 1 or not {"head", "data"} <= set(data.dtype.names or ()):
            raise ValueError(f"{path}: '{group.name}/data' holds {data.dtype} {data.shape}, no acquisitions")
        try:
            encodings = parse_encodings(np.ravel(group["xml"][()])[0])
        except ValueError as error:
            raise ValueError(f"{path}: {error}; repair '{group.name}/xml'") from error
        yield data, encodings


def find_group(path: str | Path, file: h5py.File) -> str:
    """Name of the group with ``data`` and ``xml``: ``dataset``, or the only one."""
    found = [name for name, group in file.items() if isinstance(group, h5py.Group) and {"data", "xml"} <= set(group)]
    if "dataset" in found:
        return "dataset"
    if len(found) != 1:
        count = "several groups" if found else "no group"
        raise ValueError(
            f"{path}: {count} with 'data' and 'xml' among {sorted(map(str, file))}; give an "
            "ISMRMRD file with one measurement, in the group 'dataset'"
        )
    return found[0]


def count_coils(path: str | Path, heads: np.ndarray, chosen: np.ndarray) -> int:
    """Coils of the chosen acquisitions, one number or a ValueError."""
    coils = sorted(set(heads["active_channels"][chosen].tolist()))
    if len(coils) > 1:
        raise ValueError(f"{path}: acquisitions of {coils} coils in one scan; write each kind to its own file")
    return int(coils[0])


def samples_of(
    path: str | Path, data: h5py.Dataset, heads: np.ndarray, chosen: np.ndarray, coils: int
) -> Iterator[tuple[int, np.ndarray]]:
    """The samples (coil, sample) of each chosen acquisition, block by block, without those to discard."""
    for start in range(0, len(chosen), BLOCK):
        block = chosen[start : start + BLOCK]
        for number, floats in zip(block, data.fields("data")[block]):
            head = heads[number]
            size = int(head["number_of_samples"])
            if floats.size != 2 * coils * size:
                raise ValueError(
                    f"{path}: acquisition {number} holds {floats.size} floats, but its head says {coils} coils of "
                    f"{size} complex samples, {2 * coils * size}; the file is damaged, copy it again"
                )
            values = np.ascontiguousarray(floats, "<f4").view("<c8").reshape(coils, size)
            yield int(number), values[:, int(head["discard_pre"]) : size - int(head["discard_post"])]
