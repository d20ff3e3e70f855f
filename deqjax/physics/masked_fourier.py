"""The forward model of single-coil Cartesian MRI."""

import dataclasses

import jax
import jax.numpy as jnp

from deqjax.physics.array_checks import check_axes, fourier_dimensions, zero_one_mask
from deqjax.physics.fourier import fftc, filter_frequencies, ifftc
from deqjax.pytree import operand


@operand
class MaskedFourier:
    """The single-coil forward model ``A = M F`` of images, volumes or series.

    All methods take one image with the axes ``axes``, or a batch with one more leading axis. F transforms all axes of
    an image or of a volume, and every frame of a series.

    Attributes:
      mask: M, which holds only 0 and 1 (bools and integers become float32) and broadcasts against one image, or against
        a batch with one mask for each image. For a volume with the readout along x, a pattern of ky and kz has the
        shape (z, y, 1). For a series, the sampled lines of every frame have the shape (t, 1, x).
      axes: "yx" for images (y, x), "zyx" for volumes (z, y, x), "tyx" for series of frames (t, y, x).

    Raises:
      ValueError: ``axes`` is none of the three, or the mask is complex, has no axis, or holds another value than 0 and
        1.

    >>> A = MaskedFourier(jnp.array([[1.0, 0.0, 1.0, 1.0]]))
    >>> image = jnp.ones((4, 4)) + 0j
    >>> bool(jnp.allclose(A.adjoint(A.forward(image)), A.normal(image), atol=1e-6))
    True
    """

    mask: jax.Array
    axes: str = dataclasses.field(default="yx", metadata={"static": True})

    def __post_init__(self) -> None:
        check_axes(self.axes)
        object.__setattr__(self, "mask", zero_one_mask(self.mask))

    def forward(self, image: jax.Array) -> jax.Array:
        """Sample the k-space of an image: ``M F x``, shape (..., y, x)."""
        return self.mask * fftc(image, fourier_dimensions(self.axes))

    def adjoint(self, kspace: jax.Array) -> jax.Array:
        """Return the zero-filled image ``F^H M y``, shape (..., y, x); samples outside the mask are ignored."""
        return ifftc(self.mask * kspace, fourier_dimensions(self.axes))

    def normal(self, image: jax.Array) -> jax.Array:
        """Apply the forward model and its adjoint: ``F^H M^2 F x``, shape (..., y, x)."""
        return filter_frequencies(image, self.mask**2, fourier_dimensions(self.axes))

    def normal_bound(self) -> jax.Array:
        """Return the largest squared value of the mask, which is 1, because F is unitary."""
        return jnp.max(self.mask**2)

    def regularised_inverse(self, image: jax.Array, penalty: jax.Array | float, steps: int = 0) -> jax.Array:
        """Solve ``(A^H A + penalty I) z = x`` in closed form, ``z = F^H (M^2 + penalty)^-1 F x``; penalty > 0.

        ``steps`` is not used; forward models without a closed form need it.
        """
        return filter_frequencies(image, 1 / (self.mask**2 + penalty), fourier_dimensions(self.axes))
