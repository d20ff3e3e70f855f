"""Fewer random measurements than pixels."""

import jax
import jax.numpy as jnp

from deqjax.physics.conjugate_gradient import conjugate_gradient
from deqjax.physics.shapes import is_array
from deqjax.pytree import operand


@operand
class CompressedSensing:
    """The forward model of any matrix, ``(A x)_m = sum_yx G(m, y, x) x(y, x)``.

    ``matrix`` is (measurement, y, x), real or complex; :func:`gaussian_matrix` draws one of norm 1. All methods take an
    image (y, x) or a batch (batch, y, x); what is measured is (measurement,) or (batch, measurement).

    Raises:
      ValueError: a matrix of other than three axes.

    Source: Donoho, "Compressed sensing", IEEE Transactions on Information Theory 52:1289-1306, 2006, section I.

    >>> A = CompressedSensing(gaussian_matrix(jax.random.key(0), 10, (5, 4)))
    >>> A.forward(jnp.ones((3, 5, 4)) + 0j).shape
    (3, 10)
    """

    matrix: jax.Array

    def __post_init__(self) -> None:
        if is_array(self.matrix) and self.matrix.ndim != 3:
            raise ValueError(f"matrix must be (measurement, y, x); it has shape {self.matrix.shape}")

    def forward(self, image: jax.Array) -> jax.Array:
        """Measure an image: ``G x``, (..., y, x) to (..., measurement)."""
        return jnp.einsum("myx,...yx->...m", self.matrix, image)

    def adjoint(self, kspace: jax.Array) -> jax.Array:
        """Spread measurements over the image: ``G^H y``, (..., measurement) to (..., y, x)."""
        return jnp.einsum("myx,...m->...yx", jnp.conj(self.matrix), kspace)

    def normal(self, image: jax.Array) -> jax.Array:
        """Forward and adjoint in one: ``G^H G x``, shape (..., y, x)."""
        return self.adjoint(self.forward(image))

    def regularised_inverse(self, image: jax.Array, penalty: jax.Array | float, steps: int = 10) -> jax.Array:
        """Solve ``(A^H A + penalty I) z = x`` by ``steps`` conjugate gradient steps; penalty > 0, (..., y, x)."""
        return conjugate_gradient(lambda z: self.normal(z) + penalty * z, image, steps)


def gaussian_matrix(key: jax.Array, measurements: int, shape: tuple[int, int]) -> jax.Array:
    """Draw a matrix of independent normal entries, scaled to the norm 1: ``G / ||G||``.

    Args:
      key: a JAX key.
      measurements: rows, at least 1.
      shape: of the image, (y, x).

    Returns:
      (measurement, y, x) real, its largest singular value 1, so that ``||A^H A|| = 1``.

    Raises:
      ValueError: fewer than 1 measurement or pixel.

    Source: Candes and Tao, "Near-optimal signal recovery from random projections: universal encoding strategies?", IEEE
    Transactions on Information Theory 52:5406-5425, 2006, section I, the Gaussian ensemble.

    >>> gaussian_matrix(jax.random.key(0), 10, (5, 4)).shape
    (10, 5, 4)
    """
    if measurements < 1 or len(shape) != 2 or min(shape) < 1:
        raise ValueError(f"measurements must be at least 1 and shape (y, x) not empty, got {measurements} and {shape}")
    matrix = jax.random.normal(key, (measurements, shape[0] * shape[1]))
    return (matrix / jnp.linalg.norm(matrix, ord=2)).reshape(measurements, *shape)
