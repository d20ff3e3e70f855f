"""Checks of the arrays and axes from which a forward model is built."""

import warnings
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


def is_concrete(*leaves: Any) -> bool:
    """Tell whether all leaves are arrays whose values can be read, which tracers inside ``jit`` and ``vmap`` are not.

    An array that is spread over several hosts cannot be read either.

    >>> is_concrete(jnp.ones(2)), jax.eval_shape(lambda x: x + is_concrete(x), 1.0).shape
    (True, ())
    """
    return is_array(*leaves) and all(
        isinstance(leaf, np.ndarray) or (not isinstance(leaf, jax.core.Tracer) and leaf.is_fully_addressable)
        for leaf in leaves
    )


def known_to_jax(array: np.ndarray) -> np.ndarray:
    """Convert an array of NumPy of another byte order, or of more than 64 bits a number, to a type that JAX has.

    Raises:
      ValueError: it is a masked array.

    >>> known_to_jax(np.ones(2, ">c8")).dtype, known_to_jax(np.ones(2, np.longdouble)).dtype
    (dtype('complex64'), dtype('float64'))
    """
    if isinstance(array, np.ma.MaskedArray):
        raise ValueError(f"a masked array of NumPy of shape {array.shape}: give array.filled(0), or another value")
    wide = {"f": np.dtype(np.float64), "c": np.dtype(np.complex128)}.get(array.dtype.kind)
    if wide is not None and array.dtype.itemsize > wide.itemsize:
        return array.astype(wide)
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def zero_one_mask(mask: Any, name: str = "mask") -> Any:
    """Check that a mask holds only 0 and 1, and return it as a real floating-point array.

    A mask of bools or integers becomes float32. The values of a tracer, which exists only inside ``jit``, are not
    checked.

    Args:
      mask: an array of JAX or NumPy, or a list, with at least the axis x. Any other object is returned as it is.
      name: what the mask is called in the error message.

    Returns:
      The mask, an array of the same shape, of NumPy for a list.

    Raises:
      ValueError: the mask is complex or has no axis, or holds NaN or any other value than 0 and 1.

    >>> zero_one_mask(np.array([[True, False]]))
    array([[1., 0.]], dtype=float32)
    >>> zero_one_mask(np.array([[255, 0]], np.uint8))
    Traceback (most recent call last):
    ValueError: mask must hold only 0 (not sampled) and 1 (sampled), but its values run from 0 to 255: divide it by 255
    """
    if isinstance(mask, list):
        mask = np.array(mask)
    if not is_array(mask):
        return mask
    if isinstance(mask, np.ndarray):
        mask = known_to_jax(mask)
    if mask.ndim < 1 or (mask.dtype.kind not in "biuf" and not jnp.issubdtype(mask.dtype, jnp.floating)):
        raise ValueError(
            f"{name} must be a real array that broadcasts against (y, x); it has shape {mask.shape} and type "
            f"{mask.dtype}"
        )
    if is_concrete(mask):
        values = np.asarray(mask)
        if not ((values == 0) | (values == 1)).all():
            raise ValueError(f"{name} must hold only 0 (not sampled) and 1 (sampled), but {_other_values(values)}")
    return mask.astype(np.float32) if mask.dtype.kind in "biu" else mask


def _other_values(values: np.ndarray) -> str:
    """Describe a mask that holds other values than 0 and 1, and say what to do."""
    values = values.astype(np.float64)
    if not np.isfinite(values).all():
        return "it holds NaN or infinity: set every entry to 0 or 1"
    low, high = values.min(), values.max()
    found = f"its values run from {low:g} to {high:g}"
    if ((values == 0) | (values == high)).all():
        return f"{found}: divide it by {high:g}"
    return f"{found}: compare it with a threshold, such as (mask > {(low + high) / 2:g})"


class TrajectoryUnitWarning(UserWarning):
    """A trajectory covers so little of k-space that its unit may be radians per pixel."""


def check_trajectory_range(trajectory: Any, size: tuple[int, ...]) -> None:
    """Check that a trajectory is finite and within the k-space of an image, in cycles per field of view.

    The range is ``-N / 2`` to ``N / 2`` along each axis. Samples may leave it by one cycle, as they do after the
    correction of a gradient delay. A trajectory within half a cycle encodes nothing, so that its unit must be cycles
    per pixel. A trajectory within pi may be in radians per pixel, or cover only the centre; this is a warning.

    Args:
      trajectory: (..., 2), ky and kx.
      size: the shape (y, x) of the image.

    Raises:
      ValueError: the trajectory holds NaN or infinity, leaves the range, or is in cycles per pixel.

    Warns:
      TrajectoryUnitWarning: the trajectory is within pi, and the range is at least twice that.

    >>> check_trajectory_range(np.array([[-4.0, 3.9]]), (8, 8))
    """
    points = np.abs(np.asarray(trajectory, np.float64)).reshape(-1, 2)
    if not points.size:
        return
    if not np.isfinite(points).all():
        raise ValueError(f"trajectory of shape {trajectory.shape} holds NaN or infinity: give finite positions")
    largest, (y, x) = points.max(axis=0), size
    unit = (
        f"trajectory must be in cycles per field of view, ky from {-y / 2:g} to {y / 2:g} and kx from {-x / 2:g} to "
        f"{x / 2:g} for an image (y, x) of {y} x {x}; its largest |ky| and |kx| are {largest[0]:g} and {largest[1]:g}"
    )
    if (largest > np.array(size) / 2 + 1).any():
        raise ValueError(
            f"{unit}: multiply a trajectory in 1/m by the field of view in m, or give smaps of the size that the "
            "trajectory was made for"
        )
    if 0 < largest.max() <= 0.5 and min(size) > 1:
        raise ValueError(f"{unit}: multiply a trajectory in cycles per pixel by (y, x)")
    if 0.5 < largest.max() < np.pi * 1.001 and min(size) > 4 * np.pi:
        warnings.warn(
            f"{unit}; a trajectory in radians per pixel needs the factor (y, x) / (2 pi)", TrajectoryUnitWarning, 5
        )
