"""Networks that compute the map of two images on one grid."""

from deqjax.registration.nets.image_attention import ImageAttention, register_by_attention

__all__ = ["ImageAttention", "register_by_attention"]
