"""An index over the slices of many files, and their k-space on demand."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal

import numpy as np

from deqjax.data.crop import crop_field_of_view, lower_resolution
from deqjax.data.open_scan import read_kspace, scan_shape

CropMode = Literal["field_of_view", "resolution"]


class Slices:
    """All slices of the files, in order: ``len(slices)``, and ``slices.example(i)``, the k-space of one of them.

    Files may be of any format of `open_scan`. ``slices=(first, last)`` takes these of every file, both included;
    those that a short volume lacks are left out. ``crop=(y, x)`` makes k-space smaller, by ``crop_field_of_view`` or
    by ``lower_resolution`` (``crop_mode``). Only shapes are read here; what was read since is kept up to
    ``cache_bytes``, the least recently used goes first. The answers depend on the arguments alone, and may be asked
    for from several threads.

    Raises ValueError for no file, a bad file, files with and without coils in one list, a file without any of the
    slices, or an unknown crop mode.

    Source: fastMRI's ``SliceDataset`` (Zbontar et al., arXiv:1811.08839, 2018; ``fastmri/data/mri_data.py``).

    >>> import tempfile
    >>> from deqjax.data import write_phantoms
    >>> slices = Slices(write_phantoms(tempfile.mkdtemp(), count=2, shape=(5, 16, 16)), slices=(1, 3), crop=(12, 12))
    >>> len(slices), slices.example(0).shape
    (6, (12, 12))
    """

    def __init__(
        self,
        files: Iterable[str | Path],
        slices: tuple[int, int] | None = None,
        crop: tuple[int, int] | None = None,
        crop_mode: CropMode = "field_of_view",
        cache_bytes: int = 2**30,
    ) -> None:
        modes: dict[str, Callable] = {"field_of_view": crop_field_of_view, "resolution": lower_resolution}
        if crop_mode not in modes:
            raise ValueError(f"crop_mode must be one of {sorted(modes)}, got {crop_mode!r}")
        self.crop = crop
        self._smaller = modes[crop_mode]
        self.index: list[tuple[Path, int]] = []
        coil_axis: dict[bool, Path] = {}
        for path in map(Path, files):
            shape = scan_shape(path)
            total, has_coils = shape[0], len(shape) == 4
            coil_axis.setdefault(has_coils, path)
            first, last = (0, total - 1) if slices is None else slices
            chosen = range(max(first, 0), min(last + 1, total))
            if not chosen:
                raise ValueError(f"{path}: none of the slices {first} to {last}, it has {total}; change data.slices")
            self.index += [(path, number) for number in chosen]
        if not self.index:
            raise ValueError("no files: give at least one, for instance list_files(folder)")
        if len(coil_axis) == 2:
            raise ValueError(
                f"{coil_axis[True]} has coils (slice, coil, y, x) and {coil_axis[False]} has none (slice, y, x): train "
                "on one kind at a time"
            )
        self._cache: OrderedDict[int, np.ndarray] = OrderedDict()
        self._cache_bytes, self._room, self._lock = cache_bytes, cache_bytes, threading.Lock()

    def __len__(self) -> int:
        return len(self.index)

    def example(self, i: int) -> np.ndarray:
        """Fully sampled k-space (y, x) or (coil, y, x) of slice ``i`` of the index, complex64 and read-only.

        Raises ValueError for a slice that is not there, a bad file, and one that is undersampled.
        """
        if not 0 <= i < len(self.index):
            raise ValueError(f"no slice {i}: there are {len(self.index)}, counted from 0")
        with self._lock:
            if i in self._cache:
                self._cache.move_to_end(i)
                return self._cache[i]
        path, number = self.index[i]
        kspace = read_kspace(path, number)
        if self.crop is not None:
            try:
                kspace = self._smaller(kspace, self.crop)
            except ValueError as error:
                raise ValueError(f"{path}: {error} (data.crop)") from error
        kspace.setflags(write=False)
        with self._lock:
            self._keep(i, kspace)
        return kspace

    def _keep(self, i: int, kspace: np.ndarray) -> None:
        if i in self._cache or kspace.nbytes > self._cache_bytes:
            return
        self._cache[i] = kspace
        self._room -= kspace.nbytes
        while self._room < 0:
            self._room += self._cache.popitem(last=False)[1].nbytes
