# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Reconstruct an array of your own
#
# The array here is simulated. Put your k-space (y, x) in its place: complex, with the zero frequency in the middle.

# %%
import matplotlib.pyplot as plt
import numpy as np

import deqjax as dj

scan = dj.data.phantom_volume(seed=1, shape=(1, 128, 128))
full, target = scan.kspace[0], scan.target[0]

# %% [markdown]
# Undersample it four times. With data that were undersampled by the scanner, the mask is where lines were measured.

# %%
mask = dj.masks.CartesianRandom(acceleration=4, center_fraction=0.08)(full.shape, seed=0)
kspace = mask * full
print(f"acceleration {dj.masks.realised_acceleration(mask):.2f}")

# %% [markdown]
# Reconstruct with a model that comes with deqjax, and read how the solve went.

# %%
A = dj.physics.MaskedFourier(mask)
recon, params = dj.load("brain-small")
image, stats = recon(params, A, kspace)
print(stats)
assert bool(stats.converged)

# %%
zero_filled = np.abs(A.adjoint(kspace))
images = {"target": target, "zero-filled": zero_filled, "reconstruction": np.abs(image)}
figure, panels = plt.subplots(1, 3, figsize=(12, 4), layout="constrained")
for axes, (name, shown) in zip(panels, images.items()):
    psnr = "" if name == "target" else f", {float(dj.metrics.psnr(shown, target)):.1f} dB"
    axes.imshow(shown, cmap="gray", vmax=np.percentile(target, 99.8))
    axes.set_title(name + psnr)
    axes.set_axis_off()
plt.show()
assert dj.metrics.psnr(np.abs(image), target) > dj.metrics.psnr(zero_filled, target) + 4
