"""Means, variances and covariance of two images in a sliding window, without loss of precision in float32."""

from collections.abc import Iterable
from functools import reduce
from operator import add

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

Weights = tuple[float, ...]
"""The weights of a separable window, the same along y and x; they sum to one."""


def window_mean(volume: jax.Array, weights: Weights) -> jax.Array:
    """Return the mean of (slice, y, x) in the window, at its 'valid' positions: y and x shrink by ``len(weights) - 1``.

    >>> window_mean(jnp.array([[[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]]]), (0.5, 0.5))
    Array([[[1.5, 2.5]]], dtype=float32)
    """
    return _average(_average(volume, weights, 1), weights, 2)


def window_moments(first: jax.Array, second: jax.Array, weights: Weights) -> tuple[jax.Array, ...]:
    """Return both means, both variances and the covariance in the window, each of the shape of `window_mean`.

    ``Cov = E_x[Cov_y] + Cov_x[E_y]`` (law of total covariance), where each part is a sum of products of deviations. The
    usual ``E[ab] - E[a] E[b]`` loses in float32 the small variances on which SSIM and VIF depend.

    >>> image = jnp.array([[[1000.0, 1000.0], [1000.0, 1001.0]]])
    >>> [float(moment[0, 0, 0]) for moment in window_moments(image, image, (0.5, 0.5))]
    [1000.25, 1000.25, 0.1875, 0.1875, 0.1875]
    """
    first_y, second_y, *within = _moments_along(first, second, weights, 1)
    mean_first, mean_second, *between = _moments_along(first_y, second_y, weights, 2)
    covariances = (_average(w, weights, 2) + b for w, b in zip(within, between, strict=True))
    return mean_first, mean_second, *covariances


def _moments_along(first: jax.Array, second: jax.Array, weights: Weights, axis: int) -> tuple[jax.Array, ...]:
    means = [_average(volume, weights, axis) for volume in (first, second)]
    a, b = (
        [lax.slice_in_dim(volume, i, i + mean.shape[axis], axis=axis) - mean for i in range(len(weights))]
        for volume, mean in zip((first, second), means, strict=True)
    )

    def covariance(left: Iterable[jax.Array], right: Iterable[jax.Array]) -> jax.Array:
        return reduce(add, (w * p * q for w, p, q in zip(weights, left, right, strict=True)))

    return *means, covariance(a, a), covariance(b, b), covariance(a, b)


def _average(volume: jax.Array, weights: Weights, axis: int) -> jax.Array:
    # The gradient of a product with a band matrix is a product too, four times as fast as that of a sum of slices.
    size = volume.shape[axis]
    band = sum(w * np.eye(size - len(weights) + 1, size, offset) for offset, w in enumerate(weights))
    formula = "ij,sjk->sik" if axis == 1 else "ij,skj->ski"
    return jnp.einsum(formula, jnp.asarray(band, volume.dtype), volume, precision=lax.Precision.HIGHEST)
