"""Registration: find the map that takes fixed points to moving points, in world millimetres."""

from deqjax.registration import measures, optimisers, regularisers, similarities, transforms
from deqjax.registration.attention import AttentionRegistration, FunctionInverse
from deqjax.registration.coarse_to_fine import Registration
from deqjax.registration.demons import demons
from deqjax.registration.grid import Grid
from deqjax.registration.image_attention import ImageAttention, register_by_attention
from deqjax.registration.moments import align_axes, align_centres
from deqjax.registration.multi_start import multi_start
from deqjax.registration.nifti import read_displacement, read_image, write_displacement, write_image
from deqjax.registration.register import register
from deqjax.registration.register_pairs import register_pairs
from deqjax.registration.sample import sample
from deqjax.registration.splat import splat
from deqjax.registration.train_attention import train_attention
from deqjax.registration.warp import warp, warp_labels

__all__ = [
    "AttentionRegistration",
    "FunctionInverse",
    "Grid",
    "ImageAttention",
    "Registration",
    "align_axes",
    "align_centres",
    "demons",
    "measures",
    "multi_start",
    "optimisers",
    "read_displacement",
    "read_image",
    "register",
    "register_by_attention",
    "register_pairs",
    "regularisers",
    "sample",
    "similarities",
    "splat",
    "train_attention",
    "transforms",
    "warp",
    "warp_labels",
    "write_displacement",
    "write_image",
]
