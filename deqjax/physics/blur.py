"""Out of focus: convolution with a kernel."""

import jax
import jax.numpy as jnp

from deqjax.physics.shapes import is_array
from deqjax.pytree import operand


@operand
class Blur:
    """The blur ``A x = h * x``: convolution with a kernel, round the edges of the image.

    ``kernel`` is (rows, columns), real or complex, its middle at ``(rows // 2, columns // 2)``; where ``sum |h| <= 1``,
    ``||A^H A|| <= 1``. All methods take an image (y, x) or a batch (batch, y, x), and so is what is measured.

    Raises:
      ValueError: a kernel of other than two axes, or, when a method is used, larger than the image.

    Source: Gonzalez and Woods, "Digital Image Processing", 4th edition, 2018, sections 4.6 and 5.5; the inverse is
    their Wiener filter for a constant ratio, section 5.8.

    >>> A = Blur(jnp.full((3, 3), 1 / 9))
    >>> bool(jnp.allclose(A.forward(jnp.ones((5, 8)) + 0j), 1))
    True
    """

    kernel: jax.Array

    def __post_init__(self) -> None:
        if is_array(self.kernel) and (self.kernel.ndim != 2 or 0 in self.kernel.shape):
            raise ValueError(f"kernel must be (rows, columns) and not empty; it has shape {self.kernel.shape}")

    def _transfer(self, image: jax.Array) -> jax.Array:
        size, small = image.shape[-2:], self.kernel.shape
        if small[0] > size[0] or small[1] > size[1]:
            raise ValueError(f"kernel {small} is larger than the image (y, x) {size}: crop it")
        padded = jnp.pad(self.kernel, [(0, n - k) for n, k in zip(size, small)])
        return jnp.fft.fft2(jnp.roll(padded, (-(small[0] // 2), -(small[1] // 2)), (0, 1)))

    def forward(self, image: jax.Array) -> jax.Array:
        """Blur an image: ``h * x``, shape (..., y, x)."""
        return jnp.fft.ifft2(self._transfer(image) * jnp.fft.fft2(image))

    def adjoint(self, kspace: jax.Array) -> jax.Array:
        """Correlate a blurred image with the kernel, shape (..., y, x)."""
        return jnp.fft.ifft2(jnp.conj(self._transfer(kspace)) * jnp.fft.fft2(kspace))

    def normal(self, image: jax.Array) -> jax.Array:
        """Forward and adjoint in one, shape (..., y, x)."""
        return jnp.fft.ifft2(jnp.abs(self._transfer(image)) ** 2 * jnp.fft.fft2(image))

    def regularised_inverse(self, image: jax.Array, penalty: jax.Array | float, steps: int = 0) -> jax.Array:
        """Solve ``(A^H A + penalty I) z = x`` in closed form; penalty > 0, shape (..., y, x).

        ``steps`` is there for the forward models without a closed form.
        """
        return jnp.fft.ifft2(jnp.fft.fft2(image) / (jnp.abs(self._transfer(image)) ** 2 + penalty))
