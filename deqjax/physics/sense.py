"""The forward model of multi-coil Cartesian MRI with known coil sensitivities."""

import dataclasses

import jax
import jax.numpy as jnp

from deqjax.physics.array_checks import check_axes, fourier_dimensions, is_array, zero_one_mask
from deqjax.physics.fourier import fftc, filter_frequencies, ifftc
from deqjax.physics.linear_solvers import conjugate_gradient
from deqjax.pytree import operand


@operand
class Sense:
    """The multi-coil forward model ``A = M F S`` of images, volumes or series.

    All methods take one image with the axes ``axes``, or a batch with one more leading axis. K-space has the coil axis
    in front of the axes of the image. ``||A^H A|| <= 1`` if the sum of squared magnitudes of the sensitivities over the
    coils is at most 1.

    Attributes:
      smaps: S, the coil sensitivities (coil, y, x), or (batch, coil, y, x) with sensitivities for each image; the sum
        of squared magnitudes over the coils is 1 on the support. They are (coil, z, y, x) for volumes. For series they
        are (coil, t, y, x), or (coil, 1, y, x) if all frames share them.
      mask: M, which holds only 0 and 1 (bools and integers become float32) and broadcasts against one image, or against
        a batch with one mask for each image. For a volume with the readout along x, a pattern of ky and kz has the
        shape (z, y, 1). For a series, the sampled lines of every frame have the shape (t, 1, x).
      axes: "yx" for images (y, x), "zyx" for volumes (z, y, x), "tyx" for series of frames (t, y, x).

    Raises:
      ValueError: ``axes`` is none of the three, the coil axis is missing, smaps and mask differ in an axis of the
        image, or the mask is complex or holds another value than 0 and 1.

    Source: K. P. Pruessmann et al., "SENSE: sensitivity encoding for fast MRI", Magn. Reson. Med. 42:952, 1999, eq. 2.

    >>> A = Sense(jnp.full((2, 4, 4), 0.5**0.5), jnp.array([[1.0, 0.0, 1.0, 1.0]]))
    >>> A.forward(jnp.ones((3, 4, 4)) + 0j).shape
    (3, 2, 4, 4)
    """

    smaps: jax.Array
    mask: jax.Array
    axes: str = dataclasses.field(default="yx", metadata={"static": True})

    def __post_init__(self) -> None:
        check_axes(self.axes)
        object.__setattr__(self, "mask", zero_one_mask(self.mask))
        if not is_array(self.smaps, self.mask):
            return
        names = ", ".join(self.axes)
        if self.smaps.ndim < len(self.axes) + 1:
            raise ValueError(
                f"smaps needs the axes (coil, {names}) or (batch, coil, {names}); it has shape {self.smaps.shape}"
            )
        for axis, size, mask_size in zip(self.axes[::-1], self.smaps.shape[::-1], self.mask.shape[::-1]):
            if mask_size not in (1, size) and (axis, size) != ("t", 1):
                raise ValueError(
                    f"smaps (..., coil, {names}) of shape {self.smaps.shape} and mask of shape {self.mask.shape} "
                    f"differ in the axis {axis}; make the mask for smaps.shape[-{len(self.axes)}:]"
                )

    @property
    def _coil_axis(self) -> int:
        return -1 - len(self.axes)

    @property
    def _coil_mask(self) -> jax.Array:
        missing = (1,) * (len(self.axes) - self.mask.ndim)
        return jnp.expand_dims(self.mask.reshape(missing + self.mask.shape), self._coil_axis)

    def _coil_images(self, image: jax.Array) -> jax.Array:
        return self.smaps * jnp.expand_dims(image, self._coil_axis)

    def _combine(self, images: jax.Array) -> jax.Array:
        return jnp.sum(jnp.conj(self.smaps) * images, axis=self._coil_axis)

    def forward(self, image: jax.Array) -> jax.Array:
        """Sample the k-space of every coil: ``M F S x``, (..., y, x) to (..., coil, y, x)."""
        return self._coil_mask * fftc(self._coil_images(image), fourier_dimensions(self.axes))

    def adjoint(self, kspace: jax.Array) -> jax.Array:
        """Combine the zero-filled coil images: ``S^H F^H M y``, (..., coil, y, x) to (..., y, x)."""
        return self._combine(ifftc(self._coil_mask * kspace, fourier_dimensions(self.axes)))

    def normal(self, image: jax.Array) -> jax.Array:
        """Apply the forward model and its adjoint: ``S^H F^H M^2 F S x``, shape (..., y, x)."""
        weight, dimensions = self._coil_mask**2, fourier_dimensions(self.axes)
        return self._combine(filter_frequencies(self._coil_images(image), weight, dimensions))

    def normal_bound(self) -> jax.Array:
        """Return the largest sum over the coils of squared magnitudes, which bounds ``||S^H F^H M^2 F S||``."""
        return jnp.max(self.mask**2) * jnp.max(jnp.sum(jnp.abs(self.smaps) ** 2, axis=self._coil_axis))

    def regularised_inverse(self, image: jax.Array, penalty: jax.Array | float, steps: int = 10) -> jax.Array:
        """Solve ``(A^H A + penalty I) z = x`` by ``steps`` conjugate gradient steps; penalty > 0, (..., y, x)."""
        return conjugate_gradient(lambda z: self.normal(z) + penalty * z, image, steps, len(self.axes))
