"""Total variation: the sum of the differences between neighbouring pixels."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp


@dataclass(frozen=True)
class TotalVariation:
    """Total variation, ``g(x) = sum_p |(K x)_p|``, where K computes the differences between neighbouring pixels.

    ``(K x)_a = shift_a(x) - x`` along each of the last ``dimensions`` axes, with periodic boundaries, so that K is a
    convolution. The isotropic form has one magnitude per pixel, over all axes together. The anisotropic form has one
    magnitude per axis and pixel, which is the sum that sigpy minimises. Magnitudes are those of complex numbers.

    Attributes:
      dimensions: 2 for images (y, x), 3 for volumes (z, y, x) and series (t, y, x).
      isotropic: use one magnitude per pixel.

    Sources: L. I. Rudin, S. Osher, E. Fatemi, "Nonlinear total variation based noise removal algorithms", Physica D
    60:259, 1992, eq. 2.1; the anisotropic form for complex images: M. Lustig, D. Donoho, J. M. Pauly, "Sparse MRI",
    Magn. Reson. Med. 58:1182, 2007.

    >>> square = jnp.zeros((6, 6)).at[2:4, 2:4].set(1)
    >>> float(TotalVariation(isotropic=False).value(square))
    8.0
    """

    dimensions: int = 2
    isotropic: bool = True

    @property
    def norm_squared(self) -> float:
        """The largest eigenvalue of ``K^H K``: 4 for each axis, attained at the highest frequency of an even size."""
        return 4.0 * self.dimensions

    def analysis(self, image: jax.Array) -> jax.Array:
        """Compute K x, (..., y, x) to (..., axis, y, x)."""
        axes = range(-self.dimensions, 0)
        return jnp.stack([jnp.roll(image, -1, axis) - image for axis in axes], axis=-self.dimensions - 1)

    def project(self, dual: jax.Array, radius: jax.Array | float) -> jax.Array:
        """Return the nearest dual variable with magnitudes of at most ``radius``, (..., axis, y, x)."""
        return clip_magnitude(dual, self._magnitude(dual), radius)

    def value(self, image: jax.Array) -> jax.Array:
        """Compute g(x), one number for each image."""
        magnitude = self._magnitude(self.analysis(image))
        return jnp.sum(magnitude, axis=tuple(range(-self.dimensions - 1, 0)))

    def _magnitude(self, dual: jax.Array) -> jax.Array:
        power = dual.real**2 + dual.imag**2
        return safe_sqrt(jnp.sum(power, axis=-self.dimensions - 1, keepdims=True) if self.isotropic else power)


def safe_sqrt(power: jax.Array) -> jax.Array:
    """Return the square root, with the gradient 0 at 0 instead of NaN.

    >>> jax.grad(safe_sqrt)(0.0).item()
    0.0
    """
    positive = power > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, power, 1)), 0)


def clip_magnitude(dual: jax.Array, magnitude: jax.Array, radius: jax.Array | float) -> jax.Array:
    """Limit magnitudes to ``radius``: ``u radius / max(radius, |u|)``, and 0 where both are 0.

    >>> clip_magnitude(jnp.array([3 + 4j, 1j]), jnp.array([5.0, 1.0]), 2.5)
    Array([1.5+2.j, 0. +1.j], dtype=complex64)
    """
    longer = magnitude > radius
    return dual * jnp.where(longer, radius / jnp.where(longer, magnitude, 1), 1)
