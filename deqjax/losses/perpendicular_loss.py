"""The perpendicular loss of complex images, with squared magnitudes or with SSIM for the magnitude term."""

from dataclasses import dataclass
from math import log

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from deqjax.losses.structural_similarity import ssim_loss
from deqjax.metrics.volumes import check_same_shape
from deqjax.types import Params

SOFTENING = 1e-4
"""Relative to |target|, it softens |image| and bounds the gradient of the phase term by 1 / SOFTENING."""


def perpendicular(image: ArrayLike, target: ArrayLike, magnitude_weight: float = 1.0) -> jax.Array:
    """Return the perpendicular loss ``mean(L + magnitude_weight (|X| - |Y|)^2)`` of image X and target Y.

    ``p = |Re X Im Y - Im X Re Y| / |X|`` is the distance of Y from the line through X. ``L = p`` where
    ``Re(X conj Y) >= 0``, and ``L = 2 |Y| - p`` elsewhere, so L increases from 0 to ``2 |Y|`` as the phase error
    increases from 0 to pi. The denominator of p is ``sqrt(|X|^2 + 1e-8 |Y|^2)`` instead of ``|X|``, which keeps its
    gradient finite everywhere. L has the unit of the image and the magnitude term its square, so the images should have
    a magnitude of about 1. The loss is symmetric in magnitude and phase.

    Args:
        image: (y, x) or (batch, y, x), complex; a real image has no imaginary part.
        target: the reference, same shape and unit.
        magnitude_weight: the weight of the magnitude term; 1 in the paper.

    Returns:
        A real scalar.

    Raises:
        ValueError: The shapes differ.

    Source: Terpstra, Maspero, Sbrizzi, van den Berg 2022, ⊥-loss: a symmetric loss function for magnetic resonance
    imaging reconstruction and image registration with deep learning, Medical Image Analysis 80:102509.

    >>> [round(float(perpendicular(jnp.array([x]), jnp.array([1.0]))), 3) for x in (1, 1j, -1, 2)]
    [0.0, 1.0, 2.0, 1.0]
    """
    image, target = jnp.asarray(image), jnp.asarray(target)
    magnitude = (jnp.abs(image) - jnp.abs(target)) ** 2
    return jnp.mean(_phase_distance(image, target) + magnitude_weight * magnitude)


def perpendicular_ssim(
    image: ArrayLike, target: ArrayLike, weight: ArrayLike = 0.5, magnitude_weight: float = 1.0
) -> jax.Array:
    """Return ``weight mean(L) + (1 - weight) magnitude_weight (1 - SSIM(|X|, |Y|))``, L as in `perpendicular`.

    Args:
        image: (y, x) or (batch, y, x), complex, y and x at least 7.
        target: the reference, same shape and unit.
        weight: a scalar in [0, 1]. The caller must keep a learned weight in this range, as `PerpendicularSSIM` does
            with a sigmoid.
        magnitude_weight: the weight of the magnitude term; 1 in the paper.

    Returns:
        A real scalar.

    Raises:
        ValueError: The shapes differ, are not (y, x) or (batch, y, x), or are smaller than the 7 x 7 window.

    Source: Terpstra et al. 2022, see `perpendicular`.

    >>> ramp = jnp.outer(jnp.arange(8.0), jnp.arange(9.0)) / 56
    >>> [round(float(perpendicular_ssim(-ramp, ramp, weight)), 3) for weight in (1.0, 0.5, 0.0)]
    [0.5, 0.25, 0.0]
    """
    image, target, weight = jnp.asarray(image), jnp.asarray(target), jnp.asarray(weight)
    phase = jnp.mean(_phase_distance(image, target))
    return weight * phase + (1 - weight) * magnitude_weight * ssim_loss(image, target)


def _phase_distance(image: jax.Array, target: jax.Array) -> jax.Array:
    check_same_shape(image, target)
    energy, magnitude = image.real**2 + image.imag**2, jnp.abs(target)
    # The last term avoids 0 / 0 where both are zero; it is negligible for images of magnitude about 1.
    length = jnp.sqrt(energy + (SOFTENING * magnitude) ** 2 + 1e-30)
    across = jnp.abs(image.real * target.imag - image.imag * target.real) / length
    along = image.real * target.real + image.imag * target.imag
    return jnp.where(along >= 0, across, 2 * magnitude - across)


@dataclass(frozen=True)
class Perpendicular:
    """The setting of `perpendicular`. It has no learned parameters.

    Args:
        magnitude_weight: the weight of the magnitude term; 1 in the paper.

    >>> round(float(Perpendicular(magnitude_weight=1.3)(jnp.array([2j]), jnp.array([1.0]))), 3)
    2.3
    """

    magnitude_weight: float = 1.0

    def init(self) -> Params:
        """Return the learned parameters: none."""
        return {}

    def __call__(self, image: ArrayLike, target: ArrayLike, params: Params | None = None) -> jax.Array:
        """Return ``perpendicular(image, target, self.magnitude_weight)``; ``params`` is not used."""
        return perpendicular(image, target, self.magnitude_weight)


@dataclass(frozen=True)
class PerpendicularSSIM:
    """The setting of `perpendicular_ssim` with a learned weight, ``weight = sigmoid(params["weight_logit"])``.

    Minimising the loss moves the weight towards the smaller of the two terms. To keep the weight fixed, do not pass
    ``params`` to the optimiser.

    Args:
        weight: the initial weight, strictly between 0 and 1; it is also the weight without ``params``.
        magnitude_weight: the weight of the magnitude term; 1 in the paper.

    Raises:
        ValueError: The weight is not strictly between 0 and 1.

    >>> loss = PerpendicularSSIM(weight=0.5)
    >>> loss.init()
    {'weight_logit': Array(0., dtype=float32)}
    >>> ramp = jnp.outer(jnp.arange(8.0), jnp.arange(9.0)) / 56
    >>> round(float(loss(-ramp, ramp, loss.init())), 3)
    0.25
    """

    weight: float = 0.5
    magnitude_weight: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.weight < 1:
            raise ValueError(f"weight is {self.weight}: give an initial value strictly between 0 and 1")

    def init(self) -> Params:
        """Return the learned parameters: the logit of the weight."""
        return {"weight_logit": jnp.asarray(log(self.weight / (1 - self.weight)), float)}

    def __call__(self, image: ArrayLike, target: ArrayLike, params: Params | None = None) -> jax.Array:
        """Return the loss with the learned weight, or with the initial weight if ``params`` is None."""
        weight = self.weight if params is None else jax.nn.sigmoid(params["weight_logit"])
        return perpendicular_ssim(image, target, weight, self.magnitude_weight)
