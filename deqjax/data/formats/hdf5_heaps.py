"""Checks of the values of variable length in an HDF5 file, which the HDF5 library reads without any check."""

import mmap
import struct
from pathlib import Path

import h5py
import numpy as np

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


def check_lengths(path: str | Path, dataset: h5py.Dataset) -> None:
    """Check the values of variable length in a dataset: their kind is known, and they are not longer than the file.

    A value is stored as its length and its place in a global heap. The HDF5 library (2.0.0) allocates the length before
    it looks at the heap, and ends the process if a value is neither a list nor a text. The lengths in datasets with a
    filter, such as a compression, are not checked.

    Raises:
      ValueError: the kind of a value is not known, or the values claim more bytes than the file has; the message names
        the file.
    """
    kind, plist = dataset.id.get_type(), dataset.id.get_create_plist()
    if not _kinds_are_known(kind):
        raise ValueError(f"{path}: damaged, the type of {dataset.name!a} is not known; copy or download it again")
    fields = _variable_fields(kind)
    if not fields or not dataset.size or plist.get_nfilters():
        return
    offsets = np.array(_blocks(dataset, plist), np.int64)
    if not offsets.size:
        return
    content = np.memmap(path, np.uint8, mode="r")
    records = np.prod(dataset.chunks or dataset.shape, dtype=np.int64)
    claimed = 0
    for field, size in fields:
        starts = (offsets[:, None] + np.arange(records) * kind.get_size() + field).ravel()
        if starts.max() + 4 > len(content):
            raise ValueError(f"{path}: truncated within {dataset.name!a}; copy or download it again")
        lengths = content[starts[:, None] + np.arange(4)].view("<u4")
        claimed += int(lengths.sum(dtype=np.int64)) * size
    if claimed > len(content):
        raise ValueError(
            f"{path}: damaged, {dataset.name!a} claims {claimed} bytes, but the file has {len(content)}; copy or "
            "download it again"
        )


def _blocks(dataset: h5py.Dataset, plist: h5py.h5p.PropDCID) -> list[int]:
    """Return the positions in the file of the chunks of a dataset, or of all of it if it is stored in one piece."""
    if plist.get_layout() == h5py.h5d.CONTIGUOUS:
        offset = dataset.id.get_offset()
        return [] if offset is None else [offset]
    found: list[int] = []
    if plist.get_layout() == h5py.h5d.CHUNKED:
        dataset.id.chunk_iter(lambda chunk: found.append(chunk.byte_offset))
    return found


def _kinds_are_known(kind: h5py.h5t.TypeID) -> bool:
    """Tell whether every value of variable length in a record is a list (0) or a text (1), with known padding.

    Source: "HDF5 File Format Specification Version 3.0", section IV.A.2.d, the class bit field of class 9.
    """
    if isinstance(kind, h5py.h5t.TypeCompoundID):
        return all(_kinds_are_known(kind.get_member_type(member)) for member in range(kind.get_nmembers()))
    is_text = isinstance(kind, h5py.h5t.TypeStringID) and kind.is_variable_str()
    if is_text or isinstance(kind, h5py.h5t.TypeVlenID):
        flags = kind.encode()[3]  # after two bytes of the encoding and that of the class
        return flags & 15 in (0, 1) and flags >> 4 in (0, 1, 2)
    return True


def _variable_fields(kind: h5py.h5t.TypeID) -> list[tuple[int, int]]:
    """Return the positions in a record of the values of variable length, and the sizes of their elements."""
    if isinstance(kind, h5py.h5t.TypeStringID):
        return [(0, 1)] if kind.is_variable_str() else []
    if isinstance(kind, h5py.h5t.TypeVlenID):
        return [(0, kind.get_super().get_size())]
    if isinstance(kind, h5py.h5t.TypeCompoundID):
        return [
            (kind.get_member_offset(member) + position, size)
            for member in range(kind.get_nmembers())
            for position, size in _variable_fields(kind.get_member_type(member))
        ]
    return []
