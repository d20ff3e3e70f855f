"""Metrics of image quality: each compares one real image (y, x) or volume (slice, y, x) with its target."""

from deqjax.metrics.errors import nmse, psnr
from deqjax.metrics.structure import ssim, vif

__all__ = ["nmse", "psnr", "ssim", "vif"]
