"""Registration by attention of functions of a line, with random features."""

from deqjax.registration.attention.function_inverse import AttentionRegistration, FunctionInverse

__all__ = ["AttentionRegistration", "FunctionInverse"]
