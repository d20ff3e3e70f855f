"""Registration: find the map that takes points of the fixed image to points of the moving image, in world mm."""

from deqjax.registration import (
    learning,
    measures,
    nets,
    objectives,
    optimizers,
    populations,
    regularizers,
    similarities,
    stages,
    transforms,
)
from deqjax.registration.attention import AttentionRegistration, FunctionInverse
from deqjax.registration.field_uncertainty import field_deviation
from deqjax.registration.files import read_displacement, read_image, write_displacement, write_image
from deqjax.registration.grid import Grid
from deqjax.registration.initial_maps import align_axes, align_centres, multi_start
from deqjax.registration.interpolation import interpolate
from deqjax.registration.landmarks import Landmarks
from deqjax.registration.multiresolution import Registration
from deqjax.registration.nets import AffineNet, FeatureDemons, ImageAttention, LearnedDemons, PyramidNet, VoxelMorph
from deqjax.registration.network_maps import register_by_network
from deqjax.registration.objectives import SyntheticWarps, Unsupervised
from deqjax.registration.registering import register, register_pairs
from deqjax.registration.symmetric_demons import demons
from deqjax.registration.trained_networks import TrainedNetwork, load_network, models
from deqjax.registration.transform_files import read_transform, write_transform
from deqjax.registration.warping import splat, warp, warp_labels

__all__ = [
    "AffineNet",
    "AttentionRegistration",
    "FeatureDemons",
    "FunctionInverse",
    "Grid",
    "ImageAttention",
    "Landmarks",
    "LearnedDemons",
    "PyramidNet",
    "Registration",
    "SyntheticWarps",
    "TrainedNetwork",
    "Unsupervised",
    "VoxelMorph",
    "align_axes",
    "align_centres",
    "demons",
    "field_deviation",
    "interpolate",
    "learning",
    "load_network",
    "measures",
    "models",
    "multi_start",
    "nets",
    "objectives",
    "optimizers",
    "populations",
    "read_displacement",
    "read_image",
    "read_transform",
    "register",
    "register_by_network",
    "register_pairs",
    "regularizers",
    "similarities",
    "splat",
    "stages",
    "transforms",
    "warp",
    "warp_labels",
    "write_displacement",
    "write_image",
    "write_transform",
]
