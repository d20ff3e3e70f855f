"""Calibrated error bars: the interval of every pixel and a lower bound on the PSNR, with a stated coverage."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from deqjax.domain import Domain
from deqjax.metrics import psnr
from deqjax.uncertainty.conformal import check_fraction, conformal_quantile, image_score
from deqjax.uncertainty.evidence import Evidence
from deqjax.uncertainty.scale import ErrorScale


class Bounds(NamedTuple):
    """What a calibration says about a batch of images."""

    low: np.ndarray
    """The lower end of the magnitude of every pixel, (batch, y, x)."""

    high: np.ndarray
    """The upper end, (batch, y, x)."""

    noise: np.ndarray
    """The standard deviation by noise, (batch, y, x); estimated."""

    psnr_at_least: np.ndarray
    """The lower bound on the PSNR of each image in dB, (batch,)."""

    products: np.ndarray
    """The evaluations of the map and the products with its Jacobian that the evidence took, (batch,)."""


@dataclass(frozen=True)
class Calibration:
    """The error bars of a model, as ``calibration.toml`` in its folder holds them.

    The interval of a pixel is ``|x| +- factor u``, where u is the learned scale. The score of a calibration image is
    the smallest factor for which at most a fraction ``alpha`` of its pixels lie outside, and the factor is the
    conformal quantile of the scores at ``1 - delta``. For a new image that is exchangeable with the calibration images,

        P(at most a fraction alpha of its pixels lies outside [low, high]) >= 1 - delta.

    The predicted PSNR is ``20 log10(max |x| / rms(u))``. With the score "predicted minus true PSNR", the bound
    ``psnr_at_least = predicted - quantile`` holds with the same probability.

    Attributes:
      calibrated_on: the data in words: anatomy, contrast, people, sampling.
      alpha: the fraction of the pixels of an image that may lie outside.
      delta: the probability with which more of them may.
      scores: of the calibration images, (n,), see :func:`deqjax.uncertainty.image_score`.
      psnr_scores: predicted minus true PSNR of the calibration images in dB, (n,).
      scale: the learned scale, which was fitted to other images.
      domain: the conditions of the calibration images.

    Raises:
      ValueError: alpha or delta is not in (0, 1), a score is NaN or missing, or there are too few of them for delta.
    """

    calibrated_on: str
    alpha: float
    delta: float
    scores: tuple[float, ...]
    psnr_scores: tuple[float, ...]
    scale: ErrorScale
    domain: Domain

    def __post_init__(self) -> None:
        check_fraction("alpha", self.alpha)
        if len(self.scores) != len(self.psnr_scores):
            raise ValueError(f"there are {len(self.scores)} scores and {len(self.psnr_scores)} psnr_scores")
        if not np.isfinite([self.factor, conformal_quantile(self.psnr_scores, self.delta)]).all():
            needed = int(np.ceil(1 / self.delta - 1 - 1e-9))
            raise ValueError(
                f"{len(self.scores)} images, or their errors, allow no finite interval at delta = {self.delta}: give "
                f"at least {needed} images"
            )

    @property
    def factor(self) -> float:
        """The factor by which the scale is multiplied."""
        return conformal_quantile(self.scores, self.delta)

    @property
    def claim(self) -> str:
        """The coverage and the condition under which it holds, in two sentences."""
        return (
            f"With a probability of {1 - self.delta:.0%}, at least {1 - self.alpha:.0%} of the pixels of a slice lie "
            f"between low and high. This is proved only for slices that are exchangeable with those of the calibration "
            f"({self.calibrated_on}), and is an estimate for other people, contrasts or sampling."
        )

    def bounds(self, evidence: Evidence) -> Bounds:
        """Compute the interval of every pixel and the bound on the PSNR of each image.

        An image of which nothing was measured is 0 with an interval of no width, and the bound on its PSNR is minus
        infinity, because nothing is known about it.
        """
        magnitude, scale = np.abs(np.asarray(evidence.image)), self.scale(evidence)
        predicted = predicted_psnr(magnitude, scale)
        half = self.factor * scale
        at_least = predicted - conformal_quantile(self.psnr_scores, self.delta)
        low, high = np.maximum(magnitude - half, 0), magnitude + half
        return Bounds(low, high, np.asarray(evidence.noise), at_least, np.asarray(evidence.products))


def predicted_psnr(magnitude: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Predict the PSNR of images from the expected errors, ``20 log10(max |x| / rms(u))``, (batch,).

    It is minus infinity where one of the two is 0.

    >>> predicted_psnr(np.full((1, 2, 2), 10.0), np.ones((1, 2, 2)))
    array([20.])
    """
    peak, size = magnitude.max(axis=(1, 2)), np.sqrt(np.mean(scale.astype(float) ** 2, axis=(1, 2)))
    known = (peak > 0) & (size > 0)
    ratio = np.where(known, peak, 1) / np.where(known, size, 1)
    return np.where(known, 20 * np.log10(ratio), -np.inf)


class Example(NamedTuple):
    """One image of known error, for a calibration."""

    evidence: Evidence
    """A batch of one image."""

    target: np.ndarray
    """The magnitude of the true image, (y, x)."""


def scores_of(example: Example, scale: ErrorScale, alpha: float) -> tuple[float, float]:
    """Return the two scores of an image: the factor that its pixels need, and predicted minus true PSNR."""
    magnitude, expected = np.abs(np.asarray(example.evidence.image)), scale(example.evidence)
    missed = predicted_psnr(magnitude, expected)[0] - float(psnr(magnitude[0], example.target))
    return image_score(np.abs(magnitude[0] - example.target), expected[0], alpha), float(missed)


def calibrate(
    calibrated_on: str, examples: Sequence[Example], scale: ErrorScale, domain: Domain, alpha: float, delta: float
) -> Calibration:
    """Make a calibration of images that neither the model nor the scale has seen.

    Args:
      calibrated_on: the data in words.
      examples: the calibration images, at least ``1 / delta - 1``.
      scale: the learned scale.
      domain: the conditions of the images.
      alpha: see :class:`Calibration`.
      delta: see :class:`Calibration`.

    Raises:
      ValueError: see :class:`Calibration`.
    """
    found = [scores_of(example, scale, alpha) for example in examples]
    scores, psnr_scores = (tuple(float(f"{value:.6g}") for value in column) for column in zip(*found))
    return Calibration(calibrated_on, alpha, delta, scores, psnr_scores, scale, domain)
