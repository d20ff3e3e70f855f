"""The program behind a registration: level by level, the numbers of one the start of the next."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from deqjax.pytree import operand
from deqjax.registration.grid import Grid
from deqjax.registration.measures import folded_fraction, sd_log_jacobian, volume_change
from deqjax.registration.objective import Objective
from deqjax.registration.optimisers import Optimiser
from deqjax.registration.pyramid import Level, shrink
from deqjax.registration.regularisers import Regulariser
from deqjax.registration.sample import Order, coefficients
from deqjax.registration.similarities import Similarity
from deqjax.registration.transforms import Composite, Map, Transform


@operand
class Registration:
    """What a registration found.

    Attributes:
      map: takes fixed points to moving points, mm: the transform's, followed by ``init`` where one was given.
      history: the objective at every step, one array a level, the coarsest first, NaN once settled; of
        `Demons`, which minimise none, the relative residual.
      measures: similarity before and after, the overlap (the part of the mask that the moving image reaches), the
        folded fraction and the standard deviation of the log Jacobian of the map over the mask, at the last level.
    """

    map: Map
    history: tuple[jax.Array, ...]
    measures: dict[str, jax.Array]


@operand
class Pair:
    """The images of a registration: (*grid.shape) each, the mask on the fixed grid; ``init`` goes after the map."""

    fixed: jax.Array
    moving: jax.Array
    mask: jax.Array
    init: Map | None


class Settings(NamedTuple):
    """What is asked of the images; hashable."""

    transform: Transform
    similarity: Similarity
    regulariser: Regulariser | None
    optimiser: Optimiser
    plan: tuple[Level, ...]
    order: Order


def coarse_to_fine(
    pair: Pair, fixed_grid: Grid, moving_grid: Grid, starts: tuple[jax.Array, ...], settings: Settings
) -> Registration:
    """Minimise level by level; ``starts`` are the numbers of the identity at each. Runs inside ``jit``."""
    parameters = starts[0]
    history: list[jax.Array] = []
    for level, start in zip(settings.plan, starts, strict=True):
        objective = _objective(pair, fixed_grid, moving_grid, level, settings)
        parameters = settings.transform.refine(parameters, start) if history else start
        parameters, values = settings.optimiser.minimise(objective, parameters)
        history.append(values)
    map = settings.transform.map(parameters, objective.fixed_grid, level.scale)
    whole = map if pair.init is None else Composite((map, pair.init))
    return Registration(whole, tuple(history), _measures(objective, start, parameters))


def _objective(pair: Pair, fixed_grid: Grid, moving_grid: Grid, level: Level, settings: Settings) -> Objective:
    fixed, grid = shrink(pair.fixed, fixed_grid, level.fixed_factors)
    moving, moving_level_grid = shrink(pair.moving, moving_grid, level.moving_factors)
    return Objective(
        fixed,
        coefficients(moving, moving_grid.ndim, settings.order),
        shrink(pair.mask, fixed_grid, level.fixed_factors)[0],
        grid,
        moving_level_grid,
        pair.init,
        settings.transform,
        settings.similarity,
        settings.regulariser,
        level.scale,
        settings.order,
    )


def _measures(objective: Objective, start: jax.Array, parameters: jax.Array) -> dict[str, Any]:
    measures = {}
    grid, fixed, mask = objective.fixed_grid, objective.fixed, objective.mask
    for when, numbers in (("before", start), ("after", parameters)):
        warped, reached = objective.warped(objective.displacement(numbers))
        measures[f"similarity_{when}"] = objective.similarity(fixed, warped, reached, grid)
        measures[f"overlap_{when}"] = jnp.sum(reached) / jnp.sum(mask)
    points = grid.points() + objective.displacement(parameters)
    moved = points if objective.init is None else objective.init.apply_points(points)
    volume = volume_change(moved - grid.points(), grid)
    measures["folded_fraction"] = folded_fraction(volume, mask > 0)
    measures["sd_log_jacobian"] = sd_log_jacobian(volume, mask > 0)
    return measures
