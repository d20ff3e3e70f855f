"""Learning from synthetic warps: one image, deformed by a random map that the network has to find."""

from dataclasses import dataclass, field
from typing import Any, Literal

import jax
import jax.numpy as jnp

from deqjax.registration.grid import Grid
from deqjax.registration.learning import PairBatch, RegistrationProblem
from deqjax.registration.regularizers import Diffusion
from deqjax.registration.similarities import PerpendicularField
from deqjax.registration.transforms import DisplacementMap, Velocity, VelocityMap
from deqjax.registration.types import Regularizer
from deqjax.registration.warping import warp
from deqjax.types import Metrics, ObjectiveFunction, Params


@dataclass(frozen=True)
class SyntheticWarps:
    """A loss of the found and the true displacement, by default their mean distance, plus a penalty of the found one.

    The fixed image of each pair of the batch is the moving image A. The network gets it and ``B = A o Xi``, Xi the flow
    of a random velocity, so that ``Xi - id`` is the displacement to find. B then gets another gain, another gamma and
    noise. All means are over the voxels in which B is above ``foreground`` of its largest value.

    The metrics have the mean distance and the mean length of the true displacement in mm (``distance``, ``size``), and
    ``length_bias``, the mean length of the found displacement over that of the true one, minus 1.

    Attributes:
      loss: ``distance`` is ``mean |found - true|`` in mm, ``squared`` is its square ``mean |found - true|^2``, and
        ``perpendicular`` is :class:`~deqjax.registration.similarities.PerpendicularField` of both displacements,
        divided by the mean length of the true one.
      size: the range of the mean length of the velocity, in mm.
      smoothing: the standard deviation of the Gaussian that smooths the velocity, in mm.
      contrast: the gain and the gamma of B are drawn from ``1 - contrast`` to ``1 + contrast``.
      noise: the standard deviation of the noise, relative to the largest value of B.
      foreground: the threshold of the foreground, relative to the largest value.
      regularizer: the penalty of the found displacement.

    Source: K. Eppenhof, J. Pluim, "Pulmonary CT registration through supervised learning with convolutional neural
    networks", IEEE Trans. Med. Imaging 38:1097, 2019, for learning from random deformations.

    >>> from deqjax.registration.nets import VoxelMorph
    >>> grid, network = Grid.of((16, 16)), VoxelMorph(encoder=(4,), decoder=(4,), last=())
    >>> images = grid.points()[None, ..., 0]
    >>> params = {"network": network.init(jax.random.key(0), images[0], images[0], grid)}
    >>> objective = SyntheticWarps().bind(RegistrationProblem(network, grid))
    >>> keys = jax.random.split(jax.random.key(0), 1)
    >>> sorted(jax.eval_shape(objective, params, {}, PairBatch(images, images), keys, None)[1])
    ['distance', 'length_bias', 'regularizer', 'size']
    """

    loss: Literal["distance", "squared", "perpendicular"] = "distance"
    size: tuple[float, float] = (3.0, 6.0)
    smoothing: float = 10.0
    contrast: float = 0.2
    noise: float = 0.01
    foreground: float = 0.05
    regularizer: Regularizer = field(default_factory=lambda: Diffusion(weight=0.1))

    def __post_init__(self) -> None:
        if not 0 <= self.size[0] <= self.size[1]:
            raise ValueError(f"size must be a range of lengths in mm, from 0 on; it is {self.size}")

    def bind(self, problem: RegistrationProblem) -> ObjectiveFunction:
        """Make the function of the parameters ``{"network": ...}``."""
        network, grid = problem.network, problem.grid

        def objective(
            params: Params, _: Params, batch: PairBatch, keys: jax.Array, __: Any
        ) -> tuple[jax.Array, Metrics]:
            def of_image(image: jax.Array, key: jax.Array) -> tuple[jax.Array, Metrics]:
                map_key, contrast_key = jax.random.split(key)
                true_map = self.draw_map(map_key, grid)
                warped = warp(image, true_map, grid, grid)
                fixed = self.draw_contrast(contrast_key, warped)
                true = true_map.displacement(grid)
                found = network.apply(params["network"], fixed, image, grid).displacement(grid)
                inside = (warped > self.foreground * jnp.max(warped)).astype(float)
                mean = lambda values: jnp.sum(inside * values) / jnp.maximum(jnp.sum(inside), 1)
                squared = jnp.sum((found - true) ** 2, -1)
                size = jnp.maximum(mean(jnp.linalg.norm(true, axis=-1)), 1e-6)
                metrics = {
                    "distance": mean(jnp.sqrt(squared + 1e-6)),
                    "length_bias": mean(jnp.sqrt(jnp.sum(found**2, -1) + 1e-6)) / size - 1,
                    "regularizer": self.regularizer(found, grid),
                    "size": size,
                }
                if self.loss == "distance":
                    return metrics["distance"], metrics
                if self.loss == "squared":
                    return mean(squared), metrics
                return PerpendicularField()(true / size, found / size, inside, grid), metrics

            values, metrics = jax.tree.map(jnp.mean, jax.vmap(of_image)(jnp.asarray(batch.fixed), keys))
            return values + metrics["regularizer"], metrics

        return objective

    def draw_map(self, key: jax.Array, grid: Grid) -> DisplacementMap:
        """Draw a random map: the flow of a smooth velocity, whose mean length is drawn from ``size``."""
        size_key, noise_key = jax.random.split(key)
        noise = jax.random.normal(noise_key, (*grid.shape, grid.ndim))
        velocity = Velocity(self.smoothing).map(noise, grid).velocity
        size = jax.random.uniform(size_key, (), minval=self.size[0], maxval=self.size[1])
        velocity = velocity * size / jnp.mean(jnp.linalg.norm(velocity, axis=-1))
        return VelocityMap(velocity, grid).exponential()

    def draw_contrast(self, key: jax.Array, image: jax.Array) -> jax.Array:
        """Give an image another gain, another gamma and noise; values below 0 become 0."""
        gain_key, gamma_key, noise_key = jax.random.split(key, 3)
        factor = lambda key: jax.random.uniform(key, (), minval=1 - self.contrast, maxval=1 + self.contrast)
        largest = jnp.maximum(jnp.max(image), jnp.finfo(image.dtype).tiny)
        changed = factor(gain_key) * jnp.maximum(image / largest, 1e-6) ** factor(gamma_key)
        return largest * (changed + self.noise * jax.random.normal(noise_key, image.shape))
