"""Networks that are gradient steps on convex functions, and therefore 1-Lipschitz with a skip connection."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from deqjax.nets.convolution import convolve
from deqjax.nets.spectral_norm import operator_norm_bound, proved_norms

INITIAL_NORM = 0.2
"""The norm of a fresh kernel. A layer then is a small change of the identity."""

STEP_SIZE = 1.8
"""The step size of a layer of :class:`ConvexPotential`, which is 1-Lipschitz up to ``||W||^2 = 2 / 1.8 = 1.054^2``.

A kernel of norm 1 therefore needs no sharp bound on its norm.
"""

COARSE = 16
"""The number of frequencies per axis of that bound, which is at most 3.6 % above the one of a fine grid for 3 x 3
kernels and takes an eighth of the time."""


def _small(key: jax.Array, shape: tuple[int, ...], dtype: Any) -> jax.Array:
    kernel = jax.random.normal(key, shape, dtype)
    return INITIAL_NORM * kernel / operator_norm_bound(kernel, grid=COARSE)


def _step_constant(norm: jax.Array, step_size: float) -> jax.Array:
    """Bound the Lipschitz constant of ``z - step_size W^T s(W z + b)`` for slopes of s in [0, 1] and ``||W|| = norm``.

    The Jacobian is ``I - step_size W^T S W`` with a diagonal S between 0 and 1. It is symmetric, and its eigenvalues
    are between ``1 - step_size norm^2`` and 1.
    """
    return jnp.maximum(1, step_size * norm**2 - 1)


def _transpose(features: jax.Array, kernel: jax.Array) -> jax.Array:
    """Apply the transpose of ``convolve(., kernel)``, which for odd sizes with zero padding is a convolution."""
    return convolve(features, jnp.flip(kernel, (0, 1)).swapaxes(2, 3))


def _to_patches(pixels: jax.Array, patch: int) -> jax.Array:
    """Collect the channels of every square of ``patch x patch`` pixels, after padding with zeros: an isometry."""
    batch, rows, columns, channels = pixels.shape
    padded = jnp.pad(pixels, ((0, 0), (0, -rows % patch), (0, -columns % patch), (0, 0)))
    squares = padded.reshape(batch, -(-rows // patch), patch, -(-columns // patch), patch, channels)
    return squares.transpose(0, 1, 3, 2, 4, 5).reshape(batch, *squares.shape[1:4:2], patch**2 * channels)


def _from_patches(patches: jax.Array, patch: int, shape: tuple[int, ...]) -> jax.Array:
    """Undo :func:`_to_patches` for images of a shape (batch, y, x), and drop the padding."""
    batch, rows, columns, _ = patches.shape
    squares = patches.reshape(batch, rows, columns, patch, patch, -1).transpose(0, 1, 3, 2, 4, 5)
    return squares.reshape(batch, rows * patch, columns * patch, -1)[:, : shape[1], : shape[2]]


class ConvexPotential(nn.Module):
    """The denoiser ``D(x) = bound N(x)``: N is a chain of gradient steps on convex potentials.

    A step is ``z - 1.8 W^T s(W z + b)``, where s is the rectifier and W a convolution. Real and imaginary parts of the
    pixels of a patch are the first ``2 patch^2`` of ``features`` channels, of which the others start at 0. The result
    is read from the same channels.

    Its Lipschitz constant is at most ``bound prod_i max(1, 1.8 ||W_i||^2 - 1)``, which is ``bound`` if every W has a
    norm of at most 1.054.

    Proof. Padding with zeros and collecting the pixels of patches are isometries, and the projection to the first
    channels has the norm 1. A layer is piecewise affine with the Jacobian ``I - 1.8 W^T S W``, where S is diagonal with
    entries 0 or 1. It is symmetric with eigenvalues in ``[1 - 1.8 ||W||^2, 1]``. The constant of a composition is at
    most the product. ``||W||`` is bounded for all image sizes with zero padding by :func:`operator_norm_bound`.

    In contrast to a chain of normalised convolutions, each layer has a skip connection, so that a fresh N is close to
    the identity. Training keeps the norms at most 1 with ``[run] spectral_bound = 1.0``.

    Attributes:
      layers: the number of steps, at least 1.
      features: the number of channels, at least ``2 patch^2``; each W has as many outputs.
      kernel_size: odd.
      bound: the factor rho; below 1 for a contraction.
      patch: the width of the patches. With 4, a convolution costs a sixteenth of the time and sees four times as far.

    Source: L. Meunier, B. Delattre, A. Araujo, A. Allauzen, "A dynamical system perspective for Lipschitz neural
    networks", ICML 2022, section 3.2.

    >>> net = ConvexPotential(layers=3, features=4, bound=0.9)
    >>> params = net.init(jax.random.key(0), jnp.zeros((1, 8, 8), complex))
    >>> round(float(net.lipschitz(params)), 4)
    0.9
    """

    layers: int = 8
    features: int = 32
    kernel_size: int = 3
    bound: float = 1.0
    patch: int = 1

    @nn.compact
    def __call__(self, image: jax.Array) -> jax.Array:
        """Denoise complex images (batch, y, x).

        Raises:
          ValueError: the number of layers or features or the size of the kernel or of a patch is invalid.
        """
        if self.layers < 1 or self.kernel_size % 2 == 0 or self.patch < 1 or self.features < 2 * self.patch**2:
            raise ValueError(
                f"ConvexPotential needs layers >= 1 and an odd kernel_size; they are {self.layers} and "
                f"{self.kernel_size}; and patch >= 1 and at least 2 patch^2 features; they are {self.patch} and "
                f"{self.features}"
            )
        parts = _to_patches(jnp.stack([image.real, image.imag], axis=-1), self.patch)
        out = jnp.pad(parts, [(0, 0)] * 3 + [(0, self.features - parts.shape[-1])])
        size = (self.kernel_size, self.kernel_size, self.features, self.features)
        for index in range(self.layers):
            kernel = self.param(f"kernel_{index}", _small, size, out.dtype).astype(out.dtype)
            bias = self.param(f"bias_{index}", nn.initializers.zeros_init(), size[3:], out.dtype)
            out = out - STEP_SIZE * _transpose(nn.relu(convolve(out, kernel) + bias), kernel)
        out = _from_patches(out[..., : parts.shape[-1]], self.patch, image.shape)
        return self.bound * jax.lax.complex(out[..., 0], out[..., 1])

    def lipschitz(self, params: Any) -> jax.Array:
        """Return ``|bound|`` times the product of ``max(1, 1.8 ||W||^2 - 1)`` over the layers."""
        return abs(self.bound) * jnp.prod(_step_constant(jnp.stack(proved_norms(params, COARSE)), STEP_SIZE))


class ConvexRidge(nn.Module):
    """A gradient step on a learned convex-ridge regularizer, ``D(x) = bound (x - W^T s(W x))``.

    The regularizer is ``R(x) = sum_i psi_i(w_i * x)`` over filters and pixels, with convex psi_i. ``s_i = psi_i'`` is a
    learned piecewise linear function: it is 0 at 0, odd, and its slope in each of ``knots`` intervals of the magnitude
    is learned in (0, 1). Beyond the last interval it is constant. Few parameters have to be learned.

    Its Lipschitz constant is at most ``bound max(1, ||W||^2 - 1)``, which is ``bound`` if ``||W||^2 <= 2``.

    Proof. The slopes of s are in [0, 1], so that the Jacobian ``I - W^T S W`` is symmetric with eigenvalues in ``[1 -
    ||W||^2, 1]``. ``||W||`` is bounded for all image sizes with zero padding by :func:`operator_norm_bound`.

    In :class:`deqjax.maps.HalfQuadratic` with ``bound = 1`` and penalty p, the fixed point solves ``A^H (A x - y) + p
    W^T s(W x) = 0``: it minimises the convex function ``1/2 ||A x - y||^2 + p R(x)``, but no rate is proved. A bound
    below 1 adds a multiple of ``||x||^2`` and makes f a contraction.

    Attributes:
      features: the number of filters, at least 1.
      kernel_size: odd.
      knots: the number of intervals, at least 1.
      width: the length of an interval, > 0, in the units of the map.
      bound: the factor rho; below 1 for a contraction.

    Source: A. Goujon et al., "A neural-network-based convex regularizer for inverse problems", IEEE Trans. Comput.
    Imaging 9:781, 2023, eqs. 8 to 10, here with one convolution and odd splines.

    >>> net = ConvexRidge(features=4, kernel_size=3, bound=0.9)
    >>> params = net.init(jax.random.key(0), jnp.zeros((1, 8, 8), complex))
    >>> round(float(net.lipschitz(params)), 4)
    0.9
    """

    features: int = 32
    kernel_size: int = 7
    knots: int = 8
    width: float = 0.02
    bound: float = 1.0

    @nn.compact
    def __call__(self, image: jax.Array) -> jax.Array:
        """Denoise complex images (batch, y, x).

        Raises:
          ValueError: the number of filters or intervals, the width or the size of the kernel is invalid.
        """
        if min(self.features, self.knots) < 1 or self.kernel_size % 2 == 0 or self.width <= 0:
            raise ValueError(
                f"ConvexRidge needs knots >= 1 and an odd kernel_size; they are {self.knots} and {self.kernel_size}; "
                f"and features >= 1 and width > 0; they are {self.features} and {self.width}"
            )
        parts = jnp.stack([image.real, image.imag], axis=-1)
        size = (self.kernel_size, self.kernel_size, 2, self.features)
        kernel = self.param("kernel", _small, size, parts.dtype).astype(parts.dtype)
        logits = self.param("slopes", nn.initializers.zeros_init(), (self.knots, self.features), parts.dtype)
        out = parts - _transpose(self._slope(convolve(parts, kernel), jax.nn.sigmoid(logits)), kernel)
        return self.bound * jax.lax.complex(out[..., 0], out[..., 1])

    def _slope(self, ridge: jax.Array, slopes: jax.Array) -> jax.Array:
        magnitude = jnp.abs(ridge)
        parts = (slopes[k] * jnp.clip(magnitude - k * self.width, 0, self.width) for k in range(self.knots))
        return jnp.sign(ridge) * sum(parts)

    def lipschitz(self, params: Any) -> jax.Array:
        """Return ``|bound| max(1, ||W||^2 - 1)``."""
        return abs(self.bound) * jnp.prod(_step_constant(jnp.stack(proved_norms(params)), 1.0))
