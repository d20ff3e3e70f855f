"""Denoising networks in Flax linen, and bounds on the operator norms of their convolutions."""

from deqjax.nets.convolution import convolve
from deqjax.nets.dncnn import DnCNN
from deqjax.nets.spectral_norm import certify, init_spectral, norm_bounds, normalise, operator_norm_bound
from deqjax.nets.unet import UNet

__all__ = [
    "DnCNN",
    "UNet",
    "certify",
    "convolve",
    "init_spectral",
    "norm_bounds",
    "normalise",
    "operator_norm_bound",
]
