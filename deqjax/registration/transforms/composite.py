"""Composition of maps."""

import jax
import jax.numpy as jnp

from deqjax.pytree import operand
from deqjax.registration.grid import Grid
from deqjax.registration.transforms.linear import LinearMap
from deqjax.registration.types import Map


@operand
class Composite:
    """``y = maps[-1](... maps[0](x))``: the first map is applied first, to points of the fixed image.

    Attributes:
      maps: the maps, in the order in which they are applied.

    >>> from deqjax.registration.transforms import LinearMap
    >>> double, shift = LinearMap(2 * jnp.eye(2), jnp.zeros(2)), LinearMap(jnp.eye(2), jnp.ones(2))
    >>> both = Composite((double, shift))
    >>> both.apply_points(jnp.ones(2)), both.inverse().apply_points(jnp.full(2, 3.0))
    (Array([3., 3.], dtype=float32), Array([1., 1.], dtype=float32))
    """

    maps: tuple[Map, ...]

    def apply_points(self, points: jax.Array) -> jax.Array:
        for mapping in self.maps:
            points = mapping.apply_points(points)
        return points

    def displacement(self, grid: Grid) -> jax.Array:
        points = grid.points()
        return self.apply_points(points) - points

    def inverse(self) -> "Composite":
        return Composite(tuple(mapping.inverse() for mapping in reversed(self.maps)))

    def jacobian_determinant(self, points: jax.Array) -> jax.Array:
        product = jnp.ones(points.shape[:-1], points.dtype)
        for mapping in self.maps:
            product, points = product * mapping.jacobian_determinant(points), mapping.apply_points(points)
        return product


def linear_map(mapping: Map) -> LinearMap | None:
    """Return the product of a map that consists of linear maps; None if a part of it is not linear.

    >>> double, shift = LinearMap(2 * jnp.eye(2), jnp.zeros(2)), LinearMap(jnp.eye(2), jnp.ones(2))
    >>> linear_map(Composite((shift, double))).offset
    Array([2., 2.], dtype=float32)
    """
    if not isinstance(mapping, Composite):
        return mapping if isinstance(mapping, LinearMap) else None
    product: LinearMap | None = None
    for part in map(linear_map, mapping.maps):
        if part is None:
            return None
        if product is not None:
            matrix = jnp.matmul(part.matrix, product.matrix, precision="highest")
            part = LinearMap(matrix, part.apply_points(product.offset))
        product = part
    return product
