# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # A file with several coils
#
# The file is simulated and written first. `dj.data.open_scan` reads fastMRI, ISMRMRD, BART, NumPy and NIfTI files.

# %%
import tempfile
from pathlib import Path

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import deqjax as dj

simulated = dj.data.phantom_volume(seed=0, shape=(1, 128, 128), coils=6, noise=0.01)
mask = dj.masks.CartesianRandom(acceleration=4, center_fraction=0.1)((128, 128), seed=0)
path = Path(tempfile.mkdtemp()) / "scan.h5"
dj.data.write_volume(path, mask * simulated.kspace, mask=mask)

# %%
scan = dj.data.open_scan(path)
print(dj.data.describe(scan))
kspace = jnp.asarray(scan.kspace[0])

# %% [markdown]
# Two estimates of the coil sensitivities, both from the fully sampled centre lines.

# %%
estimates = {
    "low resolution": dj.physics.low_resolution_smaps(kspace, center_fraction=0.1),
    "ESPIRiT": dj.physics.espirit(kspace, center_fraction=0.1),
}
figure, panels = plt.subplots(2, 6, figsize=(12, 4.4), layout="constrained")
for row, (name, smaps) in zip(panels, estimates.items()):
    for axes, smap in zip(row, np.abs(smaps)):
        axes.imshow(smap, cmap="gray", vmin=0, vmax=1)
        axes.set_axis_off()
    row[0].set_title(name)
plt.show()

# %% [markdown]
# The reconstruction. `MaskedFourier` is for one coil, `Sense` for several.

# %%
recon, params = dj.load("brain-small")
target = simulated.target[0]
figure, panels = plt.subplots(1, 3, figsize=(12, 4), layout="constrained")
panels[0].imshow(target, cmap="gray")
panels[0].set_title("target")
for axes, (name, smaps) in zip(panels[1:], estimates.items()):
    image, stats = recon(params, dj.physics.Sense(smaps, scan.mask), kspace)
    psnr = float(dj.metrics.psnr(np.abs(image), target))
    print(f"{name}: {psnr:.1f} dB, {stats}")
    axes.imshow(np.abs(image), cmap="gray")
    axes.set_title(f"{name}, {psnr:.1f} dB")
for axes in panels:
    axes.set_axis_off()
plt.show()
