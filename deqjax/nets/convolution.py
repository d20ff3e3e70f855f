"""A convolution whose gradients are as fast as the convolution itself."""

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir


def convolve(features: jax.Array, kernel: jax.Array) -> jax.Array:
    """Correlate features with a kernel of odd size, with stride 1 and zero padding.

    ``out[b, y, x, o] = sum_{i, j, c} features[b, y + i - kh // 2, x + j - kw // 2, c] kernel[i, j, c, o]``

    It is a JAX primitive of its own. Automatic differentiation of JAX's convolution makes transposes whose layouts are
    slow in a loop with XLA on the CPU: by 9 to 66 times for the transpose with respect to the features, which the
    backward solve of a deep equilibrium model runs in a loop, and by 60 to 200 times for the transpose with respect to
    the kernel, which an unrolled iteration runs in a loop (measured, jax 0.10.2 and 0.12.0.1). Here both transposes are
    plain convolutions. The primitive is bilinear, so that every mode of differentiation follows from them.

    Args:
      features: (batch, y, x, in), real.
      kernel: (kh, kw, in, out), with odd kh and kw.

    Returns:
      The correlated features, (batch, y, x, out).

    Raises:
      ValueError: the size of the kernel is even, or the numbers of channels differ.

    >>> convolve(jnp.ones((1, 3, 3, 1)), jnp.ones((3, 3, 1, 1)))[0, :, :, 0]
    Array([[4., 6., 4.],
           [6., 9., 6.],
           [4., 6., 4.]], dtype=float32)
    """
    if kernel.shape[0] % 2 == 0 or kernel.shape[1] % 2 == 0 or kernel.shape[2] != features.shape[-1]:
        raise ValueError(
            f"features (batch, y, x, in) of shape {features.shape} need a kernel (kh, kw, in, out) of odd size with "
            f"the same number of input channels; it has shape {kernel.shape}"
        )
    return _convolve.bind(features, kernel)


def _correlate(features: jax.Array, kernel: jax.Array, margins: str | list[tuple[int, int]] = "SAME") -> jax.Array:
    return jax.lax.conv_general_dilated(features, kernel, (1, 1), margins, dimension_numbers=("NHWC", "HWIO", "NHWC"))


def _transpose_features(cotangent: jax.Array, _: ad.UndefinedPrimal, kernel: jax.Array) -> jax.Array:
    flipped = jnp.flip(kernel, (0, 1)).swapaxes(2, 3)
    return _convolve.bind(cotangent, jax.lax.optimization_barrier(flipped))


def _transpose_kernel(cotangent: jax.Array, features: jax.Array, kernel: ad.UndefinedPrimal) -> jax.Array:
    margins = [(size // 2, size // 2) for size in kernel.aval.shape[:2]]
    filters = jax.lax.optimization_barrier(cotangent.transpose(1, 2, 0, 3))
    return _correlate(features.transpose(3, 1, 2, 0), filters, margins).transpose(1, 2, 0, 3)


def _batch(args: tuple, axes: tuple) -> tuple[jax.Array, int]:
    features, kernel = args
    if axes[1] is None:
        features = jnp.moveaxis(features, axes[0], 0)
        out = _convolve.bind(features.reshape(-1, *features.shape[2:]), kernel)
        return out.reshape(*features.shape[:2], *out.shape[1:]), 0
    return jax.vmap(_correlate, axes)(features, kernel), 0


_convolve = Primitive("deqjax_convolve")
_convolve.def_impl(jax.jit(_correlate))
_convolve.def_abstract_eval(lambda features, kernel: features.update(shape=(*features.shape[:-1], kernel.shape[-1])))
mlir.register_lowering(_convolve, mlir.lower_fun(_correlate, multiple_results=False))
ad.defbilinear(_convolve, _transpose_features, _transpose_kernel)
batching.primitive_batchers[_convolve] = _batch
