"""The problem that reconstruction.py and gradient_memory.py measure: a random slice, random weights, and the method.

This file has no command of its own; python benchmarks/reconstruction.py uses it. The weights are made so that the
equilibrium exists.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import deqjax as dj
from deqjax.types import Params

STEPS = 20


class Problem(NamedTuple):
    """The arrays that deqjax and PyTorch both start from."""

    params: Params
    full: np.ndarray
    """Fully sampled k-space of a single coil, (1, y, x) complex64."""

    mask: np.ndarray
    target: np.ndarray


def make_problem(size: int, layers: int, features: int) -> Problem:
    """Make the problem for one image size and one network size."""
    image = jax.random.normal(jax.random.key(0), (1, size, size), jnp.complex64)
    mask = dj.masks.CartesianRandom(acceleration=4, center_fraction=0.08)((size, size), seed=0)
    params = make_method(layers, features).init(jax.random.key(1))
    return Problem(contracting(params, layers), np.array(dj.physics.fft2c(image)), np.array(mask), np.array(image))


def contracting(params: Params, layers: int) -> Params:
    """Change random weights so that the equilibrium exists: ``N(x) = -0.3 x`` plus a small term.

    The result of 20 steps is then meaningful. Four channels carry the positive and negative parts of the image through
    every layer.
    """
    centre = (1, 1, slice(0, 4), slice(0, 4))
    net = {}
    for index in range(layers):
        kernel = params["map"]["net"][f"conv_{index}"]["kernel"]
        bias = jax.random.normal(jax.random.key(index), kernel.shape[-1:]) / 50
        if index == 0:
            split = jnp.array([[1.0, -1.0, 0.0, 0.0], [0.0, 0.0, 1.0, -1.0]])
            kernel = kernel.at[..., :4].set(0).at[1, 1, :, :4].set(split)
        elif index < layers - 1:
            kernel = (kernel / 2).at[..., :4].set(0).at[centre].set(jnp.eye(4))
        else:
            kernel = kernel.at[1, 1, :4].add(-0.3 * split.T)
        net[f"conv_{index}"] = {"kernel": kernel, "bias": bias if index == layers - 1 else bias.at[:4].set(0)}
    return {"map": {"net": net}}


def make_method(layers: int, features: int, steps: int = STEPS) -> dj.Reconstructor:
    """Make a DE-Prox that takes exactly this number of steps in the forward and in the backward solve."""
    solver = dj.solvers.Anderson(history=5, ridge=1e-2, max_steps=steps, rtol=0.0)
    adjoint = dj.Implicit(solver, rtol=0.0, nan_above=float("inf"))
    net: Any = dj.nets.DnCNN(layers=layers, features=features)
    step: Any = dj.maps.ProximalGradient(net)
    return dj.Reconstructor(step, solver=solver, adjoint=adjoint)
