"""Batches of slices from files of any format and shape, with one k-space shape in each batch."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from deqjax.data.scan import Scan
from deqjax.data.scan_files import open_scan, scan_shape


def scan_batches(
    files: Iterable[str | Path], batch_size: int, slices: tuple[int, int] | None = None
) -> Iterator[list[Scan]]:
    """Read the slices of files of any format, in lists of up to ``batch_size`` slices with k-space of one shape.

    Files of one shape come together, in the order given, and the slices of a file follow each other. A list may hold
    the end of one file and the start of the next, and the last list of each shape may be shorter. A function of
    ``np.stack([scan.kspace for scan in batch])`` is therefore compiled once for each shape, and a second time where the
    last list is shorter. Only the headers are read at the start; the k-space of a list is read when the list is asked
    for.

    Args:
      files: the files, of any format of `open_scan`.
      batch_size: the largest number of slices in a list.
      slices: first and last slice, both included, to take of every file; slices that a file lacks are skipped.

    Returns:
      An iterator of lists. Each element is a `Scan` of one slice, with kspace ([coil,] y, x), the name of its file in
      ``name`` and its number in ``slices``.

    Raises:
      ValueError: no file, a bad batch size, and the errors of `open_scan`.

    >>> import tempfile
    >>> from deqjax.data import write_npz
    >>> folder, kspace = tempfile.mkdtemp(), np.ones((3, 8, 6), np.complex64)
    >>> files = [write_npz(f"{folder}/{n}.npz", kspace[:, : 8 - n % 2]) for n in range(3)]
    >>> [[(scan.name, *scan.slices) for scan in batch] for batch in scan_batches(files, batch_size=4, slices=(1, 2))]
    [[('0.npz', 1), ('0.npz', 2), ('2.npz', 1), ('2.npz', 2)], [('1.npz', 1), ('1.npz', 2)]]
    """
    if batch_size < 1:
        raise ValueError(f"need batch_size >= 1, got {batch_size}")
    by_shape: dict[tuple[int, ...], list[tuple[Path, int]]] = {}
    for path in map(Path, files):
        total, *shape = scan_shape(path)
        first, last = (0, total - 1) if slices is None else (max(slices[0], 0), min(slices[1], total - 1))
        by_shape.setdefault(tuple(shape), []).extend((path, number) for number in range(first, last + 1))
    if not any(by_shape.values()):
        raise ValueError("no slices: give at least one file that has them, for instance list_files(folder)")
    return _read_batches(by_shape, batch_size)


def _read_batches(by_shape: dict[tuple[int, ...], list[tuple[Path, int]]], batch_size: int) -> Iterator[list[Scan]]:
    for index in by_shape.values():
        for start in range(0, len(index), batch_size):
            runs: list[tuple[Path, int, int]] = []  # first and last of consecutive slices, which are read together
            for path, number in index[start : start + batch_size]:
                if runs and (runs[-1][0], runs[-1][2] + 1) == (path, number):
                    runs[-1] = (path, runs[-1][1], number)
                else:
                    runs.append((path, number, number))
            yield [one for path, first, last in runs for one in split_scan(open_scan(path, (first, last)))]


def split_scan(scan: Scan) -> list[Scan]:
    """Split a scan of several slices into scans of one slice, whose arrays have no slice axis.

    >>> [one.kspace.shape for one in split_scan(Scan(np.zeros((2, 8, 6), np.complex64), slices=(4, 5)))]
    [(8, 6), (8, 6)]
    """

    def entry(values: np.ndarray | None, ndim_with_slices: int, i: int) -> np.ndarray | None:
        return values[i] if values is not None and values.ndim == ndim_with_slices else values

    return [
        replace(
            scan,
            kspace=scan.kspace[i],
            target=entry(scan.target, 3, i),
            mask=entry(scan.mask, 3, i),
            smaps=entry(scan.smaps, 4, i),
            slices=(number,),
        )
        for i, number in enumerate(scan.slices)
    ]
