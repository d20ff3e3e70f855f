"""Forward models, images and parameters on which the iteration maps are tested."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import deqjax as dj
from deqjax.types import Params

MODELS = ["MaskedFourier", "Sense"]
COILS = 3


def random_complex(*shape: int, seed: int = 0) -> jax.Array:
    rng = np.random.default_rng(seed)
    return jnp.asarray(rng.normal(size=shape) + 1j * rng.normal(size=shape))


def forward_model(model: str, shape: tuple[int, int]) -> dj.physics.MaskedFourier | dj.physics.Sense:
    mask = jnp.asarray(np.random.default_rng(1).uniform(size=(1, shape[1])) < 0.6, float).at[0, shape[1] // 2].set(1)
    if model == "MaskedFourier":
        return dj.physics.MaskedFourier(mask)
    smaps = random_complex(COILS, *shape, seed=2)
    return dj.physics.Sense(smaps / jnp.sqrt((jnp.abs(smaps) ** 2).sum(axis=0)), mask)


def contractive_params(iteration: Any, norm: float = 0.9) -> Params:
    """Parameters whose convolutions have this operator norm, with random biases, in the default precision."""
    rng = np.random.default_rng(3)
    params = jax.jit(iteration.init)(jax.random.key(0))
    for layer in params.get("net", {}).values():
        layer["kernel"] *= norm / jax.jit(dj.nets.operator_norm_bound)(layer["kernel"])
        layer["bias"] += 0.3 * rng.normal(size=layer["bias"].shape)
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, float), params)
