"""The contract of every network in ``deqjax.nets``: at least one row for each class."""

import dataclasses
import inspect
from typing import Any, NamedTuple

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deqjax import nets
from deqjax.nets import Averaged, ConvexPotential, ConvexRidge, DnCNN, LipschitzDnCNN, MultiScaleUNet, UNet
from deqjax.types import Net, Params


class Row(NamedTuple):
    """A net, and the same net with settings that are invalid."""

    net: Any
    invalid: tuple[nn.Module, ...]


CHAIN = LipschitzDnCNN(layers=3, features=4)
ROWS = {
    "Averaged": Row(Averaged(CHAIN), ()),
    "ConvexPotential": Row(
        ConvexPotential(layers=2, features=4), (ConvexPotential(layers=0), ConvexPotential(kernel_size=2))
    ),
    "ConvexRidge": Row(
        ConvexRidge(features=3, kernel_size=3, width=0.3), (ConvexRidge(kernel_size=4), ConvexRidge(width=0))
    ),
    "LipschitzDnCNN": Row(CHAIN, (LipschitzDnCNN(layers=1), LipschitzDnCNN(features=3))),
    "DnCNN": Row(DnCNN(layers=3, features=4), (DnCNN(layers=1), DnCNN(kernel_size=4))),
    "DnCNN with group normalisation": Row(DnCNN(layers=3, features=4, group_norm=2), ()),
    "MultiScaleUNet": Row(MultiScaleUNet(features=2), (MultiScaleUNet(levels=1), MultiScaleUNet(kernel_size=2))),
    "UNet": Row(UNet(levels=3, features=2), (UNet(levels=0), UNet(kernel_size=2))),
    "UNet with one level": Row(UNet(levels=1, features=2, residual=False, use_bias=False), ()),
}
each_row = pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)


def random_images(*shape: int, dtype: Any = jnp.complex64) -> jax.Array:
    rng = np.random.default_rng(0)
    return jnp.asarray(rng.normal(size=shape) + 1j * rng.normal(size=shape), dtype)


def params_of(net: Net) -> Params:
    return dict(jax.jit(net.init)(jax.random.key(0), random_images(1, 8, 8)))


def test_every_net_has_a_row() -> None:
    exported = {name for name in nets.__all__ if inspect.isclass(getattr(nets, name))}
    assert exported == {name.split()[0] for name in ROWS}


@pytest.mark.parametrize("name", ROWS)
def test_the_row_has_a_net_of_its_name(name: str) -> None:
    net = ROWS[name].net
    assert type(net) is getattr(nets, name.split()[0])
    assert isinstance(net, Net)
    same = dataclasses.replace(net) if isinstance(net, Averaged) else net.copy()  # type: ignore[attr-defined]
    assert hash(net) == hash(same)
    assert net == same


@each_row
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 7), (2, 1, 5)])
def test_images_of_every_size_keep_their_shape_and_are_complex(row: Row, shape: tuple[int, int, int]) -> None:
    out = jax.eval_shape(row.net.apply, params_of(row.net), random_images(*shape))
    chex.assert_shape(out, shape)
    assert out.dtype == jnp.complex64


@each_row
def test_the_precision_of_the_images_is_kept(row: Row) -> None:
    params = params_of(row.net)
    with jax.enable_x64(True):
        out = jax.eval_shape(row.net.apply, params, random_images(1, 8, 7, dtype=jnp.complex128))
        assert out.dtype == jnp.complex128


@each_row
def test_a_batch_gives_the_same_result_as_its_images_one_by_one(row: Row) -> None:
    images, params, apply = random_images(3, 9, 7), params_of(row.net), jax.jit(row.net.apply)
    together = apply(params, images)
    separate = [apply(params, images[index : index + 1]) for index in range(3)]
    np.testing.assert_allclose(together, jnp.concatenate(separate), atol=1e-5)
    np.testing.assert_array_equal(apply(params, images.at[0].multiply(5))[1:], together[1:])


@each_row
def test_the_gradient_equals_finite_differences(row: Row, float64: None) -> None:
    images = random_images(2, 9, 7, dtype=jnp.complex128)
    net: Net = row.net
    rng, h = np.random.default_rng(1), 1e-6
    fresh = jax.jit(net.init)(jax.random.key(0), images)  # rectifiers of zero padding have a kink at its zero biases
    params = jax.tree.map(lambda leaf: leaf + 0.1 * rng.normal(size=leaf.shape), fresh)
    loss = jax.jit(lambda params, images: jnp.sum(jnp.abs(net.apply(params, images) - 1) ** 2))
    gradient = jax.jit(jax.grad(loss))(params, images)
    direction = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape), params)
    up, down = (loss(jax.tree.map(lambda p, d, s=s: p + s * d, params, direction), images) for s in (h, -h))
    predicted = sum(jnp.vdot(a, b) for a, b in zip(jax.tree.leaves(gradient), jax.tree.leaves(direction)))
    np.testing.assert_allclose(predicted, (up - down) / (2 * h), rtol=1e-5)


@each_row
def test_invalid_settings_raise_errors(row: Row) -> None:
    for net in row.invalid:
        with pytest.raises(ValueError, match=r"needs \w+ >= \d and an odd kernel_size; they are \d+ and \d"):
            net.init(jax.random.key(0), jnp.zeros((1, 8, 8), complex))
