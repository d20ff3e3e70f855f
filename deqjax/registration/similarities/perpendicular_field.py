"""The perpendicular loss between displacement fields."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from deqjax.registration.grid import Grid


@dataclass(frozen=True)
class PerpendicularField:
    """The mean over the mask of ``L + magnitude_weight (|X| - |Y|)^2``, X and Y vectors: direction and length apart.

    ``p = |X x Y| / |X|``, the distance of Y from the line through X; ``L = p`` where ``<X, Y> >= 0``, else
    ``2 |Y| - p``. In 2-D this is `Perpendicular` of ``u + iv``; the 3-D form, with the cross product, is ours.
    It compares fields, not images, so it serves a network that learns known fields: ``register`` does not take it. L
    has the unit of the field (mm) and the magnitude term its square: divide both by a typical length first.

    Attributes:
      magnitude_weight: of the magnitude term; 1 in the paper.

    Source: M. Terpstra et al., see `deqjax.losses.perpendicular`, for 2-D.

    >>> east, north = (jnp.broadcast_to(jnp.array(v), (2, 2, 2)) for v in ([1.0, 0.0], [0.0, 1.0]))
    >>> PerpendicularField()(east, north, jnp.ones((2, 2)), Grid.of((2, 2)))
    Array(1., dtype=float32)
    """

    magnitude_weight: float = 1.0

    def __call__(self, fixed: jax.Array, warped: jax.Array, mask: jax.Array, grid: Grid) -> jax.Array:
        """Return the loss of a field ``warped`` X against the true ``fixed`` Y, (*grid.shape, d) each; a scalar."""
        along = jnp.sum(warped * fixed, axis=-1)
        energy, true_energy = jnp.sum(warped**2, axis=-1), jnp.sum(fixed**2, axis=-1)
        length = jnp.sqrt(energy + 1e-8 * true_energy + 1e-30)
        true_length = jnp.sqrt(true_energy + 1e-30)
        # |X x Y|^2 from its components: |X|^2 |Y|^2 - <X, Y>^2 would lose the small angles in rounding.
        across = _cross_length(warped, fixed) / length
        turned = jnp.where(along >= 0, across, 2 * true_length - across)
        magnitude = (jnp.sqrt(energy + 1e-30) - true_length) ** 2
        return jnp.sum(mask * (turned + self.magnitude_weight * magnitude)) / jnp.sum(mask)


def _cross_length(a: jax.Array, b: jax.Array) -> jax.Array:
    if a.shape[-1] == 2:
        return jnp.abs(a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0])
    return jnp.sqrt(jnp.sum(jnp.cross(a, b) ** 2, axis=-1) + 1e-30)
