"""Similarities of images of the same contrast: the mean squared error and the perpendicular losses."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from deqjax.losses import perpendicular
from deqjax.registration.grid import Grid


@dataclass(frozen=True)
class MSE:
    """``sum m |w - f|^2 / sum m``, for images of the same scanner and sequence; real or complex.

    >>> MSE()(jnp.zeros((2, 2)), jnp.full((2, 2), 3.0), jnp.ones((2, 2)), Grid.of((2, 2)))
    Array(9., dtype=float32)
    """

    def __call__(self, fixed: jax.Array, warped: jax.Array, mask: jax.Array, grid: Grid) -> jax.Array:
        difference = warped - fixed
        return jnp.sum(mask * (difference.real**2 + difference.imag**2)) / jnp.sum(mask)

    def curvature(self, fixed: jax.Array, warped: jax.Array, mask: jax.Array, grid: Grid) -> jax.Array:
        return 2 * mask / jnp.sum(mask)


@dataclass(frozen=True)
class Perpendicular:
    """`deqjax.losses.perpendicular` of the warped and the fixed complex image over the mask: magnitude and phase.

    The mask should consist of zeros and ones: between them, the perpendicular term is weighted by the square root of
    the mask and the magnitude term by the mask.

    Attributes:
      magnitude_weight: the weight of the magnitude term; 1 in the paper.

    >>> one = jnp.ones((2, 2), complex)
    >>> Perpendicular()(one, 1j * one, jnp.ones((2, 2)), Grid.of((2, 2)))
    Array(1., dtype=float32)
    """

    magnitude_weight: float = 1.0

    def __call__(self, fixed: jax.Array, warped: jax.Array, mask: jax.Array, grid: Grid) -> jax.Array:
        inside = jnp.sqrt(mask)  # The magnitude term squares it again.
        return perpendicular(inside * warped, inside * fixed, self.magnitude_weight) * mask.size / jnp.sum(mask)


@dataclass(frozen=True)
class PerpendicularField:
    """The mean over the mask of ``L + magnitude_weight (|X| - |Y|)^2`` of vectors X and Y.

    It separates direction and length. ``p = |X x Y| / |X|`` is the distance of Y from the line through X; ``L = p``
    where ``<X, Y> >= 0``, else ``2 |Y| - p``. In 2-D this is `Perpendicular` of ``u + iv``; the 3-D form, with the
    cross product, is not in the paper. It compares displacement fields, not images, so it suits a network that learns
    known fields; ``register`` does not accept it. L has the unit of the field (mm) and the magnitude term its square:
    divide both fields by a typical length first.

    Attributes:
      magnitude_weight: the weight of the magnitude term; 1 in the paper.

    Source: M. Terpstra et al., see `deqjax.losses.perpendicular`, for 2-D.

    >>> east, north = (jnp.broadcast_to(jnp.array(v), (2, 2, 2)) for v in ([1.0, 0.0], [0.0, 1.0]))
    >>> PerpendicularField()(east, north, jnp.ones((2, 2)), Grid.of((2, 2)))
    Array(1., dtype=float32)
    """

    magnitude_weight: float = 1.0

    def __call__(self, fixed: jax.Array, warped: jax.Array, mask: jax.Array, grid: Grid) -> jax.Array:
        """Return the loss of a field ``warped`` X against the true field ``fixed`` Y, (*grid.shape, d) each."""
        along = jnp.sum(warped * fixed, axis=-1)
        energy, true_energy = jnp.sum(warped**2, axis=-1), jnp.sum(fixed**2, axis=-1)
        length = jnp.sqrt(energy + 1e-8 * true_energy + 1e-30)
        true_length = jnp.sqrt(true_energy + 1e-30)
        # |X x Y|^2 is computed from its components: |X|^2 |Y|^2 - <X, Y>^2 would lose small angles to rounding.
        across = _cross_length(warped, fixed) / length
        direction = jnp.where(along >= 0, across, 2 * true_length - across)
        magnitude = (jnp.sqrt(energy + 1e-30) - true_length) ** 2
        return jnp.sum(mask * (direction + self.magnitude_weight * magnitude)) / jnp.sum(mask)


def _cross_length(a: jax.Array, b: jax.Array) -> jax.Array:
    if a.shape[-1] == 2:
        return jnp.abs(a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0])
    return jnp.sqrt(jnp.sum(jnp.cross(a, b) ** 2, axis=-1) + 1e-30)
