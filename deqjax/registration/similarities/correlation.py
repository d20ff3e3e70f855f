"""Normalised cross-correlation, over the mask and in a window around every voxel."""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from deqjax.registration.grid import Grid
from deqjax.registration.similarities.intensity import standardised
from deqjax.registration.smoothing import smooth
from deqjax.scaling import PowerOfTwo


@dataclass(frozen=True)
class NCC:
    """``1 - cov(f, w) / sqrt(var(f) var(w))`` over the mask, in [0, 2]; it is invariant to gain and offset.

    The curvature is that of the same value written as ``|f^ - w^|^2 / 2``, f^ and w^ centred and of unit norm.

    >>> image = jnp.arange(4.0).reshape(2, 2)
    >>> bool(NCC()(image, 3 * image + 1, jnp.ones((2, 2)), Grid.of((2, 2))) < 1e-6)
    True
    """

    def __call__(self, fixed: jax.Array, warped: jax.Array, mask: jax.Array, grid: Grid) -> jax.Array:
        f, w = _inside(fixed, mask)[0], _inside(warped, mask)[0]
        energies = jnp.sum(mask * f**2) * jnp.sum(mask * w**2)
        return 1 - jnp.sum(mask * f * w) / jnp.sqrt(energies + 1e-12)

    def curvature(self, fixed: jax.Array, warped: jax.Array, mask: jax.Array, grid: Grid) -> jax.Array:
        w, scale = _inside(warped, mask)
        return scale.apply(scale.apply(mask / (jnp.sum(mask * w**2) + 1e-6)))


@dataclass(frozen=True)
class LocalNCC:
    """The mean over the mask of ``1 - cov / sqrt(var var)`` in Gaussian windows.

    It is invariant to smooth changes of intensity. The moments of a window are computed from the voxels of the mask
    in it.

    Attributes:
      width: the standard deviation of the window, in mm.
      floor: a constant added to each local variance, relative to the variance over the mask, so that noise alone is
        not matched.

    Raises:
      ValueError: the width is not above 0.

    Source: B. Avants et al., "Symmetric diffeomorphic image registration with cross-correlation", Med. Image Anal.
    12:26, 2008, equation 4, here not squared and with Gaussian windows (P. Cachier et al. 2003).

    >>> image = jnp.arange(16.0).reshape(4, 4) ** 2
    >>> bool(LocalNCC(width=2.0)(image, 3 * image + 1, jnp.ones((4, 4)), Grid.of((4, 4))) < 0.01)
    True
    """

    width: float = 6.0
    floor: float = 1e-3

    def __post_init__(self) -> None:
        if not self.width > 0:
            raise ValueError(f"LocalNCC needs a width above 0 mm; it is {self.width}")

    def __call__(self, fixed: jax.Array, warped: jax.Array, mask: jax.Array, grid: Grid) -> jax.Array:
        return 1 - jnp.sum(mask * self.correlation(fixed, warped, mask, grid)) / jnp.sum(mask)

    def correlation(self, fixed: jax.Array, warped: jax.Array, mask: jax.Array, grid: Grid) -> jax.Array:
        """Return the correlation in the window around every voxel, (*grid.shape), in [-1, 1]."""
        f, w, mean = _inside(fixed, mask)[0], _inside(warped, mask)[0], self._window(mask, grid)
        covariance = mean(f * w) - mean(f) * mean(w)
        return covariance / jnp.sqrt(self._variance(f, mask, mean) * self._variance(w, mask, mean))

    def curvature(self, fixed: jax.Array, warped: jax.Array, mask: jax.Array, grid: Grid) -> jax.Array:
        (w, scale), mean = _inside(warped, mask), self._window(mask, grid)
        return scale.apply(scale.apply(mask * mean(1 / self._variance(w, mask, mean)) / jnp.sum(mask)))

    def _window(self, mask: jax.Array, grid: Grid) -> Callable[[jax.Array], jax.Array]:
        """Return the function that computes the mean of an image in the window around every voxel."""
        sigma = self.width / grid.spacing()
        weight = smooth(mask, sigma)
        weight = jnp.where(weight > 1e-6, weight, 1)
        return lambda image: smooth(mask * image, sigma) / weight

    def _variance(self, image: jax.Array, mask: jax.Array, mean: Callable[[jax.Array], jax.Array]) -> jax.Array:
        overall = jnp.sum(mask * image**2) / jnp.sum(mask)
        return jnp.maximum(mean(image**2) - mean(image) ** 2, 0) + self.floor * overall + 1e-12


def _inside(image: jax.Array, mask: jax.Array) -> tuple[jax.Array, PowerOfTwo]:
    """Standardise an image, and set it to 0 outside the mask."""
    image, scale = standardised(image, mask)
    return jnp.where(mask > 0, image, 0), scale
