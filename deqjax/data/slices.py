"""An index of the slices of many files, which reads their k-space on demand."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal

import numpy as np

from deqjax.data.crop import crop_field_of_view, lower_resolution
from deqjax.data.scan_files import read_kspace, scan_shape

CropMode = Literal["field_of_view", "resolution"]


class Slices:
    """All slices of a list of files: ``len(slices)`` counts them and ``slices.example(i)`` reads the k-space of one.

    Only the shapes are read when the index is made. The k-space of a slice is read when it is asked for, and kept in a
    cache from which the least recently used slice is removed first. The results depend on the arguments alone, and
    several threads may ask for slices at the same time.

    Args:
      files: files of any format of `open_scan`.
      slices: first and last slice, both included, to take of every file; slices that a short volume lacks are left out.
      crop: the size (y, x) to which k-space is reduced.
      crop_mode: "field_of_view" for `crop_field_of_view`, or "resolution" for `lower_resolution`.
      cache_bytes: the size limit of the cache.

    Raises:
      ValueError: no file, a bad file, files with and without coils in one list, a file without any of the slices, or an
        unknown crop mode.

    Source: Zbontar et al., arXiv:1811.08839, 2018 (``SliceDataset`` in ``fastmri/data/mri_data.py``).

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
        self._reduce = modes[crop_mode]
        self.index: list[tuple[Path, int]] = []
        coil_axis: dict[bool, Path] = {}
        for path in map(Path, files):
            shape = scan_shape(path)
            total, has_coils = shape[0], len(shape) == 4
            coil_axis.setdefault(has_coils, path)
            first, last = (0, total - 1) if slices is None else slices
            chosen = range(max(first, 0), min(last + 1, total))
            if not chosen:
                raise ValueError(
                    f"{path}: none of the slices {first} to {last}, it has {total} slices, counted from 0; change "
                    "data.slices"
                )
            self.index += [(path, number) for number in chosen]
        if not self.index:
            raise ValueError("no files: give at least one, for instance list_files(folder)")
        if len(coil_axis) == 2:
            raise ValueError(
                f"{coil_axis[True]} has coils (slice, coil, y, x) and {coil_axis[False]} has none (slice, y, x): give "
                "files of one kind only"
            )
        self._cache: OrderedDict[int, np.ndarray] = OrderedDict()
        self._cache_bytes, self._free_bytes, self._lock = cache_bytes, cache_bytes, threading.Lock()

    def __len__(self) -> int:
        return len(self.index)

    def example(self, i: int) -> np.ndarray:
        """Read the fully sampled k-space of one slice.

        Args:
          i: number of the slice in the index.

        Returns:
          k-space (y, x) or (coil, y, x), complex64 and read-only.

        Raises:
          ValueError: the index has no slice ``i``, or the file is damaged or undersampled.
        """
        if not 0 <= i < len(self.index):
            raise ValueError(f"no slice {i}: there are {len(self.index)} slices, counted from 0")
        with self._lock:
            if i in self._cache:
                self._cache.move_to_end(i)
                return self._cache[i]
        path, number = self.index[i]
        kspace = read_kspace(path, number)
        if self.crop is not None:
            try:
                kspace = self._reduce(kspace, self.crop)
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
        self._free_bytes -= kspace.nbytes
        while self._free_bytes < 0:
            self._free_bytes += self._cache.popitem(last=False)[1].nbytes
