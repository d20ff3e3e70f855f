"""Losses for training: each is a function ``(image, target) -> scalar`` and a setting that a config names.

A setting is called as ``loss(image, target, params)`` with ``params = loss.init()``, a dict that is empty for a loss
without learned parameters. Losses of k-space are functions without a setting.
"""

from deqjax.losses.kspace import kspace_l1_l2, kspace_smooth_l1, weighted_l2
from deqjax.losses.perpendicular_loss import Perpendicular, PerpendicularSSIM, perpendicular, perpendicular_ssim
from deqjax.losses.pixelwise import L1, MSE, l1, mse
from deqjax.losses.structural_similarity import SSIMLoss, ssim_loss

__all__ = [
    "L1",
    "MSE",
    "Perpendicular",
    "PerpendicularSSIM",
    "SSIMLoss",
    "kspace_l1_l2",
    "kspace_smooth_l1",
    "l1",
    "mse",
    "perpendicular",
    "perpendicular_ssim",
    "ssim_loss",
    "weighted_l2",
]
