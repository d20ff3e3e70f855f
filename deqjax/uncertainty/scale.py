"""The learned scale: the expected size of the error of every pixel, from what was computed beside the image."""

from collections.abc import Mapping
from dataclasses import dataclass, fields

import jax
import jax.numpy as jnp
import numpy as np

from deqjax.physics.fourier import filter_frequencies
from deqjax.uncertainty.evidence import Evidence

FLOOR = 1e-3
"""Added to every quantity before its logarithm, relative to the energy scale of the image."""

RIDGE = 1e-4
"""The weight of the squared coefficients (of features with unit variance) in the fit."""


NEWTON_STEPS = 30
"""The number of steps of the fit. Each one is halved until the loss does not grow."""


@dataclass(frozen=True)
class ErrorScale:
    """A log-linear model of the expected error, ``u = s exp(constant + sum_k c_k log(q_k / s + FLOOR))``.

    s is the energy scale of the zero-filled image, so that u has the units of the image and is multiplied by c with the
    k-space. The features q_k are real images that are smoothed by a Gaussian, whose standard deviation in pixels is a
    part of their names; those that end in "level" are the mean of ``log(q / s + FLOOR)`` over the image. Each field is
    a coefficient.

    Attributes:
      constant: the intercept.
      noise_2: the deviation by measurement noise, from few probes.
      resampling_1: the deviation over reconstructions from fewer lines.
      resampling_4: the same, smoother.
      change_1: ``|image - zero_filled|``.
      change_4: the same, smoother.
      gradient_1: the gradient magnitude of ``|image|``.
      gradient_4: the same, smoother.
      magnitude_1: ``|image|``.
      magnitude_4: the same, smoother.
      resampling_level: its mean over the image.
      change_level: its mean over the image.

    >>> ErrorScale(constant=-3.0, resampling_1=1.0).resampling_1
    1.0
    """

    constant: float = 0.0
    noise_2: float = 0.0
    resampling_1: float = 0.0
    resampling_4: float = 0.0
    change_1: float = 0.0
    change_4: float = 0.0
    gradient_1: float = 0.0
    gradient_4: float = 0.0
    magnitude_1: float = 0.0
    magnitude_4: float = 0.0
    resampling_level: float = 0.0
    change_level: float = 0.0

    def __call__(self, evidence: Evidence) -> np.ndarray:
        """Return the expected error of the magnitude of every pixel, (batch, y, x), in the units of the image.

        It is 0 for an image of which nothing was measured.
        """
        found = features(evidence)
        coefficients = {name: getattr(self, name) for name in found}
        exponent = self.constant + sum(coefficients[name] * np.asarray(values) for name, values in found.items())
        return np.asarray(evidence.scale) * np.exp(exponent)


@jax.jit
def features(evidence: Evidence) -> dict[str, jax.Array]:
    """Return the logarithms that :class:`ErrorScale` combines, by name, (batch, y, x) or (batch, 1, 1)."""
    magnitude = jnp.abs(evidence.image)
    quantities = {
        "noise": evidence.noise,
        "resampling": evidence.resampling,
        "change": jnp.abs(evidence.image - evidence.zero_filled),
        "gradient": jnp.hypot(*jnp.gradient(magnitude, axis=(1, 2))),
        "magnitude": magnitude,
    }
    unit = jnp.where(evidence.scale > 0, evidence.scale, 1)
    found = {}
    for entry in fields(ErrorScale)[1:]:
        name, _, width = entry.name.partition("_")
        relative = quantities[name] / unit
        if width == "level":
            found[entry.name] = jnp.mean(jnp.log(relative + FLOOR), axis=(1, 2), keepdims=True)
        else:
            found[entry.name] = jnp.log(smooth(relative, float(width)) + FLOOR)
    return found


def smooth(image: jax.Array, width: float) -> jax.Array:
    """Smooth real images (..., y, x) that are not negative by a Gaussian of a standard deviation in pixels.

    >>> [round(float(value), 3) for value in smooth(jnp.zeros((9, 9)).at[4, 4].set(1.0), 1.0)[4, 3:6]]
    [0.097, 0.159, 0.097]
    """
    y, x = ((np.arange(size) - size // 2) / size for size in image.shape[-2:])
    weight = np.exp(-2 * (np.pi * width) ** 2 * (y[:, None] ** 2 + x**2))
    return jnp.maximum(filter_frequencies(image + 0j, jnp.asarray(weight, image.dtype)).real, 0)


def fit_scale(examples: Mapping[str, np.ndarray], error: np.ndarray) -> ErrorScale:
    """Fit the scale to known errors, by the likelihood of the Laplace distribution of mean magnitude u.

    It minimises the mean of ``|e| / u + log u`` over all pixels, which is convex in the coefficients and smallest where
    u is the expected ``|e|``. Newton's method finds the minimum.

    Args:
      examples: the features of pixels by name, each (n,), see :func:`features`.
      error: the errors of their magnitudes relative to the energy scale of their images, (n,), not negative.

    Returns:
      The scale.

    Raises:
      ValueError: a feature is missing, or the lengths differ.

    >>> rng = np.random.default_rng(0)
    >>> examples = {entry.name: rng.normal(size=4000) for entry in fields(ErrorScale)[1:]}
    >>> fitted = fit_scale(examples, rng.exponential(np.exp(-2 + 0.5 * examples["change_1"])))
    >>> round(fitted.constant, 1), round(fitted.change_1, 1), abs(round(fitted.noise_2, 1))
    (-2.0, 0.5, 0.0)
    """
    names = [entry.name for entry in fields(ErrorScale)[1:]]
    shapes = {name: np.shape(examples.get(name, np.zeros(0))) for name in names}
    if set(shapes.values()) != {np.shape(error)} or np.ndim(error) != 1:
        raise ValueError(f"every feature must have the shape {np.shape(error)} of the errors; they have {shapes}")
    table = np.stack([examples[name] for name in names], axis=1).astype(float)
    mean, spread = table.mean(axis=0), table.std(axis=0)
    spread = np.where(spread > 0, spread, 1)
    table = np.concatenate([np.ones((len(table), 1)), (table - mean) / spread], axis=1)
    weight = RIDGE * np.r_[0, np.ones(len(names))]

    def ratio_and_loss(coefficients: np.ndarray) -> tuple[np.ndarray, float]:
        exponent = table @ coefficients
        ratio = error * np.exp(-exponent)
        return ratio, float(np.mean(ratio + exponent) + weight @ coefficients**2)

    found = np.zeros(table.shape[1])
    found[0] = np.log(np.mean(error) + np.finfo(float).tiny)
    ratio, loss = ratio_and_loss(found)
    for _ in range(NEWTON_STEPS):
        gradient = (1 - ratio) @ table / len(table) + 2 * weight * found
        hessian = (table * ratio[:, None]).T @ table / len(table) + 2 * np.diag(weight)
        step = np.linalg.solve(hessian + 1e-12 * np.eye(len(found)), gradient)
        while (trial := ratio_and_loss(found - step))[1] > loss:
            step = step / 2
        found, (ratio, loss) = found - step, trial
    slopes = found[1:] / spread
    constant = found[0] - slopes @ mean
    return ErrorScale(float(constant), **{name: float(slope) for name, slope in zip(names, slopes)})
