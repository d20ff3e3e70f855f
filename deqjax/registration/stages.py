"""Registration in stages: each stage starts from the map of the one before it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from jax.typing import ArrayLike

from deqjax.registration.grid import Grid
from deqjax.registration.inputs import Images
from deqjax.registration.landmarks import Landmarks
from deqjax.registration.multiresolution import Registration
from deqjax.registration.optimizers import SyN
from deqjax.registration.pyramid import default_levels
from deqjax.registration.registering import register
from deqjax.registration.regularizers import Bending
from deqjax.registration.similarities import NCC, LocalNCC
from deqjax.registration.transforms import Affine, Dense, FreeForm, Rigid, Velocity
from deqjax.registration.types import Map, Optimizer, Regularizer, Similarity, Transform


@dataclass(frozen=True)
class Stage:
    """The settings of one call of `register`; see there.

    >>> Stage(Affine(), NCC()).regularizer is None
    True
    """

    transform: Transform
    similarity: Similarity
    regularizer: Regularizer | None = None
    levels: tuple[float, ...] | None = None
    optimizer: Optimizer | None = None


WINDOW = 3.0
"""The width of the windows of `LocalNCC` in the stages that are not linear, in mm."""

STAGES = ("rigid", "affine", "free-form", "dense", "syn")
"""The names of the stages that `named_stage` knows."""


def named_stage(
    name: str,
    similarity: Similarity | None = None,
    spacing: float = 16.0,
    bending: float = 1.0,
    levels: tuple[float, ...] | None = None,
    window: float = WINDOW,
) -> Stage:
    """Return a stage by its name.

    Args:
      name: one of `STAGES`.
      similarity: None for `NCC` of linear maps, and `LocalNCC` else.
      spacing: the spacing of control points of "free-form" and twice the smoothing of "dense", in mm.
      bending: the weight of the bending energy of "free-form", in mm^2.
      levels: see `register`.
      window: the width of that `LocalNCC`, in mm.

    Raises:
      ValueError: if there is no such stage, or the window is not above 0.

    >>> named_stage("syn", window=16.0).similarity
    LocalNCC(width=16.0, floor=0.001)
    """
    chosen = similarity or (NCC() if name in ("rigid", "affine") else LocalNCC(width=window))
    if name == "rigid":
        return Stage(Rigid(), chosen, levels=levels)
    if name == "affine":
        return Stage(Affine(), chosen, levels=levels)
    if name == "free-form":
        return Stage(FreeForm(spacing), chosen, Bending(bending), levels)
    if name == "dense":
        return Stage(Dense(spacing / 2), chosen, levels=levels)
    if name == "syn":
        return Stage(Velocity(smoothing=0.0, steps=6), chosen, levels=levels, optimizer=SyN())
    raise ValueError(f"there is no stage {name!r}: choose from {', '.join(STAGES)}")


def faster(stage: Stage, grid: Grid) -> Stage:
    """Return a stage without the finest default level, for a first look; `SyN` also takes fewer and longer steps.

    Levels that the stage names are kept.

    Args:
      stage: the settings, such as those of `named_stage`.
      grid: the grid of the fixed image.

    >>> faster(named_stage("syn"), Grid.of((64, 64), spacing=2.0)).levels
    (8.0, 4.0)
    """
    default = default_levels(grid)
    optimizer = stage.optimizer
    if isinstance(optimizer, SyN):
        optimizer = replace(optimizer, steps=40, step=0.5)
    return replace(stage, levels=stage.levels or default[:-1] or default, optimizer=optimizer)


def register_stages(
    fixed: Images,
    moving: Images,
    stages: Sequence[Stage],
    mask: ArrayLike | None = None,
    init: Map | None = None,
    *,
    fixed_grid: Grid | None = None,
    moving_grid: Grid | None = None,
    moving_mask: ArrayLike | None = None,
    landmarks: Landmarks | None = None,
) -> list[Registration]:
    """Register two images in stages, and return the result of each; the last one has the map.

    Args:
      fixed: see `register`.
      moving: see `register`.
      stages: the settings of the stages.
      mask: see `register`.
      init: the map with which the first stage starts; None for the identity.
      fixed_grid: see `register`.
      moving_grid: see `register`.
      moving_mask: see `register`.
      landmarks: see `register`.

    Raises:
      ValueError: as `register`, or if there is no stage.

    >>> import jax.numpy as jnp
    >>> points = Grid.of((16, 16)).points()
    >>> fixed, moving = (jnp.exp(-jnp.sum((points - centre) ** 2, -1) / 20) for centre in (7.0, 8.0))
    >>> found = register_stages(fixed, moving, [named_stage("rigid")])
    >>> found[-1].map.apply_points(jnp.array([7.0, 7.0])).round(1)
    Array([8., 8.], dtype=float32)
    """
    if not stages:
        raise ValueError("a registration needs at least one stage")
    results: list[Registration] = []
    for stage in stages:
        found = register(
            fixed,
            moving,
            stage.transform,
            stage.similarity,
            stage.regularizer,
            stage.levels,
            mask,
            results[-1].map if results else init,
            fixed_grid=fixed_grid,
            moving_grid=moving_grid,
            optimizer=stage.optimizer,
            moving_mask=moving_mask,
            landmarks=landmarks,
        )
        results.append(found)
    return results
