"""Masks of one shape and type for k-space of one shape, so that equal reconstructions compile once."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from deqjax.physics.masked_fourier import MaskedFourier
from deqjax.physics.sense import Sense
from deqjax.types import ForwardModel


def with_whole_mask(A: ForwardModel, kspace: jax.Array) -> ForwardModel:
    """Return a Cartesian forward model whose mask has the shape of the images, with the batch axis if there is one.

    Masks (x,), (1, x), (y, x) and (batch, 1, x) of any type measure the same. They would have different shapes and
    types in a compiled program, which would be compiled for each. Other forward models are returned unchanged.

    Args:
      A: the forward model.
      kspace: ([batch,] [coil,] y, x), what it measures.

    >>> A = MaskedFourier(np.array([True, False, True, True]))
    >>> whole = with_whole_mask(A, jnp.ones((3, 4, 4)) + 0j)
    >>> whole.mask.shape, whole.mask.dtype
    ((3, 4, 4), dtype('float32'))
    """
    if not isinstance(A, MaskedFourier | Sense):
        return A
    dimensions, coil = len(A.axes), int(isinstance(A, Sense))
    shape = kspace.shape[: kspace.ndim - dimensions - coil] + kspace.shape[-dimensions:]
    dtype = jnp.finfo(jax.dtypes.canonicalize_dtype(kspace.dtype)).dtype
    numpy_or_jax = np if isinstance(A.mask, np.ndarray) else jnp
    mask = numpy_or_jax.broadcast_to(A.mask, shape).astype(dtype)  # type: ignore[attr-defined]
    return dataclasses.replace(A, mask=mask)
