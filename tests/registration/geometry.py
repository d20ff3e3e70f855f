"""Oblique grids and one map of every kind: what several tests of this folder draw from."""

import jax.numpy as jnp
import numpy as np
import pytest

from deqjax.registration import Grid, transforms
from deqjax.registration.transforms.rotation import rotation

SETTINGS = {
    "translation": transforms.Translation(),
    "rigid": transforms.Rigid(),
    "similarity": transforms.Similarity(),
    "affine": transforms.Affine(),
    "rotation_scale_shear": transforms.RotationScaleShear(),
    "free_form": transforms.FreeForm(spacing=9.0),
    "dense": transforms.Dense(smoothing=5.0),
    "velocity": transforms.Velocity(smoothing=5.0),
}
QUICK = ("rigid", "free_form", "velocity")
"""One of each kind: few numbers, a lattice, a flow. The others take their turn in the slow tests."""

NAMES = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in SETTINGS]
SHAPES = {2: (23, 18), 3: (17, 14, 19)}


def oblique_grid(ndim, seed, shape=None):
    """A turned grid with voxels of 1 to 2 mm."""
    random = np.random.RandomState(seed)
    turn = np.asarray(rotation(jnp.asarray(random.uniform(-0.5, 0.5, 1 if ndim == 2 else 3))))
    affine = np.eye(ndim + 1)
    affine[:-1, :-1] = turn @ np.diag(random.uniform(1.0, 2.0, ndim))
    affine[:-1, -1] = random.uniform(-20, 20, ndim)
    return Grid(jnp.asarray(affine, float), shape or SHAPES[ndim])


def random_map(name, grid, seed):
    """A map a few mm from the identity."""
    setting = SETTINGS[name]
    zeros = setting.init(grid)
    numbers = np.random.RandomState(seed).uniform(-1, 1, zeros.shape)
    if zeros.ndim == 1:
        numbers[: -grid.ndim] *= 0.06
    else:
        numbers *= 1.5 if name == "free_form" else 12.0 if grid.ndim == 3 else 6.0
    return setting.map(jnp.asarray(numbers, zeros.dtype), grid)


def inner_points(grid, seed, count=40):
    """Points well inside a grid, mm."""
    low, high = np.array(grid.shape) * 0.3, np.array(grid.shape) * 0.7
    return grid.world(jnp.asarray(np.random.RandomState(seed).uniform(low, high, (count, grid.ndim)), float))
