"""DnCNN, a residual convolutional denoiser, and the convolution layer of the networks."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from deqjax.nets.convolution import convolve
from deqjax.nets.spectral_norm import proved_norms


class Conv(nn.Module):
    """A convolution layer of odd size with zero padding, for features (batch, y, x, channel).

    Attributes:
      features: the number of output channels.
      kernel_size: odd.
      use_bias: whether a bias is added.
      initial_scale: the variance of the initial kernel, multiplied by the number of inputs of one output.
    """

    features: int
    kernel_size: int
    use_bias: bool
    initial_scale: float = 2.0

    @nn.compact
    def __call__(self, features: jax.Array) -> jax.Array:
        size = (self.kernel_size, self.kernel_size, features.shape[-1], self.features)
        init = nn.initializers.variance_scaling(self.initial_scale, "fan_in", "truncated_normal")
        kernel = self.param("kernel", init, size, features.dtype)
        out = convolve(features, kernel.astype(features.dtype))
        if self.use_bias:
            out = out + self.param("bias", nn.initializers.zeros_init(), (self.features,), features.dtype)
        return out


class DnCNN(nn.Module):
    """The denoiser ``R(x) = x + N(x)``: N is a chain of convolutions and rectifiers on real and imaginary parts.

    There is no batch normalisation, because it would invalidate a bound on the convolutions. Group normalisation, which
    is an option, is refused beside a bound for the same reason. The initial weights of the last layer are small, so
    that an untrained R is close to the identity.

    Attributes:
      layers: the number of convolutions, at least 2.
      features: the number of channels between them.
      kernel_size: odd.
      residual: whether the result is ``x + N(x)``; otherwise it is N(x).
      group_norm: the number of groups of a group normalisation after each inner convolution; 0 for none.
      use_bias: whether every convolution adds a bias.

    Source: K. Zhang et al., "Beyond a Gaussian denoiser: residual learning of deep CNN for image denoising", IEEE
    Trans. Image Process. 26:3142, 2017, section III.A.

    >>> net = DnCNN(layers=3, features=4)
    >>> params = net.init(jax.random.key(0), jnp.zeros((1, 8, 8), complex))
    >>> net.apply(params, jnp.ones((2, 9, 7), complex)).shape
    (2, 9, 7)
    """

    layers: int = 17
    features: int = 64
    kernel_size: int = 3
    residual: bool = True
    group_norm: int = 0
    use_bias: bool = True

    @nn.compact
    def __call__(self, image: jax.Array) -> jax.Array:
        """Denoise complex images (batch, y, x).

        Raises:
          ValueError: the number of layers or the size of the kernel is invalid.
        """
        if self.layers < 2 or self.kernel_size % 2 == 0:
            raise ValueError(
                f"DnCNN needs layers >= 2 and an odd kernel_size; they are {self.layers} and {self.kernel_size}"
            )
        out = jnp.stack([image.real, image.imag], axis=-1)
        for index in range(self.layers - 1):
            out = Conv(self.features, self.kernel_size, self.use_bias, name=f"conv_{index}")(out)
            if self.group_norm and index > 0:
                out = nn.GroupNorm(num_groups=self.group_norm, name=f"norm_{index}")(out)
            out = nn.relu(out)
        out = Conv(2, self.kernel_size, self.use_bias, 1e-2, name=f"conv_{self.layers - 1}")(out)
        noise = jax.lax.complex(out[..., 0], out[..., 1])
        return image + noise if self.residual else noise

    def lipschitz(self, params: Any) -> jax.Array:
        """Return the product of the norms of the convolutions, plus 1 if ``residual``; infinity with group norm.

        Rectifiers are 1-Lipschitz. The skip connection adds the identity, so that the bound of a residual net is never
        below 1, and no distance to a fixed point follows from it. A group normalisation has no bound.
        """
        if self.group_norm:
            return jnp.asarray(jnp.inf)
        return jnp.prod(jnp.stack(proved_norms(params))) + self.residual
