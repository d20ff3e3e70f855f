"""Networks with a proved Lipschitz constant: chains of normalised convolutions, and averages with the identity."""

from dataclasses import dataclass, field
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from deqjax.nets.convolution import convolve
from deqjax.nets.spectral_norm import operator_norm_bound, proved_norms
from deqjax.types import Bounded, Net


def max_min(features: jax.Array) -> jax.Array:
    """Sort every pair of channels, the larger one first.

    It permutes the channels of each pixel, so that it keeps the norm. It is 1-Lipschitz, and its Jacobian is orthogonal
    wherever it exists.

    Source: C. Anil, J. Lucas, R. Grosse, "Sorting out Lipschitz function approximation", ICML 2019, section 4.

    >>> max_min(jnp.array([1.0, 2.0, 4.0, 3.0]))
    Array([2., 1., 4., 3.], dtype=float32)
    """
    pairs = features.reshape(*features.shape[:-1], -1, 2)
    return jnp.stack([pairs.max(axis=-1), pairs.min(axis=-1)], axis=-1).reshape(features.shape)


def _isometric(key: jax.Array, shape: tuple[int, ...], dtype: Any) -> jax.Array:
    """Draw a kernel that is a random orthogonal matrix at its centre and 0 elsewhere, of norm at most 1 as proved."""
    kernel = jnp.zeros(shape, dtype)
    matrix = nn.initializers.orthogonal()(key, shape[2:], dtype)
    kernel = kernel.at[shape[0] // 2, shape[1] // 2].set(matrix)
    return kernel / operator_norm_bound(kernel)


class LipschitzDnCNN(nn.Module):
    """The denoiser ``D(x) = bound N(x)``: N is a chain of convolutions and :func:`max_min` on real and imaginary parts.

    Its Lipschitz constant is at most ``bound prod_i ||conv_i||``.

    Proof. Real and imaginary parts as two channels are an isometry. A convolution with a bias is ``||conv_i||``-
    Lipschitz, with ``||conv_i||`` bounded for all image sizes with zero padding by :func:`operator_norm_bound`. The
    activation permutes channels in each pixel: for numbers a and b, ``|max(a) - max(b)|^2 + |min(a) - min(b)|^2 <= |a -
    b|^2`` (rearrangement), so that it is 1-Lipschitz. The constant of a composition is at most the product.

    Fresh kernels are isometries, scaled so that the product is at most 1. Training keeps it there with ``[run]
    spectral_bound = 1.0``. There is no skip connection, which would add the constant of the identity.

    Attributes:
      layers: the number of convolutions, at least 2.
      features: the number of channels between them, even.
      kernel_size: odd.
      bound: the factor rho; below 1 for a contraction. A chain with a small bound shrinks the image: add what is
        missing with the ``anchor`` of :class:`deqjax.maps.HalfQuadratic`.
      use_bias: whether every convolution adds a bias.

    Sources: C. Anil, J. Lucas, R. Grosse, "Sorting out Lipschitz function approximation", ICML 2019, section 4 (the
    activation); L. Xiao et al., "Dynamical isometry and a mean field theory of CNNs", ICML 2018, algorithm 1 (the
    initial kernels).

    >>> net = LipschitzDnCNN(layers=3, features=4, bound=0.9)
    >>> params = net.init(jax.random.key(0), jnp.zeros((1, 8, 8), complex))
    >>> bool(0.85 < net.lipschitz(params) <= 0.9001)
    True
    """

    layers: int = 8
    features: int = 32
    kernel_size: int = 3
    bound: float = 1.0
    use_bias: bool = True

    @nn.compact
    def __call__(self, image: jax.Array) -> jax.Array:
        """Denoise complex images (batch, y, x).

        Raises:
          ValueError: the number of layers or features or the size of the kernel is invalid.
        """
        if self.layers < 2 or self.kernel_size % 2 == 0 or self.features % 2:
            raise ValueError(
                f"LipschitzDnCNN needs layers >= 2 and an odd kernel_size; they are {self.layers} and "
                f"{self.kernel_size}; and an even number of features; it is {self.features}"
            )
        out = jnp.stack([image.real, image.imag], axis=-1)
        for index in range(self.layers):
            last = index == self.layers - 1
            width = 2 if last else self.features
            out = Convolution(width, self.kernel_size, self.use_bias, name=f"conv_{index}")(out)
            out = out if last else max_min(out)
        return self.bound * jax.lax.complex(out[..., 0], out[..., 1])

    def lipschitz(self, params: Any) -> jax.Array:
        """Return ``|bound|`` times the product of the norms of the convolutions."""
        return abs(self.bound) * jnp.prod(jnp.stack(proved_norms(params)))


class Convolution(nn.Module):
    """A convolution with zero padding whose initial kernel is an isometry, for features (batch, y, x, channel).

    Attributes:
      features: the number of output channels.
      kernel_size: odd.
      use_bias: whether a bias is added.
    """

    features: int
    kernel_size: int
    use_bias: bool

    @nn.compact
    def __call__(self, features: jax.Array) -> jax.Array:
        size = (self.kernel_size, self.kernel_size, features.shape[-1], self.features)
        kernel = self.param("kernel", _isometric, size, features.dtype)
        out = convolve(features, kernel.astype(features.dtype))
        if self.use_bias:
            out = out + self.param("bias", nn.initializers.zeros_init(), (self.features,), features.dtype)
        return out


@dataclass(frozen=True)
class Averaged:
    """The average of a net and the identity, ``D(x) = (1 - weight) x + weight N(x)``, with the parameters of N.

    For a 1-Lipschitz N, D is an averaged operator: ``x <- D(x)`` converges to a fixed point if there is one
    (Krasnoselskii and Mann), **without a rate**. Its Lipschitz constant is at most ``1 - weight + weight Lip(N)`` by
    the triangle inequality. That is 1 for a 1-Lipschitz N, which certifies no distance; it is below 1 only if N
    contracts.

    Attributes:
      net: N.
      weight: in (0, 1].

    Raises:
      ValueError: the weight is out of range.

    Source: H. H. Bauschke and P. L. Combettes, "Convex analysis and monotone operator theory in Hilbert spaces", 2nd
    edition, 2017, proposition 5.16.

    >>> net = Averaged(LipschitzDnCNN(layers=2, features=4, bound=0.8))
    >>> params = net.init(jax.random.key(0), jnp.zeros((1, 8, 8), complex))
    >>> bool(0.88 < net.lipschitz(params) <= 0.9001)
    True
    """

    net: Net = field(default_factory=LipschitzDnCNN)
    weight: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.weight <= 1:
            raise ValueError(f"Averaged needs 0 < weight <= 1; it is {self.weight}")

    def init(self, key: jax.Array, image: jax.Array, /) -> Any:
        return self.net.init(key, image)

    def apply(self, params: Any, image: jax.Array, /) -> jax.Array:
        return (1 - self.weight) * image + self.weight * self.net.apply(params, image)

    def lipschitz(self, params: Any) -> jax.Array:
        """Return ``1 - weight + weight Lip(N)``, or infinity if N has no proved bound."""
        inner = self.net.lipschitz(params) if isinstance(self.net, Bounded) else jnp.inf
        return jnp.asarray(1 - self.weight + self.weight * inner)
