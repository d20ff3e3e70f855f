"""Classical regularisers: each a linear transform and a norm of what it gives."""

from deqjax.priors.total_variation import TotalVariation
from deqjax.priors.wavelet import Wavelet

__all__ = ["TotalVariation", "Wavelet"]
