"""Recognising files that people open by mistake, and refusing files that claim more data than they can hold."""

import gzip
import zlib
from pathlib import Path

LARGEST_UNCHECKED = 2**28
"""Arrays of up to 256 MiB are read whatever the size of their file."""

LARGEST_RATIO = 200
"""The largest ratio of a larger array to its file. Compressed images reach 20, and zeros that were compressed 1000."""


def check_claimed_size(path: str | Path, name: str, claimed: int, stored: int) -> None:
    """Check that an array is not much larger than the bytes in which it is stored.

    A damaged header, or a file that was made to exhaust the memory, claims sizes that the file cannot hold.

    Args:
      path: the file.
      name: what the array is called in the message.
      claimed: the size of the array in bytes.
      stored: the number of bytes in the file.

    Raises:
      ValueError: the array has more than 256 MiB and more than 200 times the stored bytes.

    >>> check_claimed_size("a.h5", "'kspace'", 10**15, 4000)
    Traceback (most recent call last):
    ValueError: a.h5: 'kspace' claims 1000000000000000 bytes, but the file stores 4000 bytes of it; ...
    """
    if claimed > max(LARGEST_UNCHECKED, LARGEST_RATIO * stored):
        raise ValueError(
            f"{path}: {name} claims {claimed} bytes, but the file stores {stored} bytes of it; the header is damaged, "
            "or the file was made to exhaust the memory: copy or download it again"
        )


def first_bytes(path: str | Path, count: int = 560) -> bytes:
    """Return the first bytes of a file, decompressed if it is a gzip file; nothing if the file cannot be read.

    >>> len(first_bytes(__file__, 4))
    4
    """
    try:
        with open(path, "rb") as file:
            start = file.read(count)
        if start[:2] != b"\x1f\x8b":
            return start
    except OSError:
        return b""
    try:
        with gzip.open(path) as unpacked:
            return unpacked.read(count)
    except (OSError, EOFError, zlib.error):
        return start


def explain_content(path: str | Path) -> str:
    """Explain what a file is that people often have by mistake, and what to do; empty for any other file.

    >>> explain_content(__file__)
    ''
    """
    path, start = Path(path), first_bytes(path)
    if start.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer and not the data; fetch the data with: git lfs pull"
    if start.startswith(b"\x93NUMPY"):
        return "an array of NumPy without a name; save it with numpy.savez(path, kspace=array), or write_npz"
    if start.startswith(b"MATLAB 5"):
        return "a MATLAB file; read it with scipy.io.loadmat, and write its k-space with write_npz"
    if start[128:132] == b"DICM":
        return (
            "a DICOM image, which has no k-space; convert it to NIfTI, for example with dcm2niix, to simulate k-space"
        )
    if start[:4] in (b"\x5c\x01\0\0", b"\0\0\x01\x5c") and start[344:347] not in (b"n+1", b"ni1"):
        return "the header of an Analyze 7.5 image; save the image as NIfTI with nibabel"
    if path.name.endswith((".img", ".img.gz")):
        header = path.with_name(path.name.replace(".img", ".hdr"))
        if header.is_file():
            return f"the voxels of the pair {path.name} and {header.name}; give {header.name}"
        return f"an image without its header {header.name}; copy both to one folder, and give {header.name}"
    if start[:1] in (b"<", b"{"):
        return "text, possibly the page of a failed download; download the file again"
    return ""
