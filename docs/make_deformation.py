"""Draw a displacement field without the images: python docs/make_deformation.py DISPLACEMENT.nii.gz OUT.png

The picture shows the middle slice in three directions: the logarithm of the volume change, and every eighth line of the
fixed grid after the deformation. It contains no voxel of the images, so it can be shown where the images cannot.
"""

import sys

import numpy as np
from matplotlib.figure import Figure

from deqjax.registration import read_displacement
from deqjax.registration.measures import volume_change

LINES = 8
"""Every so many lines of the grid are drawn."""


def main(path: str, out: str) -> None:
    displacement = read_displacement(path)
    vectors, grid = displacement.vectors, displacement.grid
    volume = np.log(np.maximum(volume_change(vectors, grid), 1e-3))
    moved = np.asarray(grid.index(grid.points() + vectors))
    figure = Figure(figsize=(12, 4.2), layout="constrained")
    for axes, normal, name in zip(figure.subplots(1, 3), range(3), ("sagittal", "coronal", "axial"), strict=True):
        middle = volume.shape[normal] // 2
        plane = [axis for axis in range(3) if axis != normal]
        shown = axes.imshow(volume.take(middle, normal).T, origin="lower", cmap="RdBu", vmin=-1, vmax=1)
        across, up = np.moveaxis(moved.take(middle, normal)[..., plane], -1, 0)
        axes.plot(across[::LINES].T, up[::LINES].T, across[:, ::LINES], up[:, ::LINES], color="black", linewidth=0.3)
        axes.set(xlim=(0, volume.shape[plane[0]] - 1), ylim=(0, volume.shape[plane[1]] - 1), title=name)
        axes.set_axis_off()
    figure.colorbar(shown, label="log volume change")
    figure.savefig(out, dpi=90)


if __name__ == "__main__":
    main(*sys.argv[1:])
