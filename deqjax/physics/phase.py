"""The smooth phase of an image, and a forward model that includes a known phase."""

import jax
import jax.numpy as jnp
import numpy as np

from deqjax.physics.fourier import filter_frequencies, hann
from deqjax.pytree import operand
from deqjax.scaling import power_of_two_scale
from deqjax.types import BoundedModel, ForwardModel


@operand
class PhaseModulated:
    """The forward model ``A P``: the image is multiplied by a known phase P, ``|P| = 1``, before A measures it.

    P is diagonal and unitary. It preserves norms, and the regularised inverse of A gives that of A P:
    ``(P^H A^H A P + c I)^-1 = P^H (A^H A + c I)^-1 P``.

    Attributes:
      A: the forward model of the image with its phase.
      phase: P, complex with magnitude 1; it broadcasts against the images of A.

    Source: J. D. Willig-Onwuachi, E. N. Yeh, A. K. Grant, M. A. Ohliger, C. A. McKenzie, D. K. Sodickson,
    "Phase-constrained parallel MR image reconstruction", J. Magn. Reson. 176:187, 2005, which includes the phase in the
    encoding.

    >>> from deqjax.physics import MaskedFourier
    >>> A = PhaseModulated(MaskedFourier(jnp.ones((1, 4))), jnp.full((4, 4), 1j))
    >>> bool(jnp.allclose(A.normal(jnp.ones((4, 4)) + 0j), 1, atol=1e-6))
    True
    """

    A: ForwardModel
    phase: jax.Array

    @property
    def axes(self) -> str:
        """The axes of the images of A."""
        return self.A.axes

    def forward(self, image: jax.Array) -> jax.Array:
        """Apply the phase and the forward model: ``A P x``."""
        return self.A.forward(self.phase * image)

    def adjoint(self, kspace: jax.Array) -> jax.Array:
        """Apply the adjoint and remove the phase: ``P^H A^H y``."""
        return jnp.conj(self.phase) * self.A.adjoint(kspace)

    def normal(self, image: jax.Array) -> jax.Array:
        """Apply the forward model and its adjoint: ``P^H A^H A P x``."""
        return jnp.conj(self.phase) * self.A.normal(self.phase * image)

    def regularised_inverse(self, image: jax.Array, penalty: jax.Array | float, steps: int = 10) -> jax.Array:
        """Solve ``(P^H A^H A P + penalty I) z = x`` by the regularised inverse of A; penalty > 0."""
        return jnp.conj(self.phase) * self.A.regularised_inverse(self.phase * image, penalty, steps)

    def normal_bound(self) -> jax.Array | float:
        """Return the bound of A, or infinity if A has none."""
        return self.A.normal_bound() if isinstance(self.A, BoundedModel) else float("inf")


def smooth_phase(image: jax.Array, width: float = 0.05, dimensions: int = 2) -> jax.Array:
    """Return the phase of the low frequencies of an image, ``p = z / |z|`` with ``z = F^-1 h F x``; 1 where z is 0.

    h is a Hann window along every axis, ``cos(pi f / width)^2`` for frequencies f of at most ``width / 2`` cycles per
    pixel.

    Args:
      image: (..., y, x) complex, for instance the zero-filled image; h should lie within the calibration lines.
      width: the width of the window as a fraction of k-space.
      dimensions: the number of trailing axes of one image: 2 for images, 3 for volumes and series.

    Returns:
      Complex numbers of magnitude 1, with the shape of the image. If the image is multiplied by a number, they are
      multiplied by the phase of that number.

    Raises:
      ValueError: ``width`` is not in (0, 1].

    Source: D. C. Noll, D. G. Nishimura, A. Macovski, "Homodyne detection in magnetic resonance imaging", IEEE Trans.
    Med. Imaging 10:154, 1991, section II.

    >>> smooth_phase(jnp.full((4, 4), -2 + 0j))[0, 0].round(3)
    Array(-1.+0.j, dtype=complex64)
    """
    check_width(width)
    window = np.ones(())
    for size in image.shape[-dimensions:]:
        window = np.multiply.outer(window, hann(np.arange(size) - size // 2, width * size))
    return unit_phase(filter_frequencies(image, jnp.asarray(window, image.real.dtype), dimensions))


def unit_phase(image: jax.Array) -> jax.Array:
    """Return ``x / |x|``, and 1 where x is 0.

    >>> unit_phase(jnp.array([-2.0 + 0j, 0.0]))
    Array([-1.+0.j,  1.+0.j], dtype=complex64)
    """
    image = power_of_two_scale(image, ()).apply(image)  # each number on its own; the squares stay in range
    length = jnp.abs(jnp.where(image != 0, image, 1))
    return jnp.where(image != 0, image / length, 1)


def check_width(width: float) -> None:
    """Check the window width of :func:`smooth_phase`.

    Raises:
      ValueError: ``width`` is not in (0, 1].

    >>> check_width(0.05)
    """
    if not 0 < width <= 1:
        raise ValueError(f"a smooth phase needs a window of 0 < width <= 1 of k-space, not {width}")
