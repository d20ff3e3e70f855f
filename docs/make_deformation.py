"""Draw a displacement field without the images: python docs/make_deformation.py DISPLACEMENT.nii.gz OUT.png

Three middle slices of the log volume change, and where every eighth line of the fixed grid goes. No voxel of the images
is in the picture, so that it can be shown where the images may not.
"""

import sys

import numpy as np
from matplotlib.figure import Figure

from deqjax.registration import nifti
from deqjax.registration.measures import volume_change

LINES = 8


def main(path: str, out: str) -> None:
    map = nifti.read_displacement(path)
    volume = np.log(np.maximum(volume_change(map.vectors, map.grid), 1e-3))
    moved = np.asarray(map.grid.index(map.grid.points() + map.vectors))
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
