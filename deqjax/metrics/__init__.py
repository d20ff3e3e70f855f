"""Metrics of image quality: each compares one image (y, x) or volume (slice, y, x) with its target.

``phase_error`` and ``magnitude_bias`` take complex images, the others magnitudes.
"""

from deqjax.metrics.edges import hfen
from deqjax.metrics.errors import nmse, psnr
from deqjax.metrics.phase import magnitude_bias, phase_error
from deqjax.metrics.structure import ssim, vif

__all__ = ["hfen", "magnitude_bias", "nmse", "phase_error", "psnr", "ssim", "vif"]
