"""Checks of the arrays and axes from which a forward model is built."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def is_array(*leaves: Any) -> bool:
    """Tell whether all leaves are arrays.

    JAX also builds forward models whose fields are shapes, partition specs or other placeholders. A check of shapes
    must leave those alone.

    >>> is_array(jnp.ones(2)), is_array(None)
    (True, False)
    """
    return all(isinstance(leaf, (jax.Array, np.ndarray)) for leaf in leaves)


def check_axes(axes: str) -> None:
    """Check that the axes are those of an image, a volume or a series.

    Raises:
      ValueError: ``axes`` is not "yx", "zyx" or "tyx".

    >>> check_axes("zyx")
    """
    if axes not in ("yx", "zyx", "tyx"):
        raise ValueError(f"axes must be 'yx' (images), 'zyx' (volumes) or 'tyx' (series of frames), not {axes!r}")


def fourier_dimensions(axes: str) -> int:
    """Return the number of trailing axes that the scanner encodes by a Fourier transform: all axes except time.

    >>> fourier_dimensions("yx"), fourier_dimensions("zyx"), fourier_dimensions("tyx")
    (2, 3, 2)
    """
    return len(axes.removeprefix("t"))


def check_mask(mask: Any) -> None:
    """Check that a mask is a real array with at least the axis x.

    Raises:
      ValueError: the mask is complex or has no axis.

    >>> check_mask(jnp.ones((1, 8)))
    """
    if is_array(mask) and (mask.ndim < 1 or jnp.iscomplexobj(mask)):
        raise ValueError(
            f"mask must be a real array that broadcasts against (y, x); it has shape {mask.shape} and type {mask.dtype}"
        )
