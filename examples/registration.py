# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Registration
#
# Two simulated images: the second is a deformation of the first. The map is found without knowing it.

# %%
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import deqjax as dj
from deqjax import registration as reg
from deqjax.registration.pictures import checkerboard

moving = jnp.asarray(dj.data.phantom_volume(seed=1, shape=(1, 64, 64)).target[0])
moving = moving / moving.max()
grid = reg.Grid.of((64, 64))
y, x = np.mgrid[:64, :64] / 64
known = 3 * np.stack([np.sin(np.pi * y) * np.sin(np.pi * x), np.sin(np.pi * y) * np.sin(2 * np.pi * x)], -1)

# %% [markdown]
# `demons` is symmetric and diffeomorphic: its map can be inverted everywhere.

# %%
deform = reg.transforms.DisplacementMap(jnp.asarray(known, jnp.float32), grid)
fixed = reg.warp(moving, deform, grid, grid)
mapping, stats = reg.demons(fixed, moving, smoothing=1.5, solver=dj.solvers.Broyden(max_steps=200, rtol=1e-3))
print(stats)
assert bool(stats.converged[0])
warped = reg.warp(moving, mapping, grid, grid)

# %%
before, after = (float(jnp.mean((image - fixed) ** 2)) for image in (moving, warped))
print(f"mean squared difference {before:.5f} before, {after:.5f} after")
figure, panels = plt.subplots(1, 4, figsize=(14, 3.6), layout="constrained")
shown = {
    "fixed": fixed,
    "moving": moving,
    "checkerboard before": checkerboard(fixed, moving),
    "checkerboard after": checkerboard(fixed, warped),
}
for axes, (name, image) in zip(panels, shown.items()):
    axes.imshow(np.asarray(image), cmap="gray")
    axes.set_title(name)
    axes.set_axis_off()
plt.show()
assert after < 0.2 * before
