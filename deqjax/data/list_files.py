"""Which files a path in a config means."""

import glob
from pathlib import Path

SUFFIXES = (".h5", ".hdf5", ".mrd", ".cfl", ".npz", ".nii", ".nii.gz")
"""Of the files in a folder that `open_scan` can read."""


def list_files(path: str | Path) -> list[Path]:
    """List the files that a path means: one file, those of a folder with a known suffix, or a glob's matches; sorted.

    Raises ValueError where there is none. Source: the layout of the fastMRI folders (Zbontar et al.,
    arXiv:1811.08839, 2018).

    >>> list_files(__file__)[0].name
    'list_files.py'
    """
    path = Path(path).expanduser()
    if path.is_file():
        return [path]
    if path.is_dir():
        found = sorted(file for file in path.iterdir() if file.name.endswith(SUFFIXES) and file.is_file())
        if not found:
            raise ValueError(
                f"{path}: the folder holds no file that ends with {', '.join(SUFFIXES)}; name the folder that directly "
                "holds them"
            )
        return found
    found = sorted(Path(match) for match in glob.glob(str(path), recursive=True) if Path(match).is_file())
    if not found:
        raise ValueError(f"{path}: no such file or folder, and no file matches it as a glob")
    return found
