"""Files that are whole or absent."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np


@contextmanager
def whole_file(path: str | Path, overwrite: bool) -> Iterator[Path]:
    """Hand out a name beside ``path`` to write to, and rename it to ``path`` when the block ended well.

    So an interrupted run leaves no half file under the name. Raises ValueError where the path exists, unless
    ``overwrite``. Source: ours; ``os.replace`` is atomic on one file system (POSIX.1-2017, ``rename``).

    >>> import tempfile
    >>> with whole_file(tempfile.mkdtemp() + "/new/a.txt", overwrite=False) as beside:
    ...     beside.write_text("whole")
    5
    """
    path = Path(path)
    if path.exists() and not overwrite:
        raise ValueError(f"{path}: exists and is not overwritten; pass overwrite=True or choose another name")
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{os.getpid()}.part.{path.name}")  # writers that look at the suffix find it
    try:
        yield beside
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def check_finite(path: str | Path, name: str, values: np.ndarray) -> None:
    """Refuse to write NaN or infinity, with a ValueError that names the file.

    >>> check_finite("a.h5", "kspace", np.ones(3))
    """
    if not np.isfinite(values).all():
        raise ValueError(f"{path}: not written, there is NaN or infinity in {name} of shape {values.shape}")
