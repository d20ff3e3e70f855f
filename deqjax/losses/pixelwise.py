"""Pixelwise losses: mean absolute error and mean squared error."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from deqjax.metrics.volumes import check_same_shape
from deqjax.types import Params


def l1(image: ArrayLike, target: ArrayLike) -> jax.Array:
    """Return the mean absolute error ``mean(|image - target|)`` over all pixels, real or complex.

    The magnitude is that of the complex difference, so a common rotation of both phases changes nothing. The gradient
    is zero where image and target are equal.

    Args:
        image: (y, x) or (batch, y, x), real or complex.
        target: the reference, same shape and unit.

    Returns:
        A real scalar.

    Raises:
        ValueError: The shapes differ.

    >>> float(l1(jnp.array([3 + 4j, 0]), jnp.zeros(2)))
    2.5
    """
    image, target = jnp.asarray(image), jnp.asarray(target)
    check_same_shape(image, target)
    return jnp.mean(jnp.abs(image - target))


def mse(image: ArrayLike, target: ArrayLike) -> jax.Array:
    """Return the mean squared error ``mean(|image - target|^2)`` over all pixels, real or complex.

    Gilton, Ongie, Willett 2021, Deep equilibrium architectures for inverse problems in imaging, train with this loss.

    Args:
        image: (y, x) or (batch, y, x), real or complex.
        target: the reference, same shape and unit.

    Returns:
        A real scalar.

    Raises:
        ValueError: The shapes differ.

    >>> float(mse(jnp.array([3 + 4j, 0]), jnp.zeros(2)))
    12.5
    """
    image, target = jnp.asarray(image), jnp.asarray(target)
    check_same_shape(image, target)
    error = image - target
    return jnp.mean(error.real**2 + error.imag**2)


@dataclass(frozen=True)
class L1:
    """The setting of `l1`. It has no options and no learned parameters.

    >>> float(L1()(jnp.array([3 + 4j, 0]), jnp.zeros(2)))
    2.5
    """

    def init(self) -> Params:
        """Return the learned parameters: none."""
        return {}

    def __call__(self, image: ArrayLike, target: ArrayLike, params: Params | None = None) -> jax.Array:
        """Return ``l1(image, target)``; ``params`` is not used."""
        return l1(image, target)


@dataclass(frozen=True)
class MSE:
    """The setting of `mse`. It has no options and no learned parameters.

    >>> float(MSE()(jnp.array([3 + 4j, 0]), jnp.zeros(2)))
    12.5
    """

    def init(self) -> Params:
        """Return the learned parameters: none."""
        return {}

    def __call__(self, image: ArrayLike, target: ArrayLike, params: Params | None = None) -> jax.Array:
        """Return ``mse(image, target)``; ``params`` is not used."""
        return mse(image, target)
