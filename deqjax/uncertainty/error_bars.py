"""The error bars of a reconstruction, as ``Reconstruction.uncertainty`` holds them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax
import numpy as np

from deqjax.uncertainty.calibration import Bounds, Calibration


@dataclass(frozen=True, eq=False)
class Uncertainty:
    """Intervals and bounds with a stated coverage. Printing it says what they claim, and for whom it holds.

    Attributes:
      low: the lower end of the magnitude of every pixel, ([slice,] y, x), in the units of the k-space.
      high: the upper end.
      noise: the standard deviation of the image by measurement noise, from few probes; *estimated*.
      psnr_at_least: the lower bound on the PSNR of each slice in dB, (slice,) or a scalar.
      coverage: the fraction of the pixels of a slice that lie between low and high.
      confidence: the probability with which at least that fraction does, and with which the bound on the PSNR holds.
      claim: the same in words, and the condition under which it holds: exchangeability with the calibration slices.
      outside: the conditions in which the data differ from the calibration slices, empty if there are none.
      products: what the error bars of each slice took beside its reconstruction, in evaluations of the map and products
        with its Jacobian, (slice,) or a scalar.
    """

    low: np.ndarray
    high: np.ndarray
    noise: np.ndarray
    psnr_at_least: np.ndarray
    coverage: float
    confidence: float
    claim: str
    outside: tuple[str, ...]
    products: np.ndarray

    @property
    def width(self) -> np.ndarray:
        """The width of the interval of every pixel."""
        return self.high - self.low

    @property
    def summary(self) -> str:
        """One line: the bound on the PSNR, the coverage, and for whom it holds."""
        bounds = np.atleast_1d(self.psnr_at_least)
        where = f"of the lowest of {bounds.size} slices " if bounds.size > 1 else ""
        kept = "estimated, the data DIFFER from those" if self.outside else "proved only for slices like those"
        return (
            f"PSNR {where}at least {bounds.min():.1f} dB, {self.coverage:.0%} of the pixels between low and high "
            f"(each with probability {self.confidence:.0%}; {kept} of the calibration)"
        )

    def __str__(self) -> str:
        differ = f" The data differ from them: {'; '.join(self.outside)}." if self.outside else ""
        return f"{self.summary}\n{self.claim}{differ}"


def join_bounds(
    calibration: Calibration,
    parts: Sequence[Bounds],
    outside: tuple[str, ...],
    finish: Callable[[np.ndarray], np.ndarray],
    single: bool,
) -> Uncertainty:
    """Join the bounds of batches of slices.

    Args:
      calibration: where the bounds come from.
      parts: the bounds of consecutive slices.
      outside: see :class:`Uncertainty`.
      finish: returns complex images (slice, y, x) to the axes and the size of the input.
      single: whether the input is one slice without a slice axis.
    """
    joined = jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)
    low, high, noise = (np.abs(finish(image.astype(np.complex64))) for image in (joined.low, joined.high, joined.noise))
    psnr_at_least, products = (values[0] if single else values for values in (joined.psnr_at_least, joined.products))
    return Uncertainty(
        low=low,
        high=high,
        noise=noise,
        psnr_at_least=psnr_at_least,
        coverage=1 - calibration.alpha,
        confidence=1 - calibration.delta,
        claim=calibration.claim,
        outside=outside,
        products=products,
    )
