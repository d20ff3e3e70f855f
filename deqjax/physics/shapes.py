"""What the forward models ask of their arrays when a user builds them."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from deqjax.types import ForwardModel


def is_array(*leaves: Any) -> bool:
    """Tell whether all leaves are arrays: JAX also rebuilds operands around shapes, specs and other stand-ins.

    >>> is_array(jnp.ones(2)), is_array(None)
    (True, False)
    """
    return all(isinstance(leaf, (jax.Array, np.ndarray)) for leaf in leaves)


def check_axes(axes: str) -> None:
    """Raise a ValueError unless the axes are those of an image, a volume or a series.

    >>> check_axes("zyx")
    """
    if axes not in ("yx", "zyx", "tyx"):
        raise ValueError(f"axes must be 'yx' (images), 'zyx' (volumes) or 'tyx' (series of frames), not {axes!r}")


def axes_of(A: ForwardModel) -> str:
    """The axes of one image, a letter each: a forward model that names none has images (y, x)."""
    return getattr(A, "axes", "yx")


def encoded(axes: str) -> int:
    """How many of the last axes the scanner encodes by a Fourier transform: all but time.

    >>> encoded("yx"), encoded("zyx"), encoded("tyx")
    (2, 3, 2)
    """
    return len(axes.removeprefix("t"))


def check_mask(mask: Any) -> None:
    """Raise a ValueError unless the mask is a real array with at least the axis x.

    >>> check_mask(jnp.ones((1, 8)))
    """
    if is_array(mask) and (mask.ndim < 1 or jnp.iscomplexobj(mask)):
        raise ValueError(
            f"mask must be a real array that broadcasts against (y, x); it has shape {mask.shape} and type {mask.dtype}"
        )
