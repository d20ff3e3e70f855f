"""The objective of one level: ``similarity(fixed, moving o init o map) + regularizer(field)``."""

from collections.abc import Callable
from dataclasses import field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from deqjax.pytree import operand
from deqjax.registration.grid import Grid
from deqjax.registration.interpolation import Order, interpolate_coefficients
from deqjax.registration.types import LeastSquares, Map, Regularizer, Similarity, Transform

STATIC: Any = {"static": True}


class QuadraticModel(NamedTuple):
    """A quadratic model of the objective near a point: ``value + <gradient, p> + <p, product(p)> / 2``."""

    value: jax.Array
    gradient: jax.Array
    product: Callable[[jax.Array], jax.Array]


@operand
class Objective:
    """The images of one level and the settings; the methods take the parameters of the transform.

    Attributes:
      fixed: the fixed image, (*fixed_grid.shape).
      moving: the interpolation coefficients of the moving image for ``order``, (*moving_grid.shape); see
        `deqjax.registration.interpolation.interpolation_coefficients`.
      mask: weights on the fixed grid, (*fixed_grid.shape).
      fixed_grid: the grid of the fixed image on this level.
      moving_grid: the grid of the moving image on this level.
      init: a map applied after that of the transform; None for the identity.
      transform: the transform whose parameters are sought.
      similarity: the measure of how much the images differ.
      regularizer: a penalty of the field of the transform, or None.
      scale: the voxel size of this level divided by that of the last level.
      order: the interpolation order of the moving image.
      moving_mask: 1 where the moving image has a value, else 0, (*moving_grid.shape); None if it has one everywhere.
      smallest_overlap: the smallest sum of the mask inside the moving image that `value` accepts, (); None for no
        bound.
    """

    fixed: jax.Array
    moving: jax.Array
    mask: jax.Array
    fixed_grid: Grid
    moving_grid: Grid
    init: Map | None
    transform: Transform = field(metadata=STATIC)
    similarity: Similarity = field(metadata=STATIC)
    regularizer: Regularizer | None = field(metadata=STATIC)
    scale: int = field(metadata=STATIC)
    order: Order = field(metadata=STATIC)
    moving_mask: jax.Array | None = None
    smallest_overlap: jax.Array | None = None

    def displacement(self, parameters: jax.Array) -> jax.Array:
        """Return the displacement of every fixed voxel by the transform, (*shape, d), in mm."""
        return self.transform.displacement(parameters, self.fixed_grid, self.scale)

    def warped(self, displacement: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return the moving image on the fixed grid, and the mask without the voxels outside the moving image."""
        points = self.fixed_grid.points() + displacement
        index = self.moving_grid.index(points if self.init is None else self.init.apply_points(points))
        last = jnp.asarray(self.moving_grid.shape) - 1
        inside = jnp.all((index > -0.5) & (index < last + 0.5), axis=-1)
        if self.moving_mask is not None:
            inside &= interpolate_coefficients(self.moving_mask, index, 1) > 0.99
        return interpolate_coefficients(self.moving, index, self.order), jax.lax.stop_gradient(self.mask * inside)

    def penalty(self, parameters: jax.Array) -> jax.Array:
        """Return the value of the regularizer; 0 if there is none, or if the transform has no field."""
        penalised = self.transform.field(parameters, self.fixed_grid, self.scale)
        return jnp.zeros(()) if self.regularizer is None or penalised is None else self.regularizer(*penalised)

    def value(self, parameters: jax.Array) -> jax.Array:
        """Return the objective: the similarity plus the penalty, infinite where the overlap is too small.

        Without the bound, an optimizer could reduce the similarity by moving the image out of view.
        """
        warped, mask = self.warped(self.displacement(parameters))
        in_view = self._in_view(mask)
        value = self.similarity(self.fixed, warped, jnp.where(in_view, mask, self.mask), self.fixed_grid)
        return jnp.where(in_view, value + self.penalty(parameters), jnp.inf)

    def quadratic(self, parameters: jax.Array) -> QuadraticModel:
        """Return the Gauss-Newton model: the exact gradient, and ``B^T g c g^T B`` plus the Hessian of the penalty.

        B takes parameters to displacements, g is the gradient of the warped image and c the curvature of the
        similarity, which must be a `LeastSquares`.

        Source: J. Modersitzki, "FAIR: flexible algorithms for image registration", SIAM 2009, section 6.3.
        """
        assert isinstance(self.similarity, LeastSquares)
        displacement, push = jax.linearize(self.displacement, parameters)
        pull = jax.linear_transpose(push, parameters)
        warped, slope_of, covered = jax.vjp(self.warped, displacement, has_aux=True)
        in_view = self._in_view(covered)
        mask = jnp.where(in_view, covered, self.mask)
        (slope,) = slope_of(jnp.ones_like(warped))
        similarity = lambda warped: self.similarity(self.fixed, warped, mask, self.fixed_grid)
        value, force = jax.value_and_grad(similarity)(warped)
        curvature = self.similarity.curvature(self.fixed, warped, mask, self.fixed_grid)
        penalty, penalty_gradient = jax.value_and_grad(self.penalty)(parameters)
        _, penalty_product = jax.linearize(jax.grad(self.penalty), parameters)

        def product(direction: jax.Array) -> jax.Array:
            along = jnp.sum(slope * push(direction), axis=-1, keepdims=True)
            return pull(curvature[..., None] * slope * along)[0] + penalty_product(direction)

        gradient = pull(force[..., None] * slope)[0] + penalty_gradient
        return QuadraticModel(jnp.where(in_view, value + penalty, jnp.inf), gradient, product)

    def _in_view(self, covered: jax.Array) -> jax.Array:
        return jnp.asarray(True) if self.smallest_overlap is None else jnp.sum(covered) >= self.smallest_overlap
