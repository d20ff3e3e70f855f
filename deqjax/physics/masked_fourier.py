"""Single-coil MRI: a Fourier transform of which a mask keeps some samples."""

import dataclasses

import jax

from deqjax.physics.fourier import fftc, filter_frequencies, ifftc
from deqjax.physics.shapes import check_axes, check_mask, encoded
from deqjax.pytree import operand


@operand
class MaskedFourier:
    """The single-coil forward model ``A = M F``, of images, volumes or series.

    ``mask`` holds 0 or 1 and broadcasts against (y, x), or against (batch, y, x) with one mask an image. All methods
    take an image (y, x) or a batch (batch, y, x). With ``axes`` "zyx" an image is a volume (z, y, x), F transforms all
    three axes, and a pattern of ky and kz is a mask (z, y, 1) for a readout along x. With "tyx" it is a series of
    frames (t, y, x), F transforms every frame, and the mask of lines of every frame is (t, 1, x).

    Raises:
      ValueError: other axes; the mask is complex or has no axis.

    >>> import jax.numpy as jnp
    >>> A = MaskedFourier(jnp.array([[1.0, 0.0, 1.0, 1.0]]))
    >>> image = jnp.ones((4, 4)) + 0j
    >>> bool(jnp.allclose(A.adjoint(A.forward(image)), A.normal(image), atol=1e-6))
    True
    """

    mask: jax.Array
    axes: str = dataclasses.field(default="yx", metadata={"static": True})

    def __post_init__(self) -> None:
        check_axes(self.axes)
        check_mask(self.mask)

    def forward(self, image: jax.Array) -> jax.Array:
        """Sample the k-space of an image: ``M F x``, shape (..., y, x)."""
        return self.mask * fftc(image, encoded(self.axes))

    def adjoint(self, kspace: jax.Array) -> jax.Array:
        """Zero-filled image of a k-space: ``F^H M y``, shape (..., y, x); samples outside the mask are ignored."""
        return ifftc(self.mask * kspace, encoded(self.axes))

    def normal(self, image: jax.Array) -> jax.Array:
        """Forward and adjoint in one: ``F^H M^2 F x``, shape (..., y, x)."""
        return filter_frequencies(image, self.mask**2, encoded(self.axes))

    def regularised_inverse(self, image: jax.Array, penalty: jax.Array | float, steps: int = 0) -> jax.Array:
        """Solve ``(A^H A + penalty I) z = x`` in closed form, ``z = F^H (M^2 + penalty)^-1 F x``; penalty > 0.

        ``steps`` is there for the forward models without a closed form.
        """
        return filter_frequencies(image, 1 / (self.mask**2 + penalty), encoded(self.axes))
