"""Several similarities at once: of one pair of images, or of several channels."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from deqjax.registration.grid import Grid
from deqjax.registration.types import LeastSquares, Similarity


@dataclass(frozen=True)
class WeightedSum:
    """``sum_k weight_k similarity_k``. For images with channels, such as T1 and T2, similarity k compares channel k.

    Without an axis of channels, all similarities compare the same two images. The sum has a curvature if every
    similarity has one.

    Attributes:
      similarities: the terms.
      weights: one weight for each term; 1 for each by default.

    Raises:
      ValueError: if there is no similarity, the number of weights differs, or a weight is negative or not finite.

    >>> from deqjax.registration.similarities import MSE, NCC
    >>> fixed, warped = jnp.zeros((4, 4, 2)), jnp.ones((4, 4, 2)) * jnp.array([1.0, 2.0])
    >>> WeightedSum((MSE(), MSE()), (1.0, 0.5))(fixed, warped, jnp.ones((4, 4)), Grid.of((4, 4)))
    Array(3., dtype=float32)
    """

    similarities: tuple[Similarity, ...]
    weights: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not self.weights:
            object.__setattr__(self, "weights", (1.0,) * len(self.similarities))
        valid = all(np.isfinite(weight) and weight >= 0 for weight in self.weights)
        if not self.similarities or len(self.similarities) != len(self.weights) or not valid:
            raise ValueError(
                f"{len(self.similarities)} similarities with the weights {self.weights}: give one weight for each, "
                "finite and not below 0"
            )

    def __call__(self, fixed: jax.Array, warped: jax.Array, mask: jax.Array, grid: Grid) -> jax.Array:
        values = [
            weight * similarity(self._channel(fixed, k, grid), self._channel(warped, k, grid), mask, grid)
            for k, (similarity, weight) in enumerate(zip(self.similarities, self.weights, strict=True))
        ]
        return jnp.sum(jnp.stack(values))

    def curvature(self, fixed: jax.Array, warped: jax.Array, mask: jax.Array, grid: Grid) -> jax.Array:
        """Return the second derivatives, in the shape of the images."""
        values = []
        for k, (similarity, weight) in enumerate(zip(self.similarities, self.weights, strict=True)):
            assert isinstance(similarity, LeastSquares)
            images = self._channel(fixed, k, grid), self._channel(warped, k, grid)
            values.append(weight * similarity.curvature(*images, mask, grid))
        return jnp.stack(values, axis=-1) if fixed.ndim > grid.ndim else sum(values, start=jnp.zeros(grid.shape))

    def _channel(self, image: jax.Array, k: int, grid: Grid) -> jax.Array:
        return image[..., k] if image.ndim > grid.ndim else image
