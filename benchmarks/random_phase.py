"""Give files a random smooth phase: python benchmarks/random_phase.py FILES OUT

The image of every slice is multiplied by ``exp(i p)`` with a smooth random p of up to 3 radians, which depends on the
name of the file. The results are fastMRI files of the same names in the folder OUT. The images of SIAT have nearly no
phase of their own, so that nothing about phase can be measured on them.
"""

import argparse
from pathlib import Path

import numpy as np
from brain_models import add_phase

from deqjax.data import list_files, read_volume, write_volume


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", help="single-coil volumes: a file, a folder or a glob pattern")
    parser.add_argument("out", type=Path, help="the folder for the new files")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for path in list_files(options.files):
        kspace = add_phase(read_volume(path).kspace, np.random.default_rng(list(path.name.encode())))
        write_volume(options.out / path.name, kspace)


if __name__ == "__main__":
    main()
