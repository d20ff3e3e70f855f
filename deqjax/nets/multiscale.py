"""A network with features at several resolutions that it updates together with the image."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from deqjax.nets.dncnn import Conv
from deqjax.nets.unet import double, halve
from deqjax.types import Params


class MultiScaleUNet(nn.Module):
    """A denoiser with memory: a step computes the next image and features at coarser resolutions from the last ones.

    With the features ``e`` of the image at full resolution, and levels i = 1 to k of half the size each, from the
    coarsest to the finest,

    ``h_i+ = block_i(down^i e, up h_(i+1)+; h_i, down h_(i-1))``, then ``x+ = x + N(e, up h_1+)``.

    Every block has two convolutions with rectifiers, and so have e and N. Down is averaging and up repeats pixels. The
    new features of a coarser level are used at once, so that one step with the features zero is an ordinary U-Net; as
    such, ``apply``, it can be trained as a denoiser. The convolutions of the old features have small initial weights,
    so that the untrained iteration contracts. There are no normalisation layers. Images of any size are padded with
    zeros to a multiple of ``2^(levels - 1)``.

    Attributes:
      levels: the number of resolutions, at least 2; there are ``levels - 1`` arrays of features.
      features: the number of channels at the full resolution. Level i has ``(i + 1) features``.
      kernel_size: odd.

    Source: S. Bai, V. Koltun, J. Z. Kolter, "Multiscale deep equilibrium models", NeurIPS 2020, section 3.1 (the
    resolutions are solved together); the blocks are those of a U-Net.

    >>> net = MultiScaleUNet(levels=3, features=2)
    >>> image = jnp.ones((1, 9, 7), complex)
    >>> params = net.init(jax.random.key(0), image)
    >>> denoised, hidden = net.apply_step(params, image, net.hidden(image))
    >>> denoised.shape, [features.shape for features in hidden]
    ((1, 9, 7), [(1, 6, 4, 4), (1, 3, 2, 6)])
    """

    levels: int = 3
    features: int = 16
    kernel_size: int = 3

    def __call__(self, image: jax.Array) -> jax.Array:
        """Denoise complex images (batch, y, x) in one step in which the old features are zero."""
        return self.step(image, self.hidden(image))[0]

    def apply_step(
        self, params: Params, image: jax.Array, hidden: tuple[jax.Array, ...]
    ) -> tuple[jax.Array, tuple[jax.Array, ...]]:
        """Compute the next image (batch, y, x) and the next features."""
        return self.apply(params, image, hidden, method="step")  # type: ignore[return-value]

    def hidden(self, image: jax.Array) -> tuple[jax.Array, ...]:
        """Make features that are zero, (batch, y / 2^i, x / 2^i, channels) for i = 1, 2 to ``levels - 1``.

        Raises:
          ValueError: the number of levels or the size of the kernel is invalid.
        """
        if self.levels < 2 or self.kernel_size % 2 == 0:
            raise ValueError(
                f"MultiScaleUNet needs levels >= 2 and an odd kernel_size; they are {self.levels} and "
                f"{self.kernel_size}"
            )
        coarsest = [-(-length // 2 ** (self.levels - 1)) for length in image.shape[1:]]
        return tuple(
            jnp.zeros(
                (
                    image.shape[0],
                    *(length * 2 ** (self.levels - 1 - level) for length in coarsest),
                    self.features * (level + 1),
                ),
                image.real.dtype,
            )
            for level in range(1, self.levels)
        )

    @nn.compact
    def step(self, image: jax.Array, hidden: tuple[jax.Array, ...]) -> tuple[jax.Array, tuple[jax.Array, ...]]:
        """Compute the next image (batch, y, x) and the next features."""
        size = image.shape[1:]
        margin = [(0, -length % 2 ** (self.levels - 1)) for length in size]
        finest = jnp.pad(jnp.stack([image.real, image.imag], axis=-1), [(0, 0), *margin, (0, 0)])
        for index in range(2):
            finest = nn.relu(self._conv(0, f"image_{index}")(finest))
        pyramid = [finest]
        for _ in hidden:
            pyramid.append(halve(pyramid[-1]))
        following: list[jax.Array] = []
        for level in reversed(range(1, self.levels)):
            new = jnp.concatenate([pyramid[level], *map(double, following[:1])], axis=-1)
            old = jnp.concatenate([hidden[level - 1], *map(halve, hidden[max(level - 2, 0) : level - 1])], axis=-1)
            out = self._conv(level, f"new_{level}")(new) + self._conv(level, f"old_{level}", initial_scale=1e-2)(old)
            following = [nn.relu(self._conv(level, f"block_{level}")(nn.relu(out))), *following]
        out = jnp.concatenate([double(following[0]), finest], axis=-1)
        for index in range(2):
            out = nn.relu(self._conv(0, f"up_{index}")(out))
        out = Conv(2, self.kernel_size, True, 1e-2, name="last")(out)[:, : size[0], : size[1]]
        return image + jax.lax.complex(out[..., 0], out[..., 1]), tuple(following)

    def _conv(self, level: int, name: str, initial_scale: float = 2.0) -> Conv:
        return Conv(self.features * (level + 1), self.kernel_size, True, initial_scale, name=name)
