"""Files and folders that are whole or absent: written beside their place, then renamed."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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


@contextmanager
def whole_folder(folder: str | Path) -> Iterator[Path]:
    """Hand out a new folder beside ``folder`` to fill, and rename it to ``folder`` when the block ended well.

    What an earlier attempt that was killed had left there is cleared. Raises ValueError where the folder holds
    anything. Source: as of `whole_file`.

    >>> import tempfile
    >>> with whole_folder(tempfile.mkdtemp() + "/new/results") as beside:
    ...     (beside / "a.txt").write_text("whole")
    5
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder}: exists and is not overwritten; choose a new folder")
    beside = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    try:
        yield beside
        os.replace(beside, folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
