"""The files that ``deqjax reconstruct`` writes: their names, and images as NIfTI, HDF5, npz, PNG or DICOM."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deqjax.atomic_write import atomic_file
from deqjax.data import write_dicom, write_nifti, write_submission
from deqjax.input_checks.preparation import PreparedScan
from deqjax.reconstruction import Reconstruction
from deqjax.report.optional_packages import require

PACKAGES = {".nii.gz": "nibabel", ".nii": "nibabel", ".h5": "", ".npz": "", ".png": "matplotlib", ".dcm": "pydicom"}
"""The suffixes that choose the kind of the output, .dcm for a folder, and the optional package that writes it."""

UNKNOWN_SIZE = (1.0, 1.0, 1.0)
"""The voxel size in mm that is written where the input gives none."""


def suffix_of(path: Path) -> str:
    """Return the suffix of an output that chooses its kind, or nothing for a folder.

    >>> suffix_of(Path("a.nii.gz")), suffix_of(Path("images"))
    ('.nii.gz', '')
    """
    return next((suffix for suffix in PACKAGES if path.name.endswith(suffix)), "")


def distinct(names: Sequence[str]) -> list[str]:
    """Put the number of the entry before every name that occurs more than once.

    >>> distinct(["a", "b", "a"])
    ['0-a', 'b', '2-a']
    """
    return [name if names.count(name) == 1 else f"{number}-{name}" for number, name in enumerate(names)]


def output_paths(inputs: Sequence[Path], out: str) -> list[Path]:
    """Name the output of every input.

    With one input, ``out`` is the file. With several, it holds ``{name}``, the name of the input without its suffix, or
    it is a folder, in which the outputs are NAME.nii.gz.

    Raises:
      ValueError: the kind of the output is unknown, several inputs have one output, or an output exists.
      ModuleNotFoundError: the package that writes this kind is not installed.

    >>> output_paths([Path("a.h5"), Path("b.cfl")], "images/{name}.png")
    [PosixPath('images/a.png'), PosixPath('images/b.png')]
    """
    names = distinct([_stem(path) for path in inputs])
    pattern = out if suffix_of(Path(out)) else str(Path(out) / "{name}.nii.gz")
    if not suffix_of(Path(out)) and (Path(out).suffix and not Path(out).is_dir()):
        raise ValueError(
            f"{out}: the kind of the output is unknown; end it with {', '.join(PACKAGES)}, or name a folder"
        )
    if len(inputs) > 1 and "{name}" not in pattern:
        raise ValueError(
            f"{out}: there are {len(inputs)} inputs and one output: name a folder, or a pattern such as "
            f"images/{{name}}{suffix_of(Path(out))}"
        )
    paths = [Path(pattern.replace("{name}", name)).expanduser() for name in names]
    for path in paths:
        if path.exists():
            raise ValueError(f"{path}: exists and is not overwritten; choose another output, or remove it")
    for package in {PACKAGES[suffix_of(path)] for path in paths} - {""}:
        if importlib.util.find_spec(package) is None:
            raise ModuleNotFoundError(f"{paths[0].name} needs {package}: pip install {package}, or write .h5 or .npz")
    return paths


def write_image(path: Path, result: Reconstruction, prepared: PreparedScan) -> tuple[str, ...]:
    """Write an image to a file whose suffix chooses the kind; it appears complete or not at all.

    ``.npz`` holds the complex image, the mask and the maps. The other kinds hold the magnitude. The ends of the
    intervals of an image with error bars are the entries ``low`` and ``high`` of ``.npz`` and ``.h5``, and the files
    NAME-low and NAME-high beside the other kinds.

    Returns:
      What was assumed.

    Raises:
      ValueError: the file exists or cannot hold the image.
      ModuleNotFoundError: the package that writes this kind is not installed.
    """
    kind, magnitude, bars = suffix_of(path), np.abs(result.image), result.uncertainty
    path.parent.mkdir(parents=True, exist_ok=True)
    ends = {} if bars is None else {"low": bars.low, "high": bars.high}
    if kind == ".h5":
        write_submission(path, _stack(magnitude), further={name: _stack(end) for name, end in ends.items()})
    elif kind == ".npz":
        smaps = np.empty(0) if result.smaps is None else result.smaps
        more: dict[str, Any] = {} if bars is None else ends | {"noise": bars.noise, "psnr_at_least": bars.psnr_at_least}
        with atomic_file(path, overwrite=False) as temporary:
            np.savez(temporary, image=result.image, mask=result.mask, smaps=smaps, **more)
    else:
        voxel_size = prepared.scan.voxel_size or UNKNOWN_SIZE
        for name, end in ends.items():
            _write_magnitude(path.with_name(f"{path.name.removesuffix(kind)}-{name}{kind}"), end, voxel_size)
        _write_magnitude(path, magnitude, voxel_size)
    if prepared.scan.voxel_size is None and kind in (".nii", ".nii.gz", ".dcm"):
        return ("The size of the voxels is unknown; 1 mm was written.",)
    return ()


def _write_magnitude(path: Path, magnitude: np.ndarray, voxel_size: tuple[float, float, float]) -> None:
    kind = suffix_of(path)
    if kind == ".dcm":
        write_dicom(path, magnitude, voxel_size)
    elif kind == ".png":
        write_montage(path, _stack(magnitude))
    else:
        write_nifti(path, magnitude, voxel_size)


def _stack(images: np.ndarray) -> np.ndarray:
    return images.reshape(-1, *images.shape[-2:])


def write_montage(path: Path, images: np.ndarray) -> None:
    """Write magnitude images (slice, y, x) side by side as a PNG; white is the 99.8th percentile of all of them."""
    columns = int(np.ceil(np.sqrt(len(images))))
    rows = -(-len(images) // columns)
    padded = np.concatenate([images, np.zeros((rows * columns - len(images), *images.shape[1:]), images.dtype)])
    tiles = padded.reshape(rows, columns, *images.shape[1:]).swapaxes(1, 2)
    montage = tiles.reshape(rows * images.shape[1], columns * images.shape[2])
    white = float(np.percentile(images, 99.8)) or 1.0
    with atomic_file(path, overwrite=False) as temporary:
        require("matplotlib.image").imsave(temporary, montage, cmap="gray", vmin=0, vmax=white, format="png")


def _stem(path: Path) -> str:
    name = path.name
    for suffix in (".nii.gz", path.suffix):
        name = name.removesuffix(suffix)
    return name
