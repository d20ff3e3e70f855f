"""Multi-coil MRI with known coil sensitivities."""

import dataclasses

import jax
import jax.numpy as jnp

from deqjax.physics.conjugate_gradient import conjugate_gradient
from deqjax.physics.fourier import fftc, filter_frequencies, ifftc
from deqjax.physics.shapes import check_axes, check_mask, encoded, is_array
from deqjax.pytree import operand


@operand
class Sense:
    """The multi-coil forward model ``A = M F S`` (Pruessmann et al., Magn. Reson. Med. 42:952, 1999, eq. 2).

    ``smaps`` is (coil, y, x), or (batch, coil, y, x) with maps for each image, and its sum of squared magnitudes over
    the coils is at most 1 (1 on the support), which makes ``||A^H A|| <= 1``. ``mask`` broadcasts against (y, x), or
    against (batch, y, x). All methods take an image (y, x) or a batch (batch, y, x). With ``axes`` "zyx" an image is a
    volume (z, y, x), the maps (coil, z, y, x), and a pattern of ky and kz is a mask (z, y, 1) for a readout along x.
    With "tyx" it is a series of frames (t, y, x), the maps (coil, t, y, x), or (coil, 1, y, x) for all frames, and the
    mask of lines of every frame (t, 1, x). K-space has the coil axis before those of the image.

    Raises:
      ValueError: other axes; the coil axis is missing, or smaps and mask differ in an axis of the image.

    >>> A = Sense(jnp.full((2, 4, 4), 0.5**0.5), jnp.array([[1.0, 0.0, 1.0, 1.0]]))
    >>> A.forward(jnp.ones((3, 4, 4)) + 0j).shape
    (3, 2, 4, 4)
    """

    smaps: jax.Array
    mask: jax.Array
    axes: str = dataclasses.field(default="yx", metadata={"static": True})

    def __post_init__(self) -> None:
        check_axes(self.axes)
        check_mask(self.mask)
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
        return self._coil_mask * fftc(self._coil_images(image), encoded(self.axes))

    def adjoint(self, kspace: jax.Array) -> jax.Array:
        """Combine the zero-filled coil images: ``S^H F^H M y``, (..., coil, y, x) to (..., y, x)."""
        return self._combine(ifftc(self._coil_mask * kspace, encoded(self.axes)))

    def normal(self, image: jax.Array) -> jax.Array:
        """Forward and adjoint in one: ``S^H F^H M^2 F S x``, shape (..., y, x)."""
        return self._combine(filter_frequencies(self._coil_images(image), self._coil_mask**2, encoded(self.axes)))

    def regularised_inverse(self, image: jax.Array, penalty: jax.Array | float, steps: int = 10) -> jax.Array:
        """Solve ``(A^H A + penalty I) z = x`` by ``steps`` conjugate gradient steps; penalty > 0, (..., y, x)."""
        return conjugate_gradient(lambda z: self.normal(z) + penalty * z, image, steps, len(self.axes))
