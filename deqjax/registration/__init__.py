"""Registration: find the map that takes fixed points to moving points, in world millimetres."""

from deqjax.registration import measures, optimisers, regularisers, similarities, transforms
from deqjax.registration.attention import AttentionRegistration, FunctionInverse
from deqjax.registration.coarse_to_fine import Registration
from deqjax.registration.demons import demons
from deqjax.registration.grid import Grid
from deqjax.registration.moments import align_axes, align_centres
from deqjax.registration.multi_start import multi_start
from deqjax.registration.nifti import read_displacement, read_image, write_displacement, write_image
from deqjax.registration.register import register
from deqjax.registration.register_pairs import register_pairs
from deqjax.registration.sample import sample
from deqjax.registration.splat import splat
from deqjax.registration.warp import warp, warp_labels

__all__ = [
    "AttentionRegistration",
    "FunctionInverse",
    "Grid",
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
    "register_pairs",
    "regularisers",
    "sample",
    "similarities",
    "splat",
    "transforms",
    "warp",
    "warp_labels",
    "write_displacement",
    "write_image",
]
