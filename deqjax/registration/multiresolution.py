"""Registration from coarse to fine: the result of each level is the start of the next."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from deqjax.pytree import operand
from deqjax.registration.grid import Grid
from deqjax.registration.interpolation import Order, interpolation_coefficients
from deqjax.registration.measures import folded_fraction, sd_log_jacobian, volume_change
from deqjax.registration.objective import Objective
from deqjax.registration.pyramid import Level, shrink
from deqjax.registration.transforms import Composite
from deqjax.registration.types import Map, Optimizer, Regularizer, Similarity, Transform


@operand
class Registration:
    """The result of a registration.

    Attributes:
      map: the map from fixed points to moving points, in mm: that of the transform, followed by ``init`` if it was
        given.
      history: one array for each level, the coarsest first: the objective at every step, NaN after convergence. For
        `Demons`, which minimise no objective, it is the relative residual.
      measures: values at the last level: the similarity and the overlap (the fraction of the mask that lies inside the
        moving image) before and after, and the folded fraction and the standard deviation of the log Jacobian of the
        map over the mask.
    """

    map: Map
    history: tuple[jax.Array, ...]
    measures: dict[str, jax.Array]


@operand
class Pair:
    """The images of a registration.

    Attributes:
      fixed: (*fixed_grid.shape).
      moving: (*moving_grid.shape).
      mask: weights on the fixed grid, (*fixed_grid.shape).
      init: a map applied after that of the transform; None for the identity.
    """

    fixed: jax.Array
    moving: jax.Array
    mask: jax.Array
    init: Map | None


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
    parameters = identities[0]
    history: list[jax.Array] = []
    for level, identity in zip(settings.plan, identities, strict=True):
        objective = _level_objective(pair, fixed_grid, moving_grid, level, settings)
        parameters = settings.transform.refine(parameters, identity) if history else identity
        parameters, values = settings.optimizer.minimise(objective, parameters)
        history.append(values)
    mapping = settings.transform.map(parameters, objective.fixed_grid, level.scale)
    if pair.init is not None:
        mapping = Composite((mapping, pair.init))
    return Registration(mapping, tuple(history), _measure(objective, identity, parameters))


def _level_objective(pair: Pair, fixed_grid: Grid, moving_grid: Grid, level: Level, settings: Settings) -> Objective:
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
    )


def _measure(objective: Objective, identity: jax.Array, parameters: jax.Array) -> dict[str, Any]:
    values = {}
    grid, fixed, mask = objective.fixed_grid, objective.fixed, objective.mask
    for when, compared in (("before", identity), ("after", parameters)):
        warped, covered = objective.warped(objective.displacement(compared))
        values[f"similarity_{when}"] = objective.similarity(fixed, warped, covered, grid)
        values[f"overlap_{when}"] = jnp.sum(covered) / jnp.sum(mask)
    points = grid.points() + objective.displacement(parameters)
    moved = points if objective.init is None else objective.init.apply_points(points)
    volume = volume_change(moved - grid.points(), grid)
    values["folded_fraction"] = folded_fraction(volume, mask > 0)
    values["sd_log_jacobian"] = sd_log_jacobian(volume, mask > 0)
    return values
