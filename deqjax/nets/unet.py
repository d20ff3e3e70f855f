"""U-Net, a convolutional denoiser with a large receptive field."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from deqjax.nets.dncnn import Conv


class UNet(nn.Module):
    """The denoiser ``R(x) = x + N(x)``, where N is a U-Net on real and imaginary parts.

    Every level has two convolutions with rectifiers. The encoder halves the size by averaging and doubles the number of
    channels from level to level. The decoder doubles the size by repeating pixels and concatenates the features of the
    encoder. Images of any size are padded with zeros to a multiple of ``2^(levels - 1)``, and the result is cropped.
    The initial weights of the last layer are small, so that an untrained R is close to the identity. There are no
    normalisation layers.

    It has no proved Lipschitz constant. A bound by the norms of its parts would be of no use: with convolutions of norm
    1, each concatenation multiplies it by up to ``sqrt(2)``, each repetition of pixels by 2, and the skip connection
    adds 1. See ``LipschitzDnCNN`` and ``ConvexPotential`` for nets with a bound.

    Attributes:
      levels: the number of resolutions, at least 1.
      features: the number of channels at the full resolution.
      kernel_size: odd.
      residual: whether the result is ``x + N(x)``; otherwise it is N(x).
      use_bias: whether every convolution adds a bias.

    Source: O. Ronneberger, P. Fischer, T. Brox, "U-Net: convolutional networks for biomedical image segmentation",
    MICCAI 2015, figure 1, with zero padding in the convolutions.

    >>> net = UNet(levels=2, features=4)
    >>> params = net.init(jax.random.key(0), jnp.zeros((1, 8, 8), complex))
    >>> net.apply(params, jnp.ones((2, 9, 7), complex)).shape
    (2, 9, 7)
    """

    levels: int = 3
    features: int = 32
    kernel_size: int = 3
    residual: bool = True
    use_bias: bool = True

    @nn.compact
    def __call__(self, image: jax.Array) -> jax.Array:
        """Denoise complex images (batch, y, x).

        Raises:
          ValueError: the number of levels or the size of the kernel is invalid.
        """
        if self.levels < 1 or self.kernel_size % 2 == 0:
            raise ValueError(
                f"UNet needs levels >= 1 and an odd kernel_size; they are {self.levels} and {self.kernel_size}"
            )
        size = image.shape[1:]
        margin = [(0, -length % 2 ** (self.levels - 1)) for length in size]
        out = jnp.pad(jnp.stack([image.real, image.imag], axis=-1), [(0, 0), *margin, (0, 0)])
        encoded = []
        for level in range(self.levels):
            if level:
                encoded.append(out)
                out = halve(out)
            out = self._level(out, level, f"down_{level}")
        for level in reversed(range(self.levels - 1)):
            out = jnp.concatenate([double(out), encoded[level]], axis=-1)
            out = self._level(out, level, f"up_{level}")
        out = Conv(2, self.kernel_size, self.use_bias, 1e-2, name="last")(out)[:, : size[0], : size[1]]
        noise = jax.lax.complex(out[..., 0], out[..., 1])
        return image + noise if self.residual else noise

    def _level(self, out: jax.Array, level: int, name: str) -> jax.Array:
        for index in range(2):
            layer = Conv(self.features * 2**level, self.kernel_size, self.use_bias, name=f"{name}_{index}")
            out = nn.relu(layer(out))
        return out


def halve(features: jax.Array) -> jax.Array:
    """Average squares of 2 x 2 pixels of features (batch, y, x, channel)."""
    batch, y, x, channels = features.shape
    return features.reshape(batch, y // 2, 2, x // 2, 2, channels).mean(axis=(2, 4))


def double(features: jax.Array) -> jax.Array:
    """Repeat every pixel of features (batch, y, x, channel) as a square of 2 x 2."""
    return jnp.repeat(jnp.repeat(features, 2, axis=1), 2, axis=2)
