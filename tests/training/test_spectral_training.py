"""Every convolution that a training step uses or saves is within its bound, also at high learning rates."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import deqjax as dj
from deqjax.data import Batch, phantom_volume
from deqjax.nets import bound_norms, norm_bounds
from deqjax.objectives import Acquisition, Problem, Supervised
from deqjax.training import create_state, make_optimizer, make_train_step, replicate
from deqjax.types import Metrics, ObjectiveFunction, Params

BOUND = 0.8


@dataclass(frozen=True)
class ReportKernels:
    """An objective whose metrics contain the kernels that it was called with."""

    objective: ObjectiveFunction

    def __call__(
        self, params: Params, loss_params: Params, batch: Batch, keys: jax.Array, probe: Any
    ) -> tuple[jax.Array, Metrics]:
        value, metrics = self.objective(params, loss_params, batch, keys, probe)
        return value, metrics | kernels_of(params)


def kernels_of(params: Params) -> dict[str, jax.Array]:
    return {name: layer["kernel"] for name, layer in params["map"]["net"].items()}


@jax.jit
def true_norm(kernel: jax.Array) -> jax.Array:
    """60 steps of the power method on the zero-padded convolution of an image of 20 x 28 pixels."""
    layout = ("NHWC", "HWIO", "NHWC")
    convolve = lambda x: jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=layout)
    shape = (1, 20, 28, kernel.shape[2])
    transpose = jax.linear_transpose(convolve, jax.ShapeDtypeStruct(shape, kernel.dtype))

    def step(x: jax.Array, _: None) -> tuple[jax.Array, None]:
        moved = transpose(convolve(x))[0]
        return moved / jnp.linalg.norm(moved), None

    x, _ = jax.lax.scan(step, jax.random.normal(jax.random.key(5), shape), length=60)
    return jnp.linalg.norm(convolve(x)) / jnp.linalg.norm(x)


def optimizer_of(name: str) -> optax.GradientTransformation:
    if name == "sgd":
        return optax.sgd(3.0)
    return make_optimizer(steps=12, learning_rate=0.2, final_learning_rate=0.1, clip_norm=10.0)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_every_step_uses_bounded_convolutions_and_the_average_is_certified(name: str) -> None:
    recon = dj.Reconstructor(
        dj.maps.ProximalGradient(dj.nets.DnCNN(layers=3, features=8)), dj.solvers.Picard(max_steps=3), dj.OneStep()
    )
    mask = dj.masks.CartesianRandom(2, 0.25)
    batch = Batch(phantom_volume(0, (2, 32, 32)).kspace, np.stack([mask((32, 32), seed) for seed in range(2)]))
    optimizer = optimizer_of(name)
    problem = Problem(recon, dj.losses.MSE(), Acquisition(center_fraction=0.25))
    step = make_train_step(ReportKernels(Supervised().bind(problem)), optimizer, spectral_bound=BOUND, ema=0.7)
    state = replicate(create_state(recon.init(jax.random.key(0)), {}, optimizer, bounded=True))
    free, used = [], []
    for _ in range(12):
        free.append({name: float(true_norm(kernel)) for name, kernel in kernels_of(state.params["method"]).items()})
        state, metrics = step(state, batch)
        used.append({name: float(true_norm(metrics[name])) for name in free[0]})
    for row in used:
        assert max(row.values()) <= BOUND, used
    assert max(row["conv_1"] for row in used) > 0.9 * BOUND  # the bound is active and nearly reached
    assert max(free[-1].values()) > 1.2 * BOUND  # the trained parameters themselves are not bounded
    assert sum(abs(free[-1][name] - free[0][name]) for name in free[0]) > 0.1  # the kernels change

    saved = bound_norms(state.ema, BOUND)
    assert max(norm_bounds(saved).values()) <= BOUND * (1 + 1e-6)
    norms = [float(true_norm(kernel)) for kernel in kernels_of(saved).values()]
    assert max(norms) <= BOUND
    assert max(norms) > 0.9 * BOUND
    assert all(bound >= norm * (1 - 1e-6) for bound, norm in zip(norm_bounds(saved).values(), norms))
