"""An index of the slices of many files, which reads their k-space on demand."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal

import numpy as np

from deqjax.data.crop import crop_field_of_view, crop_kspace, lower_resolution
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
        self._cache: OrderedDict[int, tuple[np.ndarray, np.ndarray | None]] = OrderedDict()
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
        kspace, mask = self.measured(i)
        if mask is not None:
            path, number = self.index[i]
            raise ValueError(
                f"{path}: slice {number} is undersampled, and this needs the full k-space: give fully sampled files, "
                "train with an objective that needs no targets (docs/without_targets.md), or evaluate it as it is"
            )
        return kspace

    def measured(self, i: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Read the k-space of one slice as it was measured, and its mask.

        Args:
          i: number of the slice in the index.

        Returns:
          k-space ([coil,] y, x) complex64, and the mask that broadcasts against (y, x), or None if the slice is fully
          sampled. Both are read-only.

        Raises:
          ValueError: the index has no slice ``i``, the file is damaged, or the crop to a smaller field of view needs
            lines that were not measured.
        """
        if not 0 <= i < len(self.index):
            raise ValueError(f"no slice {i}: there are {len(self.index)} slices, counted from 0")
        with self._lock:
            if i in self._cache:
                self._cache.move_to_end(i)
                return self._cache[i]
        path, number = self.index[i]
        kspace, mask = read_kspace(path, number)
        if self.crop is not None:
            try:
                kspace, mask = self._cropped(kspace, mask, self.crop)
            except ValueError as error:
                raise ValueError(f"{path}: {error} (data.crop)") from error
        kspace.setflags(write=False)
        if mask is not None:
            mask = np.asarray(mask, np.float32)
            mask.setflags(write=False)
        with self._lock:
            self._keep(i, (kspace, mask))
        return kspace, mask

    def _cropped(
        self, kspace: np.ndarray, mask: np.ndarray | None, crop: tuple[int, int]
    ) -> tuple[np.ndarray, np.ndarray | None]:
        if mask is None:
            return self._reduce(kspace, crop), None
        if self._reduce is lower_resolution:
            whole = np.broadcast_to(mask, kspace.shape[-2:])
            small = crop_kspace(whole, crop)
            return lower_resolution(kspace, crop), small[:1] if mask.shape[-2] == 1 else small
        if crop[1] != kspace.shape[-1] or mask.shape[-2] != 1:
            raise ValueError(
                f"k-space (y, x) = {kspace.shape[-2:]} with lines left out along x can only be cropped along y, and "
                f"not at all if points are left out; the crop is {crop} and the mask has shape {mask.shape}"
            )
        return crop_field_of_view(kspace, crop), mask

    def _keep(self, i: int, measured: tuple[np.ndarray, np.ndarray | None]) -> None:
        size = measured[0].nbytes
        if i in self._cache or size > self._cache_bytes:
            return
        self._cache[i] = measured
        self._free_bytes -= size
        while self._free_bytes < 0:
            self._free_bytes += self._cache.popitem(last=False)[1][0].nbytes
