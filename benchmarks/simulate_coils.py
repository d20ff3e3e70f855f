"""Simulate several coils for single-coil files: python benchmarks/simulate_coils.py FILES OUT [--coils 8]

A ring of coils surrounds every slice. Its radius is drawn from 1.2 to 2 half fields of view, the map of every coil is
multiplied by the exponential of a smooth random function, and the maps are normalised again. The results are fastMRI
files of the same names in the folder OUT. No noise is added, because training adds it.
"""

import argparse
from pathlib import Path

import numpy as np

from deqjax.data import birdcage_maps, list_files, read_volume, write_volume
from deqjax.data.fourier_numpy import fft2c, ifft2c
from deqjax.data.random_fields import plane_waves


def random_maps(rng: np.random.Generator, coils: int, shape: tuple[int, int]) -> np.ndarray:
    """Draw smooth complex maps (coil, y, x) whose sum of squared magnitudes is 1."""
    maps = birdcage_maps(coils, shape, radius=rng.uniform(1.2, 2.0))
    places = np.linspace(-1, 1, shape[0])[:, None], np.linspace(-1, 1, shape[1])
    for smap in maps:
        smap *= np.exp(0.3 * plane_waves(rng, places, 0.3, 8) + 1j * plane_waves(rng, places, 0.3, 8))
    return maps / np.linalg.norm(maps, axis=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", help="single-coil volumes: a file, a folder or a glob pattern")
    parser.add_argument("out", type=Path, help="the folder for the new files")
    parser.add_argument("--coils", type=int, default=8, help="number of coils; default: 8")
    parser.add_argument(
        "--slices", type=int, nargs=2, metavar=("FIRST", "LAST"), help="the slices of every file; default: all"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the random maps; default: 0")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for path in list_files(options.files):
        rng = np.random.default_rng([options.seed, *path.name.encode()])
        images = ifft2c(read_volume(path, options.slices).kspace)
        coils = [fft2c(random_maps(rng, options.coils, image.shape) * image) for image in images]
        write_volume(options.out / path.name, np.stack(coils))
        print(options.out / path.name, np.shape(coils))


if __name__ == "__main__":
    main()
