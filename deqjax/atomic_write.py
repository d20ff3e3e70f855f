"""Atomic writing: a file or a folder appears complete under its name, or it does not appear at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_file(path: str | Path, overwrite: bool) -> Iterator[Path]:
    """Yield a temporary name next to ``path``, and rename it to ``path`` when the block ends without an error.

    An interrupted run therefore never leaves a partial file under the name. ``os.replace`` is atomic on one file system
    (POSIX.1-2017, ``rename``).

    Args:
      path: where the file goes; its folder is made.
      overwrite: whether an existing file may be replaced.

    Raises:
      ValueError: the path exists and ``overwrite`` is false.

    >>> import tempfile
    >>> with atomic_file(tempfile.mkdtemp() + "/new/a.txt", overwrite=False) as temporary:
    ...     temporary.write_text("whole")
    5
    """
    path = Path(path)
    if path.exists() and not overwrite:
        raise ValueError(f"{path}: exists and is not overwritten; pass overwrite=True or choose another name")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{os.getpid()}.part.{path.name}")  # some writers choose the format by the suffix
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(folder: str | Path) -> Iterator[Path]:
    """Yield a temporary folder next to ``folder``, and rename it to ``folder`` when the block ends without an error.

    The remains of an earlier attempt that was killed are removed first.

    Args:
      folder: must not exist, or be empty.

    Raises:
      ValueError: the folder is a file, or holds anything.

    >>> import tempfile
    >>> with atomic_folder(tempfile.mkdtemp() + "/new/results") as temporary:
    ...     (temporary / "a.txt").write_text("whole")
    5
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder}: exists and is not overwritten; choose a new folder")
    temporary = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
