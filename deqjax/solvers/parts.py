"""The units in which a solver works on a state of several parts."""

import jax
import jax.numpy as jnp

from deqjax.pytree import Parts, PyTree, real_view
from deqjax.scaling import power_of_two_scale


def part_sizes(state: PyTree) -> list[int]:
    """Return the number of columns of each part in the real view of a state; one number unless it is Parts.

    >>> part_sizes(Parts((jnp.ones((1, 2), complex), jnp.ones((1, 3))))), part_sizes(jnp.ones((1, 2, 5)))
    ([4, 3], [10])
    """
    return [real_view(part)[0].shape[1] for part in (state.values if isinstance(state, Parts) else (state,))]


def part_scales(state: PyTree) -> jax.Array:
    """Return the factors by which a solver multiplies the real view (batch, n) of a state.

    They are ones, (batch, 1), unless the state is :class:`~deqjax.pytree.Parts`, and (batch, n) then: powers of two,
    one for each part of each image, that bring the root mean square of the part to [0.5, 1). A part that is zero has
    the factor of the largest part.

    >>> part_scales(Parts((jnp.full((1, 2), 100.0), jnp.full((1, 1), 0.2))))
    Array([[0.0078125, 0.0078125, 4.       ]], dtype=float32)
    """
    if not isinstance(state, Parts):
        flat, _ = real_view(state)
        return jnp.ones((flat.shape[0], 1), flat.dtype)
    views = [real_view(part)[0] for part in state.values]
    units = [power_of_two_scale(view, axes=1) for view in views]
    squares = [jnp.mean(unit.apply(view) ** 2, axis=1, keepdims=True) for view, unit in zip(views, units)]
    sizes = jnp.concatenate([unit.undo(jnp.sqrt(square)) for square, unit in zip(squares, units)], axis=1)
    sizes = jnp.where(sizes > 0, sizes, jnp.max(sizes, axis=1, keepdims=True))
    scale = power_of_two_scale(sizes[..., None], axes=2)
    factors = (scale.first * scale.second)[..., 0]
    return jnp.concatenate(
        [jnp.broadcast_to(factors[:, i : i + 1], view.shape) for i, view in enumerate(views)], axis=1
    )
