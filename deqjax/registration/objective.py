"""The objective of one level: ``similarity(fixed, moving o init o map) + regularizer(field) + landmark term``."""

from collections.abc import Callable
from dataclasses import field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from deqjax.pytree import operand
from deqjax.registration.grid import Grid
from deqjax.registration.interpolation import Order, interpolate_coefficients
from deqjax.registration.landmarks import Landmarks
from deqjax.registration.transforms import Composite
from deqjax.registration.types import Map, Regularizer, Similarity, Transform, has_curvature

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
      fixed: the fixed image, (*fixed_grid.shape[, channels]).
      moving: the interpolation coefficients of the moving image for ``order``, (*moving_grid.shape[, channels]); see
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
      moving_mask: 1 where the moving image counts, else 0, (*moving_grid.shape); None for 1 everywhere. A point counts
        if all voxels around it do.
      smallest_overlap: the smallest sum of the mask inside the moving image that `value` accepts, (); None for no
        bound.
      landmarks: pairs of points that the map should join; None for none.
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
    landmarks: Landmarks | None = None

    def map(self, parameters: jax.Array) -> Map:
        """Return the map of the transform, followed by ``init`` if there is one."""
        mapping = self.transform.map(parameters, self.fixed_grid, self.scale)
        return mapping if self.init is None else Composite((mapping, self.init))

    def displacement(self, parameters: jax.Array) -> jax.Array:
        """Return the displacement of every fixed voxel by the transform, (*shape, d), in mm."""
        return self.transform.displacement(parameters, self.fixed_grid, self.scale)

    def warped(self, displacement: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return the moving image on the fixed grid, and the mask where points lie in the moving image and its mask."""
        index = self._moving_index(displacement)
        last = jnp.asarray(self.moving_grid.shape) - 1
        inside = jnp.all((index > -0.5) & (index < last + 0.5), axis=-1)
        mask = self.masked(displacement) * inside
        return interpolate_coefficients(self.moving, index, self.order), jax.lax.stop_gradient(mask)

    def masked(self, displacement: jax.Array) -> jax.Array:
        """Return the mask where points lie in the mask of the moving image, whose edge is repeated beyond it."""
        if self.moving_mask is None:
            return self.mask
        covered = interpolate_coefficients(self.moving_mask, self._moving_index(displacement))
        return self.mask * jnp.clip(10 * covered - 9, 0, 1)  # steep, but continuous for the demons

    def _moving_index(self, displacement: jax.Array) -> jax.Array:
        points = self.fixed_grid.points() + displacement
        return self.moving_grid.index(points if self.init is None else self.init.apply_points(points))

    def penalty(self, parameters: jax.Array) -> jax.Array:
        """Return the value of the regularizer; 0 if there is none, or if the transform has no field."""
        penalised = self.transform.field(parameters, self.fixed_grid, self.scale)
        return jnp.zeros(()) if self.regularizer is None or penalised is None else self.regularizer(*penalised)

    def landmark_residual(self, parameters: jax.Array) -> jax.Array:
        """Return the vectors r, (n, d), whose ``sum |r|^2 / 2`` is the landmark term; none without landmarks."""
        if self.landmarks is None:
            return jnp.zeros((0, self.fixed_grid.ndim), parameters.dtype)
        return self.landmarks.residual(self.map(parameters).apply_points(self.landmarks.fixed))

    def value(self, parameters: jax.Array) -> jax.Array:
        """Return the objective: similarity, penalty and landmark term; infinite where the overlap is too small.

        Without the bound, an optimizer could reduce the similarity by moving the image out of view.
        """
        warped, mask = self.warped(self.displacement(parameters))
        in_view = self._in_view(mask)
        value = self.similarity(self.fixed, warped, jnp.where(in_view, mask, self.mask), self.fixed_grid)
        value = value + self.penalty(parameters) + jnp.sum(self.landmark_residual(parameters) ** 2) / 2
        return jnp.where(in_view, value, jnp.inf)

    def quadratic(self, parameters: jax.Array) -> QuadraticModel:
        """Return the Gauss-Newton model: the exact gradient, ``B^T g c g^T B + J^T J``, and the Hessian of the penalty.

        B takes parameters to displacements, g is the gradient of the warped image and c the curvature of the
        similarity, which must be a `LeastSquares`; channels are summed. J differentiates the `landmark_residual`.

        Source: J. Modersitzki, "FAIR: flexible algorithms for image registration", SIAM 2009, section 6.3.
        """
        assert has_curvature(self.similarity)
        displacement, push = jax.linearize(self.displacement, parameters)
        pull = jax.linear_transpose(push, parameters)
        warped, slope_of, covered = jax.vjp(self.warped, displacement, has_aux=True)
        in_view = self._in_view(covered)
        mask = jnp.where(in_view, covered, self.mask)
        channels = warped.reshape(*self.fixed_grid.shape, -1)
        one = lambda k: jnp.zeros_like(channels).at[..., k].set(1).reshape(warped.shape)
        slopes = jnp.stack([slope_of(one(k))[0] for k in range(channels.shape[-1])], axis=-2)
        similarity = lambda warped: self.similarity(self.fixed, warped, mask, self.fixed_grid)
        value, force = jax.value_and_grad(similarity)(warped)
        curvature = self.similarity.curvature(self.fixed, warped, mask, self.fixed_grid)
        penalty, penalty_gradient = jax.value_and_grad(self.penalty)(parameters)
        _, penalty_product = jax.linearize(jax.grad(self.penalty), parameters)
        residual, push_points = jax.linearize(self.landmark_residual, parameters)
        pull_points = jax.linear_transpose(push_points, parameters)
        weighted = lambda values: jnp.sum(values.reshape(*channels.shape, 1) * slopes, axis=-2)

        def product(direction: jax.Array) -> jax.Array:
            along = jnp.sum(slopes * push(direction)[..., None, :], axis=-1)
            image = pull(weighted(curvature.reshape(channels.shape) * along))[0]
            return image + penalty_product(direction) + pull_points(push_points(direction))[0]

        gradient = pull(weighted(force))[0] + penalty_gradient + pull_points(residual)[0]
        value = value + penalty + jnp.sum(residual**2) / 2
        return QuadraticModel(jnp.where(in_view, value, jnp.inf), gradient, product)

    def _in_view(self, covered: jax.Array) -> jax.Array:
        return jnp.asarray(True) if self.smallest_overlap is None else jnp.sum(covered) >= self.smallest_overlap
