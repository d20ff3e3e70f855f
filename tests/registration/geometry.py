"""Grids, maps and points that several tests of this folder use."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deqjax.registration import Grid, optimizers, transforms
from deqjax.registration.inputs import checked_pair, settings_with_defaults
from deqjax.registration.multiresolution import level_objective
from deqjax.registration.objective import Objective
from deqjax.registration.transforms.linear import rotation_matrix

SETTINGS: dict[str, Any] = {
    "Translation": transforms.Translation(),
    "Rigid": transforms.Rigid(),
    "Similarity": transforms.Similarity(),
    "Affine": transforms.Affine(),
    "RotationScaleShear": transforms.RotationScaleShear(),
    "FreeForm": transforms.FreeForm(spacing=9.0),
    "Dense": transforms.Dense(smoothing=5.0),
    "Velocity": transforms.Velocity(smoothing=5.0),
}
"""Every exported transform."""

QUICK = ("Rigid", "FreeForm", "Velocity")
"""One transform of each kind: few parameters, a lattice, a flow. The expensive tests of the others are slow tests."""

NAMES = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in SETTINGS]
SHAPES = {2: (23, 18), 3: (17, 14, 19)}


def oblique_grid(ndim: int, seed: int, shape: tuple[int, ...] | None = None) -> Grid:
    """Make a rotated grid with voxels of 1 to 2 mm."""
    random = np.random.RandomState(seed)
    rotation = np.asarray(rotation_matrix(jnp.asarray(random.uniform(-0.5, 0.5, 1 if ndim == 2 else 3))))
    affine = np.eye(ndim + 1)
    affine[:-1, :-1] = rotation @ np.diag(random.uniform(1.0, 2.0, ndim))
    affine[:-1, -1] = random.uniform(-20, 20, ndim)
    return Grid(jnp.asarray(affine, float), shape or SHAPES[ndim])


def random_map(name: str, grid: Grid, seed: int) -> Any:
    """Make a map of a transform that moves points by a few mm."""
    setting = SETTINGS[name]
    zeros = setting.init(grid)
    parameters = np.random.RandomState(seed).uniform(-1, 1, zeros.shape)
    if zeros.ndim == 1:
        parameters[: -grid.ndim] *= 0.06
    else:
        parameters *= 1.5 if name == "FreeForm" else 12.0 if grid.ndim == 3 else 6.0
    return setting.map(jnp.asarray(parameters, zeros.dtype), grid)


def inner_points(grid: Grid, seed: int, count: int = 40) -> jax.Array:
    """Draw points well inside a grid, in mm."""
    low, high = np.array(grid.shape) * 0.3, np.array(grid.shape) * 0.7
    return grid.world(jnp.asarray(np.random.RandomState(seed).uniform(low, high, (count, grid.ndim)), float))


def last_objective(
    fixed: Any, moving: Any, transform: Any, similarity: Any, regularizer: Any = None, **given: Any
) -> tuple[Objective, jax.Array]:
    """Make the objective of the finest level of a registration, and the parameters of the identity."""
    pair, fixed_grid, moving_grid = checked_pair(fixed, moving, None, None, **given)
    methods = transform, similarity, regularizer, (1.0,), optimizers.LBFGS()
    settings, identities = settings_with_defaults(pair, fixed_grid, moving_grid, *methods, order=1)
    return level_objective(pair, fixed_grid, moving_grid, settings.plan[-1], settings), identities[-1]
