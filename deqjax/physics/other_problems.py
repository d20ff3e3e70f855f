"""Forward models of imaging problems outside MRI: deblurring, inpainting and compressed sensing."""

from typing import ClassVar

import jax
import jax.numpy as jnp

from deqjax.physics.array_checks import is_array, zero_one_mask
from deqjax.physics.linear_solvers import conjugate_gradient
from deqjax.pytree import operand


@operand
class Blur:
    """The forward model of a blurred image, ``A x = h * x``: periodic convolution with a kernel.

    All methods take an image (y, x) or a batch (batch, y, x), and the measured data have the same shape.
    ``||A^H A|| <= 1`` if ``sum |h| <= 1``.

    Attributes:
      kernel: h, (rows, columns), real or complex, centred at ``(rows // 2, columns // 2)``.

    Raises:
      ValueError: the kernel does not have two axes, or it is larger than the image to which a method is applied.

    Source: R. C. Gonzalez, R. E. Woods, "Digital Image Processing", 4th edition, 2018, sections 4.6 and 5.5. The
    regularised inverse is their Wiener filter for a constant ratio, section 5.8.

    >>> A = Blur(jnp.full((3, 3), 1 / 9))
    >>> bool(jnp.allclose(A.forward(jnp.ones((5, 8)) + 0j), 1))
    True
    """

    kernel: jax.Array
    axes: ClassVar[str] = "yx"

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
        """Apply the forward model and its adjoint, shape (..., y, x)."""
        return jnp.fft.ifft2(jnp.abs(self._transfer(image)) ** 2 * jnp.fft.fft2(image))

    def regularised_inverse(self, image: jax.Array, penalty: jax.Array | float, steps: int = 0) -> jax.Array:
        """Solve ``(A^H A + penalty I) z = x`` in closed form; penalty > 0, shape (..., y, x).

        ``steps`` is not used; forward models without a closed form need it.
        """
        return jnp.fft.ifft2(jnp.fft.fft2(image) / (jnp.abs(self._transfer(image)) ** 2 + penalty))


@operand
class Inpainting:
    """The forward model of an image with missing pixels, ``A x = M x`` with M diagonal in the image.

    All methods take an image (y, x) or a batch (batch, y, x), and the measured data have the same shape.

    Attributes:
      mask: M, which holds only 0 and 1 (bools and integers become float32) and broadcasts against (y, x), or against
        (batch, y, x) with one mask for each image.

    Raises:
      ValueError: the mask is complex, has no axis, or holds another value than 0 and 1.

    >>> A = Inpainting(jnp.array([[1.0, 0.0, 1.0]]))
    >>> A.forward(jnp.ones((1, 3)) + 0j).real
    Array([[1., 0., 1.]], dtype=float32)
    """

    mask: jax.Array
    axes: ClassVar[str] = "yx"

    def __post_init__(self) -> None:
        object.__setattr__(self, "mask", zero_one_mask(self.mask))

    def forward(self, image: jax.Array) -> jax.Array:
        """Keep the known pixels: ``M x``, shape (..., y, x)."""
        return self.mask * image

    def adjoint(self, kspace: jax.Array) -> jax.Array:
        """Keep the known pixels: ``M y``, shape (..., y, x); pixels outside the mask are ignored."""
        return self.mask * kspace

    def normal(self, image: jax.Array) -> jax.Array:
        """Apply the forward model and its adjoint: ``M^2 x``, shape (..., y, x)."""
        return self.mask**2 * image

    def regularised_inverse(self, image: jax.Array, penalty: jax.Array | float, steps: int = 0) -> jax.Array:
        """Solve ``(A^H A + penalty I) z = x`` in closed form, ``z = x / (M^2 + penalty)``; penalty > 0.

        ``steps`` is not used; forward models without a closed form need it.
        """
        return image / (self.mask**2 + penalty)


@operand
class CompressedSensing:
    """The forward model of an arbitrary matrix, ``(A x)_m = sum_yx G(m, y, x) x(y, x)``.

    All methods take an image (y, x) or a batch (batch, y, x); the measured data are (measurement,) or (batch,
    measurement).

    Attributes:
      matrix: G, (measurement, y, x), real or complex; :func:`gaussian_matrix` draws one of norm 1.

    Raises:
      ValueError: the matrix does not have three axes.

    Source: D. L. Donoho, "Compressed sensing", IEEE Trans. Inf. Theory 52:1289, 2006, section I.

    >>> A = CompressedSensing(gaussian_matrix(jax.random.key(0), 10, (5, 4)))
    >>> A.forward(jnp.ones((3, 5, 4)) + 0j).shape
    (3, 10)
    """

    matrix: jax.Array
    axes: ClassVar[str] = "yx"

    def __post_init__(self) -> None:
        if is_array(self.matrix) and self.matrix.ndim != 3:
            raise ValueError(f"matrix must be (measurement, y, x); it has shape {self.matrix.shape}")

    def forward(self, image: jax.Array) -> jax.Array:
        """Measure an image: ``G x``, (..., y, x) to (..., measurement)."""
        return jnp.einsum("myx,...yx->...m", self.matrix, image)

    def adjoint(self, kspace: jax.Array) -> jax.Array:
        """Apply the conjugate transpose: ``G^H y``, (..., measurement) to (..., y, x)."""
        return jnp.einsum("myx,...m->...yx", jnp.conj(self.matrix), kspace)

    def normal(self, image: jax.Array) -> jax.Array:
        """Apply the forward model and its adjoint: ``G^H G x``, shape (..., y, x)."""
        return self.adjoint(self.forward(image))

    def regularised_inverse(self, image: jax.Array, penalty: jax.Array | float, steps: int = 10) -> jax.Array:
        """Solve ``(A^H A + penalty I) z = x`` by ``steps`` conjugate gradient steps; penalty > 0, (..., y, x)."""
        return conjugate_gradient(lambda z: self.normal(z) + penalty * z, image, steps)


def gaussian_matrix(key: jax.Array, measurements: int, shape: tuple[int, int]) -> jax.Array:
    """Draw a matrix with independent normal entries, scaled to the norm 1: ``G / ||G||``.

    Args:
      key: a JAX key.
      measurements: the number of rows, at least 1.
      shape: the shape (y, x) of the image.

    Returns:
      (measurement, y, x) real, with the largest singular value 1, so that ``||A^H A|| = 1``.

    Raises:
      ValueError: there is no measurement or no pixel.

    Source: E. J. Candes, T. Tao, "Near-optimal signal recovery from random projections: universal encoding
    strategies?", IEEE Trans. Inf. Theory 52:5406, 2006, section I, the Gaussian ensemble.

    >>> gaussian_matrix(jax.random.key(0), 10, (5, 4)).shape
    (10, 5, 4)
    """
    if measurements < 1 or len(shape) != 2 or min(shape) < 1:
        raise ValueError(f"measurements must be at least 1 and shape (y, x) not empty, got {measurements} and {shape}")
    matrix = jax.random.normal(key, (measurements, shape[0] * shape[1]))
    return (matrix / jnp.linalg.norm(matrix, ord=2)).reshape(measurements, *shape)
