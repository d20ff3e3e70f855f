"""Images and fully sampled k-space of invented heads, and files of them in the layout of fastMRI."""

from pathlib import Path

import numpy as np

from deqjax.data.formats.fastmri import open_kspace, write_volume
from deqjax.data.fourier_numpy import fft2c, ifft2c
from deqjax.data.phantoms.anatomy import head_coordinates, invent_anatomy
from deqjax.data.phantoms.coil_maps import birdcage_maps
from deqjax.data.phantoms.painting import paint_tissues
from deqjax.data.random_fields import plane_waves
from deqjax.data.scan import Scan


def phantom_image(seed: int | tuple[int, ...], shape: tuple[int, int, int]) -> np.ndarray:
    """Make the complex image of an invented head, with magnitude about 0 to 1 and a smooth phase.

    Every seed gives another patient and another contrast; the slices of one image are neighbours in one head. The phase
    is a constant, a slope and a few waves, of up to about 2 radians. These images are for tests and demonstrations, and
    do not replace measured data.

    Args:
      seed: seed of the head.
      shape: (slice, y, x).

    Returns:
      The image (slice, y, x), complex64.

    Raises:
      ValueError: the shape is not three sizes of at least (1, 8, 8).

    >>> phantom_image(0, (2, 32, 24)).shape
    (2, 32, 24)
    """
    if len(shape) != 3 or shape[0] < 1 or min(shape[1:]) < 8:
        raise ValueError(f"shape must be (slice, y, x), at least (1, 8, 8); got {shape}")
    rng = np.random.default_rng(seed)
    points, pixel = head_coordinates(shape)
    magnitude = paint_tissues(rng, invent_anatomy(rng, points, pixel), pixel)
    magnitude *= 1 + 0.12 * plane_waves(rng, points, 0.4, 4)
    slope = sum(rng.normal(0, 0.5) * p for p in points)
    phase = rng.uniform(-np.pi, np.pi) + slope + 0.5 * plane_waves(rng, points, 0.6, 6)
    return (np.maximum(magnitude, 0) * np.exp(1j * phase)).astype(np.complex64)


def phantom_volume(
    seed: int | tuple[int, ...], shape: tuple[int, int, int] = (10, 128, 128), coils: int = 1, noise: float = 0.0
) -> Scan:
    """Make the fully sampled scan of an invented head: ``kspace_c = F(s_c image) + noise``, and its target.

    As in fastMRI, the target is the magnitude of the fully sampled data with their noise: of the image for one coil,
    or the root of the sum of squares over the coils.

    Args:
      seed: seed of the head and of the noise.
      shape: (slice, y, x).
      coils: number of coils.
      noise: standard deviation of the complex noise of k-space; tissue has magnitudes from 0.04 to 1.

    Returns:
      The scan: kspace (slice, y, x) for one coil, otherwise (slice, coil, y, x), complex64.

    Raises:
      ValueError: a bad shape, no coil, or negative noise.

    >>> scan = phantom_volume(seed=0, shape=(2, 32, 24), coils=4, noise=0.01)
    >>> scan.kspace.shape, scan.target.shape, scan.attrs["patient_id"]
    ((2, 4, 32, 24), (2, 32, 24), 'phantom-0')
    """
    if noise < 0:
        raise ValueError(f"noise is a standard deviation and must not be negative, got {noise}")
    image = phantom_image(seed, shape)
    kspace = fft2c(image if coils == 1 else image[:, None] * birdcage_maps(coils, shape[-2:]))
    if noise:
        parts = np.random.default_rng((1, *np.atleast_1d(seed))).standard_normal((2, *kspace.shape), np.float32)
        kspace = kspace + np.float32(noise / np.sqrt(2)) * (parts[0] + 1j * parts[1])
    measured = np.abs(ifft2c(kspace))
    target = measured if kspace.ndim == 3 else np.sqrt((measured**2).sum(axis=1))
    name = "phantom-" + "-".join(map(str, np.atleast_1d(seed)))
    attrs = {"acquisition": "PHANTOM", "patient_id": name, "noise": float(noise), "source": "deqjax.data.phantoms"}
    attrs |= {"max": float(target.max()), "norm": float(np.linalg.norm(target))}
    crop = (int(shape[1]), int(shape[2]))
    return Scan(kspace, target, None, (0, crop[1]), crop, attrs, f"{name}.h5", tuple(range(shape[0])))


def write_phantoms(
    folder: str | Path,
    count: int,
    shape: tuple[int, int, int] = (10, 128, 128),
    coils: int = 1,
    noise: float = 0.01,
    seed: int = 0,
) -> list[Path]:
    """Write invented heads as fastMRI files in a folder; files that exist already are kept.

    The file with number i is ``phantom_volume((seed, i), shape, coils, noise)``, so that the folders of two seeds share
    no patient.

    Args:
      folder: the folder.
      count: number of files.
      shape: (slice, y, x).
      coils: number of coils.
      noise: standard deviation of the complex noise of k-space.
      seed: seed of the folder.

    Returns:
      The paths of all ``count`` files.

    Raises:
      ValueError: in the cases of `phantom_volume`, and for a file that was written with other settings.

    >>> import tempfile
    >>> [path.name for path in write_phantoms(tempfile.mkdtemp(), count=2, shape=(1, 16, 16))]
    ['phantom-0-0.h5', 'phantom-0-1.h5']
    """
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    paths = []
    for number in range(count):
        path = Path(folder) / f"phantom-{seed}-{number}.h5"
        if path.exists():
            _check_same(path, (shape[0], *((coils,) if coils > 1 else ()), *shape[1:]), noise)
        else:
            scan = phantom_volume((seed, number), shape, coils, noise)
            write_volume(path, scan.kspace, scan.target, attrs=scan.attrs, overwrite=True)
        paths.append(path)
    return paths


def _check_same(path: Path, shape: tuple[int, ...], noise: float) -> None:
    """Raise a ValueError if an existing file has another shape or noise."""
    with open_kspace(path) as (file, kspace):
        found, found_noise = tuple(kspace.shape), file.attrs.get("noise")
    if found != shape or found_noise != noise:
        raise ValueError(
            f"{path}: was written with k-space {found} and noise {found_noise}, but k-space {shape} with axes (slice, "
            f"[coil,] y, x) and noise {noise} are asked for; delete it or choose another folder"
        )
