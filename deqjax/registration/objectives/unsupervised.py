"""Learning without known displacements: the similarity of the fixed and the warped image, and a penalty of the map."""

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp

from deqjax.registration.grid import Grid
from deqjax.registration.learning import PairBatch, RegistrationProblem
from deqjax.registration.nets.halving import halve, halved_grid
from deqjax.registration.regularizers import Diffusion, InverseConsistency
from deqjax.registration.similarities import LocalNCC
from deqjax.registration.transforms import DisplacementMap, VelocityMap
from deqjax.registration.types import Map, Regularizer, Similarity
from deqjax.registration.warping import warp
from deqjax.types import Metrics, ObjectiveFunction, Params


@dataclass(frozen=True)
class Unsupervised:
    """The mean over pairs of ``similarity(B, A o Xi) + regularizer(field)``, B the fixed and A the moving image.

    The field is the velocity of the map if it has one, else its displacement, in mm.

    Both directions count if ``bidirectional`` or ``consistency`` is set: every term above is then the mean of the two.
    The other direction is the inverse of a map with a velocity. For other maps, and for all maps if ``consistency`` is
    set, it is what the network returns for the exchanged images.

    Attributes:
      similarity: how much the fixed image and the warped moving image differ.
      regularizer: the penalty of the field.
      bidirectional: whether the fixed image is also warped to the moving image.
      consistency: the penalty of ``Xi_AB o Xi_BA - id``; with ``gradient = true`` it is that of GradICON.
      conditional: whether a weight w in [0, 1] is drawn for every pair and given to the network, and the terms are
        ``(1 - w) similarity + w regularizer``. It is 0 or 1 in a fifth of the pairs.
      every_level: whether the maps of all levels of a `PyramidNet` are compared, each with images of its resolution.
        The terms of a level that is twice as coarse have half the weight.
      overlap: the weight of ``1 - Dice`` of the labels (`soft_dice`), for images that have some.

    Sources: G. Balakrishnan et al., IEEE Trans. Med. Imaging 38:1788, 2019, for the similarity, the penalty
    and the overlap; A. Dalca et al., Med. Image Anal. 57:226, 2019, for both directions; L. Tian et al., "GradICON:
    approximate diffeomorphisms via gradient inverse consistency", CVPR 2023, for the consistency; A. Hoopes et al.,
    "HyperMorph: amortized hyperparameter learning for image registration", IPMI 2021, for the random weight; T. Mok, A.
    Chung, MICCAI 2020, for every level.

    >>> from deqjax.registration.nets import ImageAttention
    >>> grid = Grid.of((16, 16))
    >>> images = jnp.stack([grid.points()[..., 0], grid.points()[..., 1]])
    >>> network = ImageAttention(width=4)
    >>> params = {"network": network.init(jax.random.key(0), images[0], images[1], grid)}
    >>> objective = Unsupervised().bind(RegistrationProblem(network, grid))
    >>> jax.eval_shape(objective, params, {}, PairBatch(images, images[::-1]), None, None)[0].shape
    ()
    """

    similarity: Similarity = field(default_factory=lambda: LocalNCC(width=3.0))
    regularizer: Regularizer = field(default_factory=lambda: Diffusion(weight=0.1))
    bidirectional: bool = False
    consistency: InverseConsistency | None = None
    conditional: bool = False
    every_level: bool = False
    overlap: float = 0.0

    def bind(self, problem: RegistrationProblem) -> ObjectiveFunction:
        """Make the function of the parameters ``{"network": ...}``.

        Raises:
          ValueError: the overlap has a weight, but the images have no labels; or the network takes no weight or has no
            levels.
        """
        network, grid, labels = problem
        apply: Any = network.apply
        if self.overlap and not labels:
            raise ValueError("objective.overlap needs labels: set data.labels = true, or leave it 0")
        if self.conditional and not getattr(network, "conditional", False):
            raise ValueError(
                "objective.conditional needs a network that takes a weight: set network.conditional = true"
            )
        if self.every_level and not hasattr(network, "maps"):
            raise ValueError("objective.every_level needs a network with several levels: PyramidNet")

        def one_way(fixed: jax.Array, moving: jax.Array, grid: Grid, found: Any) -> Metrics:
            warped = warp(moving, _evaluated(found), grid, grid)
            difference = self.similarity(fixed, warped, jnp.ones(grid.shape), grid)
            return {"similarity": difference, "regularizer": self.regularizer(*_field(found, grid))}

        def terms(fixed: jax.Array, moving: jax.Array, grid: Grid, found: Any, back: Any) -> Metrics:
            values = one_way(fixed, moving, grid, found)
            both = values if back is None else one_way(moving, fixed, grid, back)
            return jax.tree.map(lambda a, b: (a + b) / 2, values, both)

        def objective(params: Params, _: Params, batch: PairBatch, keys: Any, __: Any) -> tuple[jax.Array, Metrics]:
            def of_pair(pair: PairBatch, key: jax.Array) -> Metrics:
                weight = [_draw_weight(key)] if self.conditional else []
                method = {"method": "maps"} if self.every_level else {}

                def predict(fixed: jax.Array, moving: jax.Array) -> list[Any]:
                    found = apply(params["network"], fixed, moving, grid, *weight, **method)
                    return found[::-1] if self.every_level else [found]

                fixed, moving = jnp.asarray(pair.fixed), jnp.asarray(pair.moving)
                maps = predict(fixed, moving)
                backs: list[Any] = [None] * len(maps)
                if self.bidirectional or self.consistency:
                    invertible = isinstance(maps[0], VelocityMap) and self.consistency is None
                    backs = [found.inverse() for found in maps] if invertible else predict(moving, fixed)
                found, back = maps[0], backs[0]
                values = terms(fixed, moving, grid, found, back)
                images, coarse = jnp.stack([fixed, moving], axis=-1), grid
                for level, other_maps in enumerate(zip(maps[1:], backs[1:], strict=True), 1):
                    images, coarse = halve(images, grid.ndim), halved_grid(coarse)
                    more = terms(images[..., 0], images[..., 1], coarse, *other_maps)
                    values = jax.tree.map(lambda a, b, level=level: a + b / 2**level, values, more)
                for drawn in weight:
                    factors = {"similarity": 1 - drawn, "regularizer": drawn}
                    values = {name: factors[name] * value for name, value in values.items()}
                if self.consistency:
                    both = found.displacement(grid), back.displacement(grid)
                    values["consistency"] = self.consistency.between(*both, grid)
                if self.overlap:
                    masks = jnp.asarray(pair.fixed_labels), jnp.asarray(pair.moving_labels)
                    values["overlap"] = self.overlap * (1 - soft_dice(*masks, _evaluated(found), grid, labels))
                return values

            metrics = jax.tree.map(jnp.mean, jax.vmap(of_pair)(jax.tree.map(jnp.asarray, batch), keys))
            return jnp.sum(jnp.stack([*metrics.values()])), metrics

        return objective


def soft_dice(fixed_labels: jax.Array, moving_labels: jax.Array, mapping: Map, grid: Grid, count: int) -> jax.Array:
    """Return the mean over labels of ``2 sum a b / (sum a + sum b)``, a the fixed and b the warped mask of a label.

    The masks of the moving image are interpolated linearly, so that the value can be differentiated. Labels that both
    images lack do not count.

    Args:
      fixed_labels: (*grid.shape), integers from 0 (background) to ``count``.
      moving_labels: likewise.
      mapping: the map from fixed to moving points.
      grid: the grid of both images.
      count: the number of labels, without the background.

    >>> from deqjax.registration.transforms import LinearMap
    >>> labels, identity = jnp.array([[0, 1, 2, 2]]), LinearMap(jnp.eye(2), jnp.zeros(2))
    >>> round(float(soft_dice(labels, jnp.array([[0, 1, 1, 2]]), identity, Grid.of((1, 4)), count=3)), 3)
    0.667
    """
    masks = lambda labels: (labels[..., None] == jnp.arange(1, count + 1)).astype(float)
    axes = tuple(range(grid.ndim))
    fixed, warped = masks(fixed_labels), warp(masks(moving_labels), mapping, grid, grid)
    total = jnp.sum(fixed + warped, axes)
    value = 2 * jnp.sum(fixed * warped, axes) / jnp.where(total > 0, total, 1)
    return jnp.sum(value) / jnp.maximum(jnp.sum(total > 0), 1)


def _draw_weight(key: jax.Array) -> jax.Array:
    """Draw a number from 0 to 1, in a fifth of the cases 0 or 1."""
    return jnp.clip(jax.random.uniform(key, (), minval=-0.125, maxval=1.125), 0, 1)


def _evaluated(found: Map) -> Map:
    """Return a map whose flow is computed once, and not by every use."""
    return found.exponential() if isinstance(found, VelocityMap) else found


def _field(found: Map, grid: Grid) -> tuple[jax.Array, Grid]:
    if isinstance(found, VelocityMap):
        return found.velocity, found.grid
    return (found.vectors if isinstance(found, DisplacementMap) else found.displacement(grid)), grid
