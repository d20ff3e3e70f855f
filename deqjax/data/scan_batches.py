"""Slices of many files, in batches of one shape, a volume at a time."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from deqjax.data.open_scan import open_scan, scan_shape
from deqjax.data.scan import Scan


def scan_batches(
    files: Iterable[str | Path], batch_size: int, slices: tuple[int, int] | None = None
) -> Iterator[list[Scan]]:
    """Read the slices of files of any format, in lists of up to ``batch_size`` with k-space of one shape.

    Each is a `Scan` of one slice, kspace ([coil,] y, x), with its file's name and its number in ``slices``. Files of
    one shape come together, in the order given, and the slices of a file one after another; a list may hold the end of
    one file and the start of the next, and the last list of each shape may be shorter. So
    ``np.stack([scan.kspace for scan in batch])`` compiles once a shape. ``slices=(first, last)``, both included, takes
    these of every file, and skips those that it lacks. Only headers are read at the start, and then only what a list
    needs, when it is asked for. Raises ValueError for no file, a bad batch size, and as `open_scan` does.

    Source: ours; bucketing by shape is usual for ragged data (``tf.data.Dataset.bucket_by_sequence_length``, 2018).

    >>> import tempfile
    >>> from deqjax.data import write_npz
    >>> folder, kspace = tempfile.mkdtemp(), np.ones((3, 8, 6), np.complex64)
    >>> files = [write_npz(f"{folder}/{n}.npz", kspace[:, : 8 - n % 2]) for n in range(3)]
    >>> [[(scan.name, *scan.slices) for scan in batch] for batch in scan_batches(files, batch_size=4, slices=(1, 2))]
    [[('0.npz', 1), ('0.npz', 2), ('2.npz', 1), ('2.npz', 2)], [('1.npz', 1), ('1.npz', 2)]]
    """
    if batch_size < 1:
        raise ValueError(f"need batch_size >= 1, got {batch_size}")
    buckets: dict[tuple[int, ...], list[tuple[Path, int]]] = {}
    for path in map(Path, files):
        total, *shape = scan_shape(path)
        first, last = (0, total - 1) if slices is None else (max(slices[0], 0), min(slices[1], total - 1))
        buckets.setdefault(tuple(shape), []).extend((path, number) for number in range(first, last + 1))
    if not any(buckets.values()):
        raise ValueError("no slices: give at least one file that has them, for instance list_files(folder)")
    return _read(buckets, batch_size)


def _read(buckets: dict[tuple[int, ...], list[tuple[Path, int]]], batch_size: int) -> Iterator[list[Scan]]:
    for index in buckets.values():
        for start in range(0, len(index), batch_size):
            runs: list[tuple[Path, int, int]] = []  # first and last of slices that are read together
            for path, number in index[start : start + batch_size]:
                if runs and (runs[-1][0], runs[-1][2] + 1) == (path, number):
                    runs[-1] = (path, runs[-1][1], number)
                else:
                    runs.append((path, number, number))
            yield [one for path, first, last in runs for one in split_scan(open_scan(path, (first, last)))]


def split_scan(scan: Scan) -> list[Scan]:
    """Take a scan of several slices apart into scans of one, whose arrays have no slice axis.

    >>> [one.kspace.shape for one in split_scan(Scan(np.zeros((2, 8, 6), np.complex64), slices=(4, 5)))]
    [(8, 6), (8, 6)]
    """

    def of(values: np.ndarray | None, sliced: int, i: int) -> np.ndarray | None:
        return values[i] if values is not None and values.ndim == sliced else values

    return [
        replace(
            scan,
            kspace=scan.kspace[i],
            target=of(scan.target, 3, i),
            mask=of(scan.mask, 3, i),
            smaps=of(scan.smaps, 4, i),
            slices=(number,),
        )
        for i, number in enumerate(scan.slices)
    ]
