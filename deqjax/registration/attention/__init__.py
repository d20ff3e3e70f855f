"""Registration by attention: of functions of a line with random features, and of images with learned features."""

from deqjax.registration.attention.function_inverse import AttentionRegistration, FunctionInverse
from deqjax.registration.attention.image_attention import ImageAttention, register_by_attention
from deqjax.registration.attention.objective import AttentionObjective
from deqjax.registration.attention.pairs import checked_images, pair_at
from deqjax.registration.attention.training import train_attention

__all__ = [
    "AttentionObjective",
    "AttentionRegistration",
    "FunctionInverse",
    "ImageAttention",
    "checked_images",
    "pair_at",
    "register_by_attention",
    "train_attention",
]
