"""Registration from coarse to fine: the result of each level is the start of the next."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from deqjax.pytree import operand
from deqjax.registration.grid import Grid
from deqjax.registration.interpolation import Order, interpolation_coefficients
from deqjax.registration.landmarks import Landmarks
from deqjax.registration.measures import (
    folded_fraction,
    sd_log_jacobian,
    smallest_jacobian,
    target_error,
    volume_change,
)
from deqjax.registration.objective import Objective
from deqjax.registration.pyramid import Level, shrink, shrink_mask
from deqjax.registration.types import Map, Optimizer, Regularizer, Similarity, Transform

FORBIDDEN_OVERLAP, FLAGGED_OVERLAP = 0.5, 0.6
"""Fractions of the overlap at the start: below the first, optimizers refuse a step; the status flags the second."""


@operand
class Registration:
    """The result of a registration.

    Attributes:
      map: the map from fixed points to moving points, in mm: that of the transform, followed by ``init`` if it was
        given.
      history: one array for each level, the coarsest first: the objective at every step, NaN after convergence. For
        `Demons`, which minimise no objective, it is the relative residual.
      measures: values at the last level: the similarity and the overlap (the fraction of the mask that lies inside the
        moving image) before and after, the folded fraction and the standard deviation of the log Jacobian of the map
        over the mask, and its `deqjax.registration.measures.smallest_jacobian` on the whole grid; with landmarks, also
        their mean error before and after, in mm.
      parameters: the parameters of the transform on the last level.
    """

    map: Map
    history: tuple[jax.Array, ...]
    measures: dict[str, jax.Array]
    parameters: jax.Array

    @property
    def status(self) -> "Status":
        """Whether the result can be trusted; see `Status`. A batch of pairs gives arrays with an axis of pairs."""
        reductions = [values[..., 0] - _last(values) for values in self.history]
        total = jnp.sum(jnp.abs(jnp.stack(reductions, axis=-1)), axis=-1)
        levels = jnp.stack([_has_converged(values, total) for values in self.history], axis=-1)
        before, after = self.measures["overlap_before"], self.measures["overlap_after"]
        folds, smallest = self.measures["folded_fraction"], self.measures["smallest_jacobian"]
        return Status(levels[..., -1], after > FLAGGED_OVERLAP * before, after, folds, levels, smallest)


class Status(NamedTuple):
    """Whether the result of a registration can be trusted.

    Attributes:
      converged: whether the last level converged: the optimizer stopped before its last step, or the last three steps
        changed the objective by less than 2 % of its reduction on all levels.
      in_view: whether more than 60 % of the overlap at the start remains. The optimizers refuse steps that leave less
        than half of it, so a result near that bound would have left the view.
      overlap: the fraction of the mask that lies inside the moving image.
      folds: the fraction of the mask in which the map folds.
      levels: for each level, the coarsest first, whether it converged, (levels,).
      smallest_jacobian: see `deqjax.registration.measures.smallest_jacobian`; above 0, a 2-D map has no fold.
    """

    converged: jax.Array
    in_view: jax.Array
    overlap: jax.Array
    folds: jax.Array
    levels: jax.Array
    smallest_jacobian: jax.Array

    @property
    def good(self) -> bool:
        """Whether the last level converged and the image is in view (for a batch: every pair)."""
        return bool(jnp.all(self.converged & self.in_view))

    def __str__(self) -> str:
        if jnp.ndim(self.overlap):
            return f"{int(jnp.sum(self.converged & self.in_view))} of {len(self.overlap)} pairs converged in view"
        levels = "".join("+" if level else "-" for level in self.levels)
        return (
            f"{'converged' if self.converged else 'NOT CONVERGED'} (levels {levels}), "
            f"{'in view' if self.in_view else 'OUT OF VIEW'} (overlap {float(self.overlap):.3f}), "
            f"folded {100 * float(self.folds):.3f} % (smallest Jacobian {float(self.smallest_jacobian):.3f})"
        )


def _last(values: jax.Array) -> jax.Array:
    """Return the last value that is not NaN, along the last axis."""
    count = jnp.sum(~jnp.isnan(values), axis=-1, keepdims=True)
    return jnp.take_along_axis(values, jnp.maximum(count - 1, 0), axis=-1)[..., 0]


def _has_converged(values: jax.Array, total: jax.Array) -> jax.Array:
    stopped = jnp.isnan(values[..., -1]) & jnp.isfinite(values[..., 0])
    last, earlier = values[..., -1], values[..., max(values.shape[-1] - 4, 0)]
    slow = jnp.isfinite(last) & (last <= values[..., 0]) & (jnp.abs(earlier - last) <= 0.02 * total)
    return stopped | slow


@operand
class Pair:
    """The images of a registration.

    Attributes:
      fixed: (*fixed_grid.shape[, channels]).
      moving: (*moving_grid.shape[, channels]).
      mask: weights on the fixed grid, (*fixed_grid.shape).
      init: a map applied after that of the transform; None for the identity.
      moving_mask: 1 where the moving image counts, else 0, (*moving_grid.shape); None for 1 everywhere.
      landmarks: pairs of points that the map should join; None for none.
    """

    fixed: jax.Array
    moving: jax.Array
    mask: jax.Array
    init: Map | None
    moving_mask: jax.Array | None = None
    landmarks: Landmarks | None = None
    start: jax.Array | None = None


class Settings(NamedTuple):
    """The settings of a registration; they are hashable."""

    transform: Transform
    similarity: Similarity
    regularizer: Regularizer | None
    optimizer: Optimizer
    plan: tuple[Level, ...]
    order: Order


def register_levels(
    pair: Pair, fixed_grid: Grid, moving_grid: Grid, identities: tuple[jax.Array, ...], settings: Settings
) -> Registration:
    """Register a pair level by level. This runs inside ``jit``.

    Args:
      pair: the images.
      fixed_grid: the grid of the fixed image.
      moving_grid: the grid of the moving image.
      identities: the parameters of the identity on each level.
      settings: the settings.
    """
    parameters, previous = identities[0] if pair.start is None else pair.start, settings.plan[0]
    history: list[jax.Array] = []
    for level, identity in zip(settings.plan, identities, strict=True):
        objective = level_objective(pair, fixed_grid, moving_grid, level, settings)
        covered = jnp.sum(objective.warped(objective.displacement(identity))[1])
        objective = dataclasses.replace(objective, smallest_overlap=FORBIDDEN_OVERLAP * covered)
        if history:
            ratios = tuple(a / b for a, b in zip(previous.fixed_factors, level.fixed_factors, strict=True))
            parameters = settings.transform.refine(parameters, identity, ratios)
        previous = level
        parameters, values = settings.optimizer.minimise(objective, parameters)
        history.append(values)
    return Registration(
        objective.map(parameters), tuple(history), _measure(objective, identity, parameters), parameters
    )


def level_objective(pair: Pair, fixed_grid: Grid, moving_grid: Grid, level: Level, settings: Settings) -> Objective:
    """Return the objective of one level; see `register_levels` for the arguments."""
    fixed, grid = shrink(pair.fixed, fixed_grid, level.fixed_factors)
    moving, moving_level_grid = shrink(pair.moving, moving_grid, level.moving_factors)
    return Objective(
        fixed,
        interpolation_coefficients(moving, moving_grid.ndim, settings.order),
        shrink(pair.mask, fixed_grid, level.fixed_factors)[0],
        grid,
        moving_level_grid,
        pair.init,
        settings.transform,
        settings.similarity,
        settings.regularizer,
        level.scale,
        settings.order,
        shrink_mask(pair.moving_mask, moving_grid, level.moving_factors),
        landmarks=pair.landmarks,
    )


def _measure(objective: Objective, identity: jax.Array, parameters: jax.Array) -> dict[str, Any]:
    values = {}
    grid, fixed, mask = objective.fixed_grid, objective.fixed, objective.mask
    for when, compared in (("before", identity), ("after", parameters)):
        warped, covered = objective.warped(objective.displacement(compared))
        values[f"similarity_{when}"] = objective.similarity(fixed, warped, covered, grid)
        values[f"overlap_{when}"] = jnp.sum(covered) / jnp.sum(mask)
        if objective.landmarks is not None:
            mapping = objective.map(compared)
            errors = target_error(mapping, objective.landmarks.fixed, objective.landmarks.moving)
            values[f"landmark_error_{when}"] = jnp.mean(errors)
    points = grid.points() + objective.displacement(parameters)
    moved = points if objective.init is None else objective.init.apply_points(points)
    volume = volume_change(moved - grid.points(), grid)
    values["folded_fraction"] = folded_fraction(volume, mask > 0)
    values["sd_log_jacobian"] = sd_log_jacobian(volume, mask > 0)
    values["smallest_jacobian"] = smallest_jacobian(moved - grid.points(), grid)
    return values
