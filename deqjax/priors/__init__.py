"""Classical regularisers: the norm of a linear transform of the image."""

from deqjax.priors.total_variation import TotalVariation
from deqjax.priors.wavelet import Wavelet

__all__ = ["TotalVariation", "Wavelet"]
