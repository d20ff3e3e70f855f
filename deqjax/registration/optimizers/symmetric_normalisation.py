"""Symmetric diffeomorphic registration with two half maps that meet in the middle, as an optimizer of one level."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import jax
import jax.numpy as jnp

from deqjax.registration.interpolation import interpolate, interpolation_coefficients
from deqjax.registration.objective import Objective
from deqjax.registration.optimizers.gradient import iterate_until_converged
from deqjax.registration.smoothing import smooth
from deqjax.registration.transforms import Velocity, VelocityMap
from deqjax.registration.transforms.jacobians import cell_determinants


@dataclass(frozen=True)
class SyN:
    """Move both images to the middle along one stationary velocity v, without folds, for ``Velocity(smoothing=0)``.

    The moving image is warped by ``exp(v / 2)`` and the fixed image by ``exp(-v / 2)``. With S their similarity, a
    step is ``v -> G_t (v + s w G_u f)``, where f is minus the gradient of S with respect to both half maps and G_u and
    G_t are the Gaussians of the update and of the total field. s is such that the largest update is ``step`` voxels.

    The weight w keeps the map from folding: at each voxel it falls from 1 to 0 while the smallest determinant of
    ``exp(v)`` or ``exp(-v)`` at the corners of the cells around it falls from twice ``smallest`` to ``smallest``. A
    step after which a determinant is below half of ``smallest`` is not taken, and the next one is half as long. So
    ``measures["smallest_jacobian"]`` of the result is above 0; see `deqjax.registration.measures.smallest_jacobian`
    for what that proves. Exchanging the images inverts the map.

    Attributes:
      steps: the maximum number of steps on a level.
      step: the largest update of v in a step, in voxels of the level.
      update_smoothing: the standard deviation of G_u, in voxels of the level.
      total_smoothing: the standard deviation of G_t, in voxels of the level.
      smallest: the determinant at which the update stops.
      window: see `deqjax.registration.optimizers.gradient.iterate_until_converged`.
      tolerance: see there.

    Source: B. Avants et al., "Symmetric diffeomorphic image registration with cross-correlation", Med. Image Anal.
    12:26, 2008, section 2, with one stationary velocity in place of two that vary in time. The weight w is not in it.

    >>> SyN(steps=40).step
    0.25
    """

    steps: int = 100
    step: float = 0.25
    update_smoothing: float = 1.5
    total_smoothing: float = 0.4
    smallest: float = 0.05
    window: int = 10
    tolerance: float = 2e-3

    def minimise(self, objective: Objective, start: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return the velocity, and the similarity in the middle at every step, (steps,), NaN after convergence."""
        grid, ndim = objective.fixed_grid, objective.fixed_grid.ndim
        assert isinstance(objective.transform, Velocity)
        squarings = objective.transform.steps
        forward = replace(objective, mask=jnp.ones_like(objective.mask))
        fixed = interpolation_coefficients(objective.fixed, ndim, objective.order)
        backward = replace(forward, moving=fixed, moving_grid=grid, init=None, moving_mask=None)
        gaussian = lambda field, sigma: smooth(field, jnp.full(ndim, sigma))
        size = self.step * jnp.min(grid.spacing())

        def similarity(halves: tuple[jax.Array, jax.Array]) -> jax.Array:
            (moving, inside), (fixed, covered) = forward.warped(halves[0]), backward.warped(halves[1])
            mask = interpolate(objective.mask, grid.index(grid.points() + jax.lax.stop_gradient(halves[1])))
            return objective.similarity(fixed, moving, inside * covered * mask, grid)

        def examine(velocity: jax.Array) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
            """Return both half maps, and the smallest determinant of the two total maps around every voxel."""
            halves, smallest = [], jnp.full(grid.shape, jnp.inf)
            for sign in (1, -1):
                half = VelocityMap(sign * velocity / 2, grid, squarings - 1).exponential()
                twice = half.vectors + half.apply_points(moved := grid.points() + half.vectors) - moved
                smallest = jnp.minimum(smallest, around_voxels(cell_determinants(twice, grid)))
                halves.append(half.vectors)
            return (halves[0], halves[1]), smallest

        def step(state: State) -> tuple[State, jax.Array]:
            value, (push, pull) = jax.value_and_grad(similarity)(state.halves)
            update = gaussian(pull - push, self.update_smoothing)
            largest = jnp.max(jnp.linalg.norm(update, axis=-1))
            update = update * state.size / jnp.where(largest > 0, largest, 1)
            weight = jnp.clip(state.smallest / self.smallest - 1, 0, 1)
            velocity = gaussian(state.velocity + weight[..., None] * update, self.total_smoothing)
            halves, smallest = examine(velocity)
            allowed = jnp.min(smallest) > self.smallest / 2
            moved = State(velocity, halves, smallest, jnp.minimum(1.2 * state.size, size))
            refused = state._replace(size=state.size / 2)
            return jax.tree.map(lambda new, old: jnp.where(allowed, new, old), moved, refused), value

        # Interpolation from the level before can bring a determinant below the bound.
        folds = lambda velocity: jnp.min(examine(velocity)[1]) <= self.smallest / 2
        start = jax.lax.while_loop(folds, lambda velocity: gaussian(velocity, 0.5), start)
        first = State(start, *examine(start), size)
        last, values = iterate_until_converged(step, first, self.steps, self.window, self.tolerance)
        return last.velocity, values


class State(NamedTuple):
    """The velocity, both half maps, the smallest determinant around every voxel, and the largest update in mm."""

    velocity: jax.Array
    halves: tuple[jax.Array, jax.Array]
    smallest: jax.Array
    size: jax.Array


def around_voxels(cells: jax.Array) -> jax.Array:
    """Return the smallest value of the cells around every voxel, (n + 1, ...) for cells (n, ...).

    >>> around_voxels(jnp.array([[3.0], [2.0]]))[:, 0]
    Array([3., 2., 2.], dtype=float32)
    """
    for axis in range(cells.ndim):
        pad = [(1, 1) if k == axis else (0, 0) for k in range(cells.ndim)]
        padded = jnp.pad(cells, pad, constant_values=jnp.inf)
        before = jax.lax.slice_in_dim(padded, 0, padded.shape[axis] - 1, axis=axis)
        cells = jnp.minimum(before, jax.lax.slice_in_dim(padded, 1, None, axis=axis))
    return cells
