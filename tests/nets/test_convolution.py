"""The fast convolution has the same value and the same derivatives as the convolution of JAX."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deqjax.nets import convolve


def reference(features: jax.Array, kernel: jax.Array) -> jax.Array:
    return jax.lax.conv_general_dilated(features, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def random(*shape: int, seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape))


def every_mode(conv: Callable, kernel_size: tuple[int, int]) -> dict[str, jax.Array]:
    x, w = random(2, 6, 5, 3), random(*kernel_size, 3, 4, seed=1)
    dx, dw, g = random(*x.shape, seed=2), random(*w.shape, seed=3), random(2, 6, 5, 4, seed=4)
    xs, ws = random(2, 6, 2, 5, 3, seed=5), random(2, *w.shape, seed=6)
    loss = lambda x, w: jnp.sum(g * jnp.sin(conv(x, w)))
    slope = jax.grad(loss, argnums=(0, 1))
    inner = lambda x, w: sum(jnp.vdot(a, b) for a, b in zip(slope(x, w), (dx, dw)))

    def reverse_in_a_loop(x: jax.Array, w: jax.Array) -> jax.Array:
        square = w[..., :3]
        _, transpose = jax.vjp(lambda x: jnp.tanh(conv(x, square)), x)
        go = lambda carry: (carry[0] + 1, 0.1 * transpose(carry[1])[0] + x)
        return jax.lax.while_loop(lambda carry: carry[0] < 4, go, (0, x))[1]

    def value_in_a_loop(x: jax.Array, w: jax.Array) -> jax.Array:
        return jax.lax.while_loop(lambda c: c[0] < 4, lambda c: (c[0] + 1, conv(c[1], 0.1 * w[..., :3]) + x), (0, x))[1]

    return {
        "value": conv(x, w),
        "reverse": jax.vjp(conv, x, w)[1](g),
        "forward": jax.jvp(conv, (x, w), (dx, dw)),
        "forward over reverse": jax.jvp(slope, (x, w), (dx, dw)),
        "reverse over reverse": jax.grad(inner, argnums=(0, 1))(x, w),
        "reverse over forward": jax.grad(lambda x, w: jax.jvp(loss, (x, w), (dx, dw))[1], argnums=(0, 1))(x, w),
        "vmap over features": jax.vmap(conv, (2, None))(xs, w),
        "vmap over kernels": jax.vmap(conv, (None, 0))(x, ws),
        "vmap over both": jax.vmap(conv, (2, 0))(xs, ws),
        "vmap over both reverse": jax.vmap(slope, (2, 0))(xs, ws),
        "vmap over reverse": jax.vmap(slope, (2, None))(xs, w),
        "reverse over vmap": jax.grad(lambda ws: jnp.sum(jnp.sin(jax.vmap(conv, (2, 0))(xs, ws))))(ws),
        "value in a loop": value_in_a_loop(x, w),
        "reverse in a loop": reverse_in_a_loop(x, w),
    }


@pytest.mark.parametrize("kernel_size", [(3, 5), pytest.param((1, 1), marks=pytest.mark.slow)])
def test_every_mode_of_differentiation_equals_that_of_jax(kernel_size: tuple[int, int], float64: None) -> None:
    ours, theirs = (jax.jit(every_mode, static_argnums=(0, 1))(conv, kernel_size) for conv in (convolve, reference))
    for mode in theirs:
        for a, b in zip(jax.tree.leaves(ours[mode]), jax.tree.leaves(theirs[mode]), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-11, err_msg=mode)


def test_the_convolution_equals_its_formula() -> None:
    x, w = (np.asarray(a, np.float32) for a in (random(1, 5, 6, 2), random(3, 5, 2, 3, seed=1)))
    padded = np.pad(x, ((0, 0), (1, 1), (2, 2), (0, 0)))
    expected = sum(padded[:, i : i + 5, j : j + 6] @ w[i, j] for i in range(3) for j in range(5))
    np.testing.assert_allclose(convolve(jnp.asarray(x), jnp.asarray(w)), expected, atol=1e-5)


@pytest.mark.parametrize("kernel", [(2, 3, 2, 4), (3, 4, 2, 4), (3, 3, 1, 4)])
def test_the_error_for_an_invalid_kernel_has_both_shapes(kernel: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"\(1, 5, 6, 2\).*" + str(kernel).replace("(", r"\(").replace(")", r"\)")):
        convolve(jnp.ones((1, 5, 6, 2)), jnp.ones(kernel))
