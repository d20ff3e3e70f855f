"""Pixels that are missing."""

import jax

from deqjax.physics.shapes import check_mask
from deqjax.pytree import operand


@operand
class Inpainting:
    """The forward model of an image with holes, ``A x = M x``, M diagonal in the image.

    ``mask`` holds 0 or 1 and broadcasts against (y, x), or against (batch, y, x) with one mask an image. All methods
    take an image (y, x) or a batch (batch, y, x), and so is what is measured.

    Raises:
      ValueError: the mask is complex or has no axis.

    Source: Bertalmio, Sapiro, Caselles, Ballester, "Image inpainting", ACM SIGGRAPH 417-424, 2000, for the problem.

    >>> import jax.numpy as jnp
    >>> A = Inpainting(jnp.array([[1.0, 0.0, 1.0]]))
    >>> A.forward(jnp.ones((1, 3)) + 0j).real
    Array([[1., 0., 1.]], dtype=float32)
    """

    mask: jax.Array

    def __post_init__(self) -> None:
        check_mask(self.mask)

    def forward(self, image: jax.Array) -> jax.Array:
        """Keep the known pixels: ``M x``, shape (..., y, x)."""
        return self.mask * image

    def adjoint(self, kspace: jax.Array) -> jax.Array:
        """The same again, ``M y``, shape (..., y, x); pixels outside the mask are ignored."""
        return self.mask * kspace

    def normal(self, image: jax.Array) -> jax.Array:
        """Forward and adjoint in one: ``M^2 x``, shape (..., y, x)."""
        return self.mask**2 * image

    def regularised_inverse(self, image: jax.Array, penalty: jax.Array | float, steps: int = 0) -> jax.Array:
        """Solve ``(A^H A + penalty I) z = x`` in closed form, ``z = x / (M^2 + penalty)``; penalty > 0.

        ``steps`` is there for the forward models without a closed form.
        """
        return image / (self.mask**2 + penalty)
