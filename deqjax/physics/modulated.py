"""The smooth phase of an image, and a forward model that takes it off."""

import jax
import jax.numpy as jnp
import numpy as np

from deqjax.physics.fourier import filter_frequencies, hann
from deqjax.physics.shapes import axes_of
from deqjax.pytree import operand
from deqjax.types import ForwardModel


@operand
class Modulated:
    """The forward model ``A P`` of an image without its phase; P is diagonal, ``|P| = 1``.

    ``phase`` is P, complex, and broadcasts against the images of A. P is unitary, so that norms stay, and the
    regularised inverse of A in closed form gives that of A P: ``(P^H A^H A P + c I)^-1 = P^H (A^H A + c I)^-1 P``.

    Source: the phase as a part of the encoding, as in J. D. Willig-Onwuachi, E. N. Yeh, A. K. Grant, M. A. Ohliger, C.
    A. McKenzie, D. K. Sodickson, "Phase-constrained parallel MR image reconstruction", J. Magn. Reson. 176:187, 2005.

    >>> from deqjax.physics import MaskedFourier
    >>> A = Modulated(MaskedFourier(jnp.ones((1, 4))), jnp.full((4, 4), 1j))
    >>> bool(jnp.allclose(A.normal(jnp.ones((4, 4)) + 0j), 1, atol=1e-6))
    True
    """

    A: ForwardModel
    phase: jax.Array

    @property
    def axes(self) -> str:
        """Those of A."""
        return axes_of(self.A)

    def forward(self, image: jax.Array) -> jax.Array:
        """``A P x``."""
        return self.A.forward(self.phase * image)

    def adjoint(self, kspace: jax.Array) -> jax.Array:
        """``P^H A^H y``."""
        return jnp.conj(self.phase) * self.A.adjoint(kspace)

    def normal(self, image: jax.Array) -> jax.Array:
        """``P^H A^H A P x``."""
        return jnp.conj(self.phase) * self.A.normal(self.phase * image)

    def regularised_inverse(self, image: jax.Array, penalty: jax.Array | float, steps: int = 10) -> jax.Array:
        """``(P^H A^H A P + penalty I)^-1 x``, by whatever A does it with."""
        return jnp.conj(self.phase) * self.A.regularised_inverse(self.phase * image, penalty, steps)


def smooth_phase(image: jax.Array, width: float = 0.05, dimensions: int = 2) -> jax.Array:
    """Find the phase of the low frequencies of an image, ``p = z / |z|``, ``z = F^-1 h F x``; 1 where z is 0.

    h is a Hann window along every axis, ``cos(pi f / width)^2`` for frequencies f of at most ``width / 2`` cycles a
    pixel.

    Args:
      image: (..., y, x) complex, for instance the zero-filled image: h should lie within the calibration lines.
      width: of the window, as a fraction of k-space.
      dimensions: how many of the last axes are those of one image.

    Returns:
      complex numbers of magnitude 1, shape of the image. Multiplying the image by a number multiplies them by its
      phase.

    Raises:
      ValueError: a width that is not in (0, 1].

    Source: Noll, Nishimura, Macovski, "Homodyne detection in magnetic resonance imaging", IEEE Trans. Med. Imaging
    10:154, 1991, section II.

    >>> smooth_phase(jnp.full((4, 4), -2 + 0j))[0, 0].round(3)
    Array(-1.+0.j, dtype=complex64)
    """
    check_width(width)
    window = np.ones(())
    for size in image.shape[-dimensions:]:
        window = np.multiply.outer(window, hann(np.arange(size) - size // 2, width * size))
    return unit_phase(filter_frequencies(image, jnp.asarray(window, image.real.dtype), dimensions))


def unit_phase(image: jax.Array) -> jax.Array:
    """``x / |x|``, and 1 where x is 0.

    >>> unit_phase(jnp.array([-2.0 + 0j, 0.0]))
    Array([-1.+0.j,  1.+0.j], dtype=complex64)
    """
    length = jnp.abs(image)
    return jnp.where(length > 0, image / jnp.where(length > 0, length, 1), 1)


def check_width(width: float) -> None:
    """Raise a ValueError for a window of :func:`smooth_phase` that is no part of k-space.

    >>> check_width(0.05)
    """
    if not 0 < width <= 1:
        raise ValueError(f"a smooth phase needs a window of 0 < width <= 1 of k-space, not {width}")
