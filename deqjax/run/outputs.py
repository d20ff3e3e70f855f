"""Checks, before the work of a command, that its results can be written and replace no input."""

import os
from collections.abc import Iterable
from pathlib import Path


def check_output_file(path: Path, inputs: Iterable[Path], suffixes: tuple[str, ...] = (".nii", ".nii.gz")) -> None:
    """Check that a file can be written, has one of the suffixes, and is not an input.

    Raises:
      ValueError: if one of this does not hold.

    >>> check_output_file(Path("a.png"), [])
    Traceback (most recent call last):
    ValueError: a.png: give the output a name that ends in .nii or .nii.gz
    """
    if not path.name.lower().endswith(suffixes):
        raise ValueError(f"{path}: give the output a name that ends in {' or '.join(suffixes)}")
    if path.is_dir():
        raise ValueError(f"{path}: is a folder: give the name of a file")
    if path.resolve() in [given.resolve() for given in inputs]:
        raise ValueError(f"{path}: is also an input: choose another name for the output")
    check_output_folder(path.parent, [], ())


def check_output_folder(folder: Path, inputs: Iterable[Path], results: Iterable[str]) -> None:
    """Check that a folder exists or can be made, that it is writable, and that no result replaces an input.

    Args:
      folder: the folder.
      inputs: the files that the command reads.
      results: the names of the files that it writes.

    Raises:
      ValueError: if one of this does not hold.
    """
    existing = next(parent for parent in (folder.resolve(), *folder.resolve().parents) if parent.exists())
    if not existing.is_dir():
        raise ValueError(f"{folder}: {existing} is a file: choose another folder for the results")
    if not os.access(existing, os.W_OK):
        raise ValueError(f"{folder}: {existing} is not writable: choose another folder for the results")
    written = [(folder / name).resolve() for name in results]
    for path in inputs:
        if path.resolve() in written:
            raise ValueError(f"{path}: would be replaced by a result: choose another folder than {folder}")
