"""No pair of images violates the proved Lipschitz constant of a net, also not one that is searched for."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deqjax.nets import Averaged, ConvexPotential, ConvexRidge, DnCNN, LipschitzDnCNN, operator_norm_bound

STEPS = 30
CHAIN = LipschitzDnCNN(layers=3, features=6)
NETS: dict[str, Any] = {
    "chain": CHAIN,
    "potential": ConvexPotential(layers=3, features=8, bound=0.9, patch=2),
    "potential of pixels": ConvexPotential(layers=3, features=4, bound=0.9),
    "ridge": ConvexRidge(features=4, kernel_size=5, width=0.5, bound=0.8),
    "rectifiers": DnCNN(layers=3, features=6, residual=False),
    "average": Averaged(CHAIN, 0.7),
}
SHARP = {"chain": 0.3, "potential": 0.8, "potential of pixels": 0.8, "ridge": 0.8, "rectifiers": 0.1, "average": 0.3}
"""The fraction of the proved bound that the attack reaches at least. It shows that the attack finds large quotients."""

FAST = ("chain",)


@partial(jax.jit, static_argnums=0)
def attack(net: Any, params: Any, images: jax.Array) -> jax.Array:
    """Search for pairs of images with a large ``||D(u) - D(v)|| / ||u - v||``, by power iteration on u - v.

    The distances of the pairs are from 1e-3 to 1 of the norm of the images.
    """
    apply = partial(net.apply, params)
    norm = lambda v: jnp.sqrt(jnp.sum(jnp.abs(v) ** 2, axis=(1, 2), keepdims=True))
    length = norm(images) * jnp.logspace(-3, 0, len(images)).reshape(-1, 1, 1)
    target = apply(images)

    def step(difference: jax.Array, _: None) -> tuple[jax.Array, jax.Array]:
        difference = length * difference / jnp.maximum(norm(difference), 1e-30)
        out, transpose = jax.vjp(apply, images + difference)
        moved = jnp.conj(transpose(jnp.conj(out - target))[0])
        return moved, jnp.max(norm(out - target) / length)

    return jnp.max(jax.lax.scan(step, images[::-1], length=STEPS)[1])


def params_of(net: Any, seed: int) -> Any:
    """Random biases and splines, and kernels that are random or, for the first seed, fresh ones, enlarged to norm 1."""
    rng = np.random.default_rng(seed)

    def change(leaf: jax.Array) -> jax.Array:
        noise = jnp.asarray(rng.normal(size=leaf.shape))
        if leaf.ndim < 4:
            return 0.1 * noise + (4 if leaf.ndim == 2 else 0)
        kernel = noise if seed else jnp.asarray(leaf, float)
        return kernel / operator_norm_bound(kernel)

    fresh = net.init(jax.random.key(seed), jnp.zeros((1, 8, 8), complex))
    return jax.tree.map(change, fresh)


@pytest.mark.parametrize(
    "name", [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in NETS]
)
def test_no_image_and_direction_exceed_the_bound(name: str, float64: None) -> None:
    net, best = NETS[name], 0.0
    for seed, size in ((0, 12), (1, 12)):
        rng = np.random.default_rng(seed)
        params = params_of(net, seed)
        images = jnp.asarray(rng.normal(size=(4, size, size)) + 1j * rng.normal(size=(4, size, size)))
        found, bound = attack(net, params, images), net.lipschitz(params)
        assert found <= bound * (1 + 1e-9), (seed, size)
        best = max(best, float(found / bound))
    assert best >= SHARP[name], best


@pytest.mark.slow
@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("size", [1, 5, 24, 40])
def test_the_bound_holds_for_every_size(name: str, size: int, float64: None) -> None:
    for seed in range(3):
        rng = np.random.default_rng(seed)
        params = params_of(NETS[name], seed)
        images = jnp.asarray(rng.normal(size=(4, size, size)) + 1j * rng.normal(size=(4, size, size)))
        assert attack(NETS[name], params, images) <= NETS[name].lipschitz(params) * (1 + 1e-9), seed


@pytest.mark.slow
def test_the_bound_grows_with_the_kernels() -> None:
    """Parameters whose kernels exceed the norm that a net assumes have a larger bound, and not a wrong one."""
    for name in ("chain", "potential", "ridge"):
        net = NETS[name]
        params = jax.tree.map(lambda leaf: 3 * leaf if leaf.ndim == 4 else leaf, params_of(net, 0))
        assert net.lipschitz(params) > 1.5
    assert np.isinf(Averaged(DnCNN(layers=2, features=4, group_norm=2)).lipschitz({}))
    assert np.isinf(DnCNN(group_norm=4).lipschitz({}))
