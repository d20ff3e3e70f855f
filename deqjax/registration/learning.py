"""Learning of registration networks: the objective, and the pairs of images that each step uses."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from deqjax.pytree import operand
from deqjax.registration.grid import Grid
from deqjax.registration.inputs import checked_image
from deqjax.registration.regularizers import Diffusion
from deqjax.registration.similarities import LocalNCC
from deqjax.registration.types import Network, Regularizer, Similarity
from deqjax.registration.warping import warp
from deqjax.types import Metrics, ObjectiveFunction, Params

__all__ = ["PairBatch", "RegistrationProblem", "Unsupervised", "checked_images", "pair_at"]


class RegistrationProblem(NamedTuple):
    """What a training run learns: a network for images on one grid."""

    network: Network
    grid: Grid


@operand
class PairBatch:
    """Pairs of images, (pairs, *grid.shape) each."""

    fixed: jax.Array | np.ndarray
    moving: jax.Array | np.ndarray


@dataclass(frozen=True)
class Unsupervised:
    """The mean over pairs of ``similarity(B, A o Xi) + regularizer(Xi - id)``: no displacement needs to be known.

    Attributes:
      similarity: how much the fixed image B and the warped moving image A differ.
      regularizer: penalty of the displacement, in mm.

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

    def bind(self, problem: RegistrationProblem) -> ObjectiveFunction:
        """Make the function of the parameters ``{"network": ...}``."""
        network, grid = problem

        def objective(params: Params, _: Params, batch: PairBatch, __: Any, ___: Any) -> tuple[jax.Array, Metrics]:
            def of_pair(fixed: jax.Array, moving: jax.Array) -> tuple[jax.Array, jax.Array]:
                found = network.apply(params["network"], fixed, moving, grid)
                warped = warp(moving, found, grid, grid)
                difference = self.similarity(fixed, warped, jnp.ones(grid.shape), grid)
                return difference, self.regularizer(found.vectors, grid)

            difference, roughness = jax.vmap(of_pair)(jnp.asarray(batch.fixed), jnp.asarray(batch.moving))
            metrics = {"similarity": jnp.mean(difference), "regularizer": jnp.mean(roughness)}
            return jnp.mean(difference + roughness), metrics

        return objective


def checked_images(images: ArrayLike, grid: Grid | None = None) -> tuple[np.ndarray, Grid]:
    """Check images on one grid, and return them with their grid.

    Args:
      images: (n, x, y[, z]), real.
      grid: the grid of all images; None for voxels of 1 mm.

    Returns:
      The images, (n, x, y[, z]), and their grid.

    Raises:
      ValueError: if there are fewer than two images, or an image is complex, constant or not finite.

    >>> images, grid = checked_images(np.stack([np.eye(4), 1 - np.eye(4)]))
    >>> images.shape, grid.shape
    ((2, 4, 4), (4, 4))
    """
    values = np.asarray(images)
    if values.ndim < 3 or len(values) < 2:
        raise ValueError(f"images of shape {values.shape}: training needs (n, x, y[, z]) with at least two images")
    if np.iscomplexobj(values):
        raise ValueError("the images are complex: the convolutions need real images, use jnp.abs")
    for k, image in enumerate(values):
        _, grid = checked_image(f"image {k}", image, grid)
    assert grid is not None
    return values, grid


def pair_at(count: int, batch_size: int, seed: int, step: int) -> np.ndarray:
    """Draw the ordered pairs of different images of one training step.

    The result depends on the arguments alone, so training that resumes at a step uses the same pairs.

    Args:
      count: the number of images.
      batch_size: the number of pairs.
      seed: the seed of the training.
      step: the step, from 0.

    Returns:
      The indices of the fixed and the moving images, (batch_size, 2).

    >>> pair_at(count=10, batch_size=4, seed=0, step=7).shape
    (4, 2)
    """
    random = np.random.default_rng((seed, step))
    return np.stack([random.choice(count, 2, replace=False) for _ in range(batch_size)])
