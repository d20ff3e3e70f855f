"""Networks that compute the map of two images on one grid."""

from deqjax.registration.nets.affine_net import AffineNet
from deqjax.registration.nets.feature_demons import FeatureDemons
from deqjax.registration.nets.image_attention import ImageAttention
from deqjax.registration.nets.learned_demons import LearnedDemons
from deqjax.registration.nets.pyramid_net import PyramidNet
from deqjax.registration.nets.voxelmorph import VoxelMorph

__all__ = ["AffineNet", "FeatureDemons", "ImageAttention", "LearnedDemons", "PyramidNet", "VoxelMorph"]
