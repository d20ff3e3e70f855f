"""U-Net that computes a field of vectors from the channels of two images."""

import flax.linen as nn
import jax
import jax.numpy as jnp

CONDITION_WIDTH = 32
"""The width of the dense layers of a condition."""


class FieldUNet(nn.Module):
    """A U-Net with one convolution of 3 voxels a level, for images of any size, in 2-D and 3-D.

    The encoder halves the size by convolutions of stride 2. The decoder doubles it by repeating voxels, and
    concatenates the features of the encoder. Images are padded with their edge values to a multiple of
    ``2^len(encoder)``, and the field is cut back. All activations are leaky ReLU with the slope 0.2. The weights of the
    last layer are drawn from N(0, ``scale``^2), so that an untrained network hardly moves anything.

    With a condition, each activation a of a channel becomes ``(1 + gamma) a + beta``, where gamma and beta are linear
    in the output of two dense layers of the condition.

    Attributes:
      encoder: the number of channels after each halving.
      decoder: the number of channels at each size, from the smallest; as many as in the encoder.
      last: the numbers of channels of the convolutions at the full size.
      scale: the standard deviation of the initial weights of the last layer.

    Source: G. Balakrishnan et al., "VoxelMorph: a learning framework for deformable medical image registration", IEEE
    Trans. Med. Imaging 38:1788, 2019, figure 3; for the condition T. Mok, A. Chung, "Conditional deformable image
    registration with convolutional neural network", MICCAI 2021, here without normalisation.

    >>> net = FieldUNet(encoder=(4, 4), decoder=(4, 4), last=(4,))
    >>> jax.eval_shape(net.init_with_output, jax.random.key(0), jnp.zeros((9, 7, 2)))[0].shape
    (9, 7, 2)
    """

    encoder: tuple[int, ...] = (16, 32, 32, 32)
    decoder: tuple[int, ...] = (32, 32, 32, 32)
    last: tuple[int, ...] = (32, 16, 16)
    scale: float = 1e-5

    @nn.compact
    def __call__(self, images: jax.Array, condition: jax.Array | None = None) -> jax.Array:
        """Compute the field.

        Args:
          images: (*shape, channels), with 2 or 3 spatial axes.
          condition: numbers that every layer depends on, (k,); None for none. A network is trained with or without.

        Returns:
          One vector for each voxel, (*shape, d).

        Raises:
          ValueError: the encoder and the decoder have different numbers of levels.
        """
        if len(self.encoder) != len(self.decoder):
            raise ValueError(f"encoder {self.encoder} and decoder {self.decoder} must have the same number of levels")
        shape = images.shape[:-1]
        kernel, latent = (3,) * len(shape), condition
        if latent is not None:
            for layer in range(2):
                latent = nn.leaky_relu(nn.Dense(CONDITION_WIDTH, name=f"condition_{layer}")(latent), 0.2)

        def convolve(values: jax.Array, width: int, name: str, stride: int = 1) -> jax.Array:
            initial = nn.initializers.he_normal()
            layer = nn.Conv(width, kernel, strides=stride, padding=1, kernel_init=initial, name=name)
            values = nn.leaky_relu(layer(values), 0.2)
            if latent is None:
                return values
            gamma, beta = jnp.split(nn.Dense(2 * width, name=f"{name}_modulation")(latent), 2)
            return (1 + gamma) * values + beta

        margin = [(0, -n % 2 ** len(self.encoder)) for n in shape]
        values = jnp.pad(images, [*margin, (0, 0)], mode="edge")
        encoded = []
        for level, width in enumerate(self.encoder):
            encoded.append(values)
            values = convolve(values, width, f"encoder_{level}", stride=2)
        for level, width in enumerate(self.decoder):
            values = convolve(values, width, f"decoder_{level}")
            for axis in range(len(shape)):
                values = jnp.repeat(values, 2, axis=axis)
            values = jnp.concatenate([values, encoded.pop()], axis=-1)
        for level, width in enumerate(self.last):
            values = convolve(values, width, f"last_{level}")
        small = nn.initializers.normal(self.scale)
        field = nn.Conv(len(shape), kernel, padding=1, kernel_init=small, name="field")(values)
        return field[tuple(slice(n) for n in shape)]
