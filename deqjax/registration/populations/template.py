"""The template of a population: the image in the middle of many images, in intensity and in shape."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from deqjax.pytree import operand
from deqjax.registration.grid import Grid
from deqjax.registration.initial_maps import align_centres
from deqjax.registration.multiresolution import Registration
from deqjax.registration.pyramid import default_levels
from deqjax.registration.registering import register
from deqjax.registration.stages import Stage, register_stages
from deqjax.registration.transforms import Composite, DisplacementMap, LinearMap
from deqjax.registration.types import Map
from deqjax.registration.warping import warp


@operand
class Template:
    """The mean image of a population or of a time series.

    Attributes:
      image: the mean of the warped images, (*grid.shape).
      grid: the grid of the template.
      maps: for each image, the map from points of the template to points of the image, sampled on the grid.
      shifts: for each round, the mean over the voxels of the length of the mean displacement before it was removed,
        (rounds,), in mm.
      changes: for each round, the norm of the change of the template relative to the norm of the template, (rounds,).
    """

    image: jax.Array
    grid: Grid
    maps: tuple[DisplacementMap, ...]
    shifts: jax.Array
    changes: jax.Array

    def warped(self, images: Sequence[ArrayLike], grids: Sequence[Grid]) -> list[jax.Array]:
        """Return the images on the grid of the template."""
        return [
            warp(jnp.asarray(image), mapping, self.grid, grid)
            for image, mapping, grid in zip(images, self.maps, grids, strict=True)
        ]

    def mean_displacement(self) -> jax.Array:
        """Return the length of the mean displacement of all maps at each voxel, (*grid.shape), in mm."""
        return jnp.linalg.norm(jnp.mean(jnp.stack([one.vectors for one in self.maps]), axis=0), axis=-1)


def build_template(
    images: Sequence[ArrayLike],
    stages: Sequence[Stage],
    rounds: int = 8,
    *,
    grid: Grid | None = None,
    grids: Sequence[Grid] | None = None,
    tolerance: float = 5e-3,
) -> Template:
    """Build the template of images by turns of registration and averaging.

    The first template is the mean of the images, whose centres of mass are moved to that of the first image. In each
    round, every image is registered to the template, which gives the maps ``phi_k``. With their mean
    ``m = mean_k phi_k``, the maps ``psi_k = phi_k o m^-1`` have a mean displacement of 0, and the next template is
    ``mean_k image_k o psi_k``. A time series is registered to its mean in the same way: give its frames.

    The first round uses the first stage alone, and the second one all stages. Every further round goes on with the last
    stage on its finest level, from the parameters of the round before it minus their mean over the images. If it
    started afresh, every round would make the errors of a registration to a new template, and the rounds would not
    settle. They end when the template changes by less than ``tolerance``.

    Every image is divided by its mean, so that none dominates, and the template is multiplied by the mean of the means.

    Args:
      images: at least two images, (x, y[, z]), without NaN.
      stages: the stages of each registration, from coarse to fine; see `deqjax.registration.stages.named_stage`.
      rounds: the largest number of rounds.
      grid: the grid of the template; None for that of the first image.
      grids: the grid of each image; None for voxels of 1 mm.
      tolerance: the relative change of the template at which the rounds end.

    Returns:
      The template, and the map from it to each image.

    Raises:
      ValueError: if there are fewer than two images, no round, another number of grids, an image has a mean of 0, or
        as `register`.

    Source: A. Guimond, J. Meunier and J.-P. Thirion, "Average brain models: a convergence study", Comput. Vis. Image
    Underst. 77:192, 2000, section 2.

    >>> from deqjax.registration.stages import named_stage
    >>> points = Grid.of((16, 16)).points()
    >>> images = [jnp.exp(-jnp.sum((points - centre) ** 2, -1) / 20) for centre in (6.0, 8.0)]
    >>> template = build_template(images, [named_stage("rigid")], rounds=1)
    >>> [one.apply_points(jnp.array([7.0, 7.0])).round(1).tolist() for one in template.maps]
    [[6.0, 6.0], [8.0, 8.0]]
    """
    arrays = [jnp.asarray(image, float) for image in images]
    grids = [Grid.of(array.shape) for array in arrays] if grids is None else list(grids)
    if len(arrays) < 2 or len(grids) != len(arrays) or rounds < 1:
        raise ValueError(
            f"{len(arrays)} images, {len(grids)} grids and {rounds} rounds: a template needs at least two images, a "
            "grid for each, and a round"
        )
    means = [float(jnp.mean(array)) for array in arrays]
    if not all(mean > 0 for mean in means):
        raise ValueError(f"image {min(range(len(means)), key=means.__getitem__)}: its mean must be above 0 and finite")
    arrays = [array / mean for array, mean in zip(arrays, means, strict=True)]
    grid = grids[0] if grid is None else grid
    starts: list[Map] = [LinearMap(jnp.eye(grid.ndim), jnp.zeros(grid.ndim))]
    starts += [align_centres(arrays[0], array, grids[0], one) for array, one in zip(arrays[1:], grids[1:])]
    maps, _ = _without_mean(starts, grid)
    image = _mean_image(arrays, grids, maps, grid)
    shifts, changes = [], []
    inits, last = starts, stages[-1]
    found: list[Registration] = []
    for number in range(rounds):
        if number < 2:
            used = stages[:1] if number == 0 else stages
            results = [
                register_stages(image, array, used, init=start, fixed_grid=grid, moving_grid=one)
                for array, one, start in zip(arrays, grids, starts, strict=True)
            ]
            found = [one[-1] for one in results]
            if len(results[0]) > 1:
                inits = list(_without_mean([one[-2].map for one in results], grid)[0])
        else:
            mean = jnp.mean(jnp.stack([one.parameters for one in found]), axis=0)
            found = [
                register(
                    image,
                    array,
                    last.transform,
                    last.similarity,
                    last.regularizer,
                    (last.levels or default_levels(grid))[-1:],
                    init=init,
                    fixed_grid=grid,
                    moving_grid=one,
                    optimizer=last.optimizer,
                    start=earlier.parameters - mean,
                )
                for array, one, init, earlier in zip(arrays, grids, inits, found, strict=True)
            ]
        maps, shift = _without_mean([one.map for one in found], grid)
        before, image = image, _mean_image(arrays, grids, maps, grid)
        shifts.append(shift)
        changes.append(jnp.linalg.norm(image - before) / jnp.linalg.norm(image))
        if number > 0 and changes[-1] <= tolerance:
            break
    image = image * (sum(means) / len(means))
    return Template(image, grid, tuple(maps), jnp.stack(shifts), jnp.stack(changes))


def _without_mean(maps: Sequence[Map], grid: Grid) -> tuple[list[DisplacementMap], jax.Array]:
    """Return ``phi_k o m^-1``, m the mean of all phi_k, and the mean length of the displacement of m."""
    mean = DisplacementMap(jnp.mean(jnp.stack([one.displacement(grid) for one in maps]), axis=0), grid)
    vectors = mean.inverse().displacement(grid)
    back = DisplacementMap(jnp.where(jnp.isnan(vectors), -mean.vectors, vectors), grid)
    centred = [DisplacementMap(Composite((back, one)).displacement(grid), grid) for one in maps]
    return centred, jnp.mean(jnp.linalg.norm(mean.vectors, axis=-1))


def _mean_image(
    images: Sequence[jax.Array], grids: Sequence[Grid], maps: Sequence[DisplacementMap], grid: Grid
) -> jax.Array:
    warped = [warp(image, one, grid, given) for image, one, given in zip(images, maps, grids, strict=True)]
    return sum(warped, start=jnp.zeros(grid.shape)) / len(warped)
