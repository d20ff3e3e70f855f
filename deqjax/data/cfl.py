"""BART's arrays: pairs of files, ``name.hdr`` and ``name.cfl``."""

from math import prod
from pathlib import Path

import numpy as np

from deqjax.atomic_write import atomic_file
from deqjax.data.finite import check_finite


def read_cfl(path: str | Path) -> np.ndarray:
    """Read an array as BART stores it: the axes of the header in its order, complex64, trailing axes of 1 left out.

    ``path`` is the name with ``.cfl``, ``.hdr`` or neither. Raises ValueError, which names the file, where one of the
    two is missing, where the header has no dimensions, and where its dimensions disagree with the size of the cfl.

    Source: Uecker et al., "Berkeley Advanced Reconstruction Toolbox", Proc. ISMRM 23:2486, 2015; its manual, "Data
    Format": little-endian complex floats, the first axis running fastest.

    >>> import tempfile
    >>> path = write_cfl(tempfile.mkdtemp() + "/array", np.ones((4, 3, 1, 2), np.complex64))
    >>> read_cfl(path).shape
    (4, 3, 1, 2)
    """
    array = np.array(open_cfl(path))
    kept = max((axis + 1 for axis, size in enumerate(array.shape) if size > 1), default=1)
    return array.reshape(array.shape[:kept], order="F")


def write_cfl(path: str | Path, array: np.ndarray, overwrite: bool = False) -> Path:
    """Write an array as ``name.cfl`` and ``name.hdr``, complex64 with 16 dimensions, and return the path of the cfl.

    Both appear when they are whole, the header last. Raises ValueError for more than 16 axes, an empty array, values
    that are not finite, and for files that exist, unless ``overwrite``.

    Source: as of `read_cfl`.

    >>> import tempfile
    >>> write_cfl(tempfile.mkdtemp() + "/array", np.ones((4, 3))).name
    'array.cfl'
    """
    header, data = cfl_pair(path)
    array = np.asarray(array)
    if array.ndim > 16 or array.size == 0:
        raise ValueError(f"{data}: not written, shape {array.shape}; BART has 1 to 16 axes, none of them empty")
    check_finite(data, "the array", array)
    dims = (*array.shape, *[1] * (16 - array.ndim))
    with atomic_file(header, overwrite) as header_beside, atomic_file(data, overwrite) as data_beside:
        array.astype("<c8").ravel(order="F").tofile(data_beside)
        header_beside.write_text("# Dimensions\n" + " ".join(map(str, dims)) + "\n")
    return data


def cfl_pair(path: str | Path) -> tuple[Path, Path]:
    """Header and data of a name with ``.cfl``, ``.hdr`` or neither; a dot inside the name is part of it."""
    path = Path(path)
    stem = path.name.removesuffix(".cfl").removesuffix(".hdr")
    return path.with_name(stem + ".hdr"), path.with_name(stem + ".cfl")


def open_cfl(path: str | Path) -> np.ndarray:
    """Map the array of a cfl into memory, with the axes of its header, so that only what is used is read."""
    header, data = cfl_pair(path)
    for file in (header, data):
        if not file.is_file():
            raise ValueError(f"{file}: no such file; a BART array is {header.name} and {data.name} side by side")
    dims = read_dimensions(header)
    if dims is None:
        raise ValueError(f"{header}: no dimensions; expected a line '# Dimensions' and then one of 1 to 16 sizes")
    found, expected = data.stat().st_size, 8 * prod(dims)
    if found != expected:
        raise ValueError(
            f"{data}: has {found} bytes, but {header.name} says {' x '.join(map(str, dims))}, which are {expected} "
            "bytes of complex64; copy both files again, or correct the sizes in the header"
        )
    return np.memmap(data, "<c8", mode="r", shape=dims, order="F")


def read_dimensions(header: Path) -> tuple[int, ...] | None:
    """The sizes in a header of BART, or None where the file is no such header."""
    lines = header.read_bytes()[:65536].decode("ascii", "replace").splitlines()
    lines = [line.strip() for line in lines]
    after = lines.index("# Dimensions") + 1 if "# Dimensions" in lines else 0
    words = next((line.split() for line in lines[after:] if line.strip() and not line.startswith("#")), [])
    if not 1 <= len(words) <= 16 or not all(word.isdecimal() and int(word) > 0 for word in words):
        return None
    return tuple(map(int, words))
