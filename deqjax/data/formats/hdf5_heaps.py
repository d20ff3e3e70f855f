"""A check of the global heaps of an HDF5 file, because a damaged one makes the HDF5 library loop without end."""

import mmap
import struct
from pathlib import Path

SIGNATURE, HEADER = b"GCOL\x01", 16
"""The start of a collection with its version, and the size of its header and of the header of each object."""

SEARCHED = 2**23
"""Number of bytes between collections that are searched, 8 MiB from the start of the file and 8 MiB before its end."""


def check_global_heaps(path: str | Path) -> None:
    """Check that every object of the global heaps, which hold texts and lists of variable length, has a size.

    The HDF5 library (2.0.0) walks through the objects of a collection by their sizes. It does not return if an object
    has the size 0. Whole collections are skipped in the search for the next one, so that an ISMRMRD file is checked
    completely, and a large file with few collections takes milliseconds.

    Raises:
      ValueError: an object has the size 0 or leaves its collection; the message names the file.

    Source: "HDF5 File Format Specification Version 3.0", section III.E, "Disk Format: Level 1E - Global Heap".

    >>> check_global_heaps(__file__)
    """
    size = Path(path).stat().st_size
    if size < HEADER:
        return
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        for start in sorted({0, max(0, size - SEARCHED)}):
            position, left = start, SEARCHED
            while left > 0:
                found = content.find(SIGNATURE, position, min(position + left, size))
                if found < 0:
                    break
                left -= found - position
                position = found + _collection_size(path, content, found, size)


def _collection_size(path: str | Path, content: mmap.mmap, start: int, file_size: int) -> int:
    """Return the size of a collection after checking its objects, or that of its signature if it is none."""
    if start + HEADER > file_size:
        return len(SIGNATURE)
    (size,) = struct.unpack_from("<Q", content, start + 8)
    if not HEADER <= size <= file_size - start:
        return len(SIGNATURE)
    position, end = start + HEADER, start + size
    while position + HEADER <= end:
        number, _, _, length = struct.unpack_from("<HHIQ", content, position)
        step = length if number == 0 else HEADER + (length + 7) // 8 * 8  # object 0 is the free space
        if step < HEADER or position + step > end:
            raise ValueError(
                f"{path}: damaged, an object of {length} bytes in its global heap at byte {position}; copy or download "
                "it again"
            )
        position += step
    return size
