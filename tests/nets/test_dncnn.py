"""DnCNN: the published architecture, its settings, and its layers."""

import jax
import jax.numpy as jnp
import numpy as np

from deqjax.nets import DnCNN


def random_image(*shape: int) -> jax.Array:
    rng = np.random.default_rng(0)
    return jnp.asarray(rng.normal(size=shape) + 1j * rng.normal(size=shape), complex)


def test_the_default_is_the_published_architecture() -> None:
    image = jax.ShapeDtypeStruct((1, 8, 8), jnp.complex64)
    params = jax.eval_shape(DnCNN().init, jax.random.key(0), image)["params"]
    shapes = [params[f"conv_{index}"]["kernel"].shape for index in range(17)]
    assert shapes == [(3, 3, 2, 64), *[(3, 3, 64, 64)] * 15, (3, 3, 64, 2)]
    assert set(params) == {f"conv_{index}" for index in range(17)}


def test_residual_bias_and_group_norm_are_settings() -> None:
    image, key = random_image(2, 8, 7), jax.random.key(0)
    net, plain = DnCNN(layers=3, features=4), DnCNN(layers=3, features=4, residual=False)
    params = jax.jit(net.init)(key, image)
    np.testing.assert_allclose(
        jax.jit(net.apply)(params, image), image + jax.jit(plain.apply)(params, image), atol=1e-6
    )
    shape = lambda net: jax.eval_shape(net.init, key, image)["params"]
    assert "bias" not in shape(DnCNN(layers=3, features=4, use_bias=False))["conv_1"]
    grouped = shape(DnCNN(layers=4, features=4, group_norm=2))
    assert {"norm_1", "norm_2"} == {name for name in grouped if name.startswith("norm")}


def test_the_net_equals_its_layers_and_is_initially_close_to_the_identity() -> None:
    image, net = random_image(2, 9, 7), DnCNN(layers=3, features=4)
    params = jax.jit(net.init)(jax.random.key(0), image)["params"]
    out = jnp.stack([image.real, image.imag], axis=-1)
    for index in range(3):
        layer = params[f"conv_{index}"]
        out = jax.lax.conv_general_dilated(
            out, layer["kernel"], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        out = out + layer["bias"]
        out = jnp.maximum(out, 0) if index < 2 else out
    denoised = jax.jit(net.apply)({"params": params}, image)
    np.testing.assert_allclose(denoised, image + out[..., 0] + 1j * out[..., 1], atol=1e-5)
    assert 0 < jnp.linalg.norm(denoised - image) < 0.5 * jnp.linalg.norm(image)
