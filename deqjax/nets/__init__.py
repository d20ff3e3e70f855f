"""Denoising networks in Flax linen, of which some have a proved Lipschitz constant, and bounds on convolutions."""

from deqjax.nets.convex import ConvexPotential, ConvexRidge
from deqjax.nets.convolution import convolve
from deqjax.nets.dncnn import DnCNN
from deqjax.nets.lipschitz import Averaged, LipschitzDnCNN
from deqjax.nets.multiscale import MultiScaleUNet
from deqjax.nets.spectral_norm import bound_norms, init_spectral, norm_bounds, normalise, operator_norm_bound
from deqjax.nets.unet import UNet

__all__ = [
    "Averaged",
    "ConvexPotential",
    "ConvexRidge",
    "DnCNN",
    "LipschitzDnCNN",
    "MultiScaleUNet",
    "UNet",
    "bound_norms",
    "convolve",
    "init_spectral",
    "norm_bounds",
    "normalise",
    "operator_norm_bound",
]
