"""Checks of the images that are compared, and the data range of a metric."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike


def check_same_shape(image: jax.Array, target: jax.Array) -> None:
    """Check that image and target have the same shape.

    Raises:
        ValueError: They have not.

    >>> check_same_shape(jnp.zeros((2, 3)), jnp.ones((2, 3)))
    """
    if image.shape != target.shape:
        raise ValueError(
            f"image has shape {image.shape} but target has shape {target.shape}, axes (..., y, x): "
            "crop or index one of them so that both are the same"
        )


def real_volumes(image: ArrayLike, target: ArrayLike, smallest: int = 1) -> tuple[jax.Array, jax.Array]:
    """Return image and target as two floating-point stacks (slice, y, x).

    Args:
        image: real magnitudes, (y, x) or (slice, y, x).
        target: the reference, same shape.
        smallest: the smallest size along y and x that the metric allows.

    Raises:
        ValueError: The shapes differ, are not (y, x) or (slice, y, x), or are too small, or an input is complex.

    >>> [volume.shape for volume in real_volumes(jnp.zeros((7, 9)), jnp.ones((7, 9)))]
    [(1, 7, 9), (1, 7, 9)]
    """
    image, target = jnp.asarray(image), jnp.asarray(target)
    check_same_shape(image, target)
    for name, array in (("image", image), ("target", target)):
        if jnp.iscomplexobj(array):
            raise ValueError(
                f"{name} is {array.dtype}, but metrics compare magnitudes: pass jnp.abs(image) and jnp.abs(target)"
            )
    if image.ndim not in (2, 3):
        raise ValueError(
            f"image and target have shape {image.shape}; a metric takes one image (y, x) or one volume (slice, y, x): "
            "use jax.vmap for a batch of volumes"
        )
    if 0 in image.shape or min(image.shape[-2:]) < smallest:
        raise ValueError(
            f"image and target have shape {image.shape}, axes (slice, y, x) or (y, x); this metric needs at least one "
            f"slice and {smallest} pixels along y and x: pad the image, or crop it less"
        )
    dtype = jnp.promote_types(jnp.result_type(image, target), jnp.float32)
    shape = (-1, *image.shape[-2:])
    return image.astype(dtype).reshape(shape), target.astype(dtype).reshape(shape)


def resolve_data_range(target: jax.Array, data_range: ArrayLike | None) -> jax.Array:
    """Return the given data range, or by default that of the target over the volume.

    The default is ``max(target) - min(0, min(target))``: the maximum for magnitudes, as in fastMRI, and the distance
    from the smallest to the largest value if there are negative values. A data range of zero, which an all-zero target
    has, becomes 1, so that no metric divides zero by zero.

    Raises:
        ValueError: The data range is not a positive finite number, or not a scalar.

    >>> resolve_data_range(jnp.array([1.0, 4.0]), None), resolve_data_range(jnp.zeros(2), None)
    (Array(4., dtype=float32), Array(1., dtype=float32))
    >>> resolve_data_range(jnp.array([-3.0, 4.0]), None)
    Array(7., dtype=float32)
    """
    if data_range is None:
        found = jnp.max(target) - jnp.minimum(jnp.min(target), 0)
        return jnp.where(found == 0, 1, found)
    if np.ndim(data_range) != 0 or jnp.iscomplexobj(data_range):
        raise ValueError(
            f"data_range has shape {np.shape(data_range)}: give one real scalar per volume, () (jax.vmap for a batch)"
        )
    if not isinstance(data_range, jax.core.Tracer) and not 0 < float(np.asarray(data_range)) < float("inf"):
        raise ValueError(
            f"data_range is {data_range}: give a positive finite number, or None for the range of the target"
        )
    return jnp.asarray(data_range, target.dtype)


def nan_unless_finite(value: jax.Array, image: jax.Array, target: jax.Array) -> jax.Array:
    """Return the value of a metric, or NaN if the image or the target holds NaN or infinity.

    >>> nan_unless_finite(jnp.float32(1), jnp.array([jnp.inf]), jnp.array([1.0]))
    Array(nan, dtype=float32)
    """
    return jnp.where(jnp.isfinite(image).all() & jnp.isfinite(target).all(), value, jnp.nan)
