"""Values of an image between its voxels: nearest-neighbour, linear and cubic B-spline interpolation."""

import itertools
import math
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from deqjax.registration.smoothing import multiply_axis

Order = Literal[0, 1, 3]
Boundary = Literal["nearest", "zero", "mirror"]


def interpolate(image: jax.Array, index: jax.Array, order: Order = 1, boundary: Boundary = "nearest") -> jax.Array:
    """Interpolate an image at fractional voxel indices.

    Order 3 interpolates exactly: the image is first converted to B-spline coefficients. Beyond the outermost voxel
    centres, ``"nearest"`` repeats the edge, ``"mirror"`` reflects at it, and ``"zero"`` decreases to 0 within one
    voxel (with order 0, the edge is repeated for half a voxel, and then follows 0).

    Args:
      image: (*shape, *channels), real or complex.
      index: (..., d), in voxels; d is the number of spatial axes.
      order: 0 (nearest neighbour), 1 (linear) or 3 (cubic B-spline).
      boundary: how the image continues beyond its edges.

    Returns:
      The values, (..., *channels).

    Raises:
      ValueError: if the order or the boundary is not one of those above.

    Source: M. Unser, "Splines: a perfect fit for signal and image processing", IEEE Signal Process. Mag. 16(6):22,
    1999, equation 3.

    >>> ramp = jnp.arange(5.0)[:, None] * jnp.ones((1, 4))
    >>> interpolate(ramp, jnp.array([[1.25, 2.0], [9.0, 0.0]]))
    Array([1.25, 4.  ], dtype=float32)
    >>> interpolate(ramp, jnp.array([4.5, 2.0]), boundary="zero")
    Array(2., dtype=float32)
    """
    coefficients = interpolation_coefficients(image, index.shape[-1], order)
    return interpolate_coefficients(coefficients, index, order, boundary)


def interpolation_coefficients(image: jax.Array, ndim: int, order: Order) -> jax.Array:
    """Convert voxel values to the coefficients that `interpolate_coefficients` weights: B-splines for order 3.

    Along each axis the coefficients c solve ``(c[i-1] + 4 c[i] + c[i+1]) / 6 = image[i]``, mirrored at both ends. For
    the other orders the coefficients are the voxel values.

    Args:
      image: (*shape, *channels).
      ndim: the number of spatial axes.
      order: 0, 1 or 3.

    Returns:
      The coefficients, (*shape, *channels).

    >>> interpolation_coefficients(jnp.ones((3, 4)), 2, 3).round(5)[0]
    Array([1., 1., 1., 1.], dtype=float32)
    """
    if order != 3:
        return image
    for axis, n in enumerate(image.shape[:ndim]):
        inverse = jnp.asarray(np.linalg.inv(_spline_values(n)), image.real.dtype)
        image = multiply_axis(inverse, image, axis)
    return image


@partial(jax.jit, static_argnames=("order", "boundary"))
def interpolate_coefficients(
    coefficients: jax.Array, index: jax.Array, order: Order = 1, boundary: Boundary = "nearest"
) -> jax.Array:
    """Interpolate at fractional indices from coefficients that `interpolation_coefficients` has computed.

    It is the second half of `interpolate`, for images that are interpolated repeatedly.

    Args:
      coefficients: (*shape, *channels).
      index: (..., d), in voxels.
      order: 0, 1 or 3.
      boundary: see `interpolate`.

    Returns:
      The values, (..., *channels).

    >>> interpolate_coefficients(jnp.array([[1.0, 3.0]]), jnp.array([0.0, 0.25]))
    Array(1.5, dtype=float32)
    """
    ndim = index.shape[-1]
    shape, channels = coefficients.shape[:ndim], coefficients.shape[ndim:]
    index, inside = _apply_boundary(index, shape, boundary, order)
    strides = [int(np.prod(shape[axis + 1 :])) for axis in range(ndim)]
    axes = [
        [(_reflect(neighbour, n) * stride, weight) for neighbour, weight in neighbours(index[..., axis], order)]
        for axis, (n, stride) in enumerate(zip(shape, strides, strict=True))
    ]
    flat, expand = coefficients.reshape(-1, *channels), (...,) + (None,) * len(channels)
    gather = lambda offset: flat.at[offset].get(mode="promise_in_bounds")
    if order == 0:
        total = gather(sum(offset for ((offset, _),) in axes))
    else:
        first_axis, *other_axes = axes

        @jax.checkpoint
        def slab(offset: jax.Array, weight: jax.Array) -> jax.Array:
            part = jnp.zeros((), coefficients.dtype)
            for corner in itertools.product(*other_axes):
                offsets, weights = zip(*corner, strict=True)
                part = part + gather(sum(offsets, offset)) * math.prod(weights, start=weight)[expand]
            return part

        # A loop over the first axis: with 64 neighbours written out, XLA takes longer to compile than to run.
        start = jnp.zeros((*index.shape[:-1], *channels), coefficients.dtype)
        stacked = [jnp.stack(parts) for parts in zip(*first_axis, strict=True)]
        total, _ = jax.lax.scan(lambda total, neighbour: (total + slab(*neighbour), None), start, stacked)
    return total if inside is None else total * inside[expand].astype(total.real.dtype)


def neighbours(index: jax.Array, order: Order) -> list[tuple[jax.Array, jax.Array]]:
    """Return the voxels around a fractional index along one axis, with their weights.

    Args:
      index: fractional indices of any shape.
      order: 0, 1 or 3.

    Returns:
      1, 2 or 4 pairs of a voxel index and its weight, each in the shape of ``index``.

    Raises:
      ValueError: if the order is not 0, 1 or 3.

    >>> [(int(neighbour), float(weight)) for neighbour, weight in neighbours(jnp.array(2.25), 1)]
    [(2, 0.75), (3, 0.25)]
    """
    if order == 0:
        return [(jnp.floor(index + 0.5).astype(jnp.int32), jnp.ones_like(index))]
    lower = jax.lax.stop_gradient(jnp.floor(index))
    s, first = index - lower, lower.astype(jnp.int32)
    if order == 1:
        return [(first, 1 - s), (first + 1, s)]
    if order == 3:
        cubic = ((1 - s) ** 3, 3 * s**3 - 6 * s**2 + 4, -3 * s**3 + 3 * s**2 + 3 * s + 1, s**3)
        return [(first + k - 1, weight / 6) for k, weight in enumerate(cubic)]
    raise ValueError(f"order {order}: interpolation has orders 0 (nearest), 1 (linear) and 3 (cubic B-spline)")


def cubic_bspline(t: jax.Array) -> jax.Array:
    """Evaluate the centred cubic B-spline: 2/3 at 0, 1/6 at -1 and 1, and 0 from -2 and 2 on.

    >>> 6 * cubic_bspline(jnp.array([0.0, -1.0, 2.0]))
    Array([4., 1., 0.], dtype=float32)
    """
    t = jnp.abs(t)
    return jnp.where(t < 1, 2 / 3 - t**2 + t**3 / 2, jnp.clip(2 - t, 0) ** 3 / 6)


def _apply_boundary(
    index: jax.Array, shape: tuple[int, ...], boundary: Boundary, order: Order
) -> tuple[jax.Array, jax.Array | None]:
    """Move indices into the image; return them and, for ``"zero"``, the factor of the interpolated values."""
    last = jnp.asarray(shape, index.dtype) - 1
    clipped = jnp.clip(index, 0, last)
    if boundary == "nearest":
        return clipped, None
    if boundary == "zero":
        near = jnp.clip(1 - jnp.abs(index - clipped), 0, 1)
        return clipped, jnp.prod(near >= 0.5 if order == 0 else near, axis=-1)  # order 0 must not mix values
    if boundary == "mirror":
        period = 2 * jnp.maximum(last, 1)
        return jnp.minimum(last, last - jnp.abs(jnp.mod(index, period) - last)), None
    raise ValueError(f"boundary {boundary!r}: the boundary must be 'nearest', 'zero' or 'mirror'")


def _reflect(index: jax.Array, n: int) -> jax.Array:
    return jnp.clip(n - 1 - jnp.abs(n - 1 - jnp.abs(index)), 0, n - 1)


def _spline_values(n: int) -> np.ndarray:
    """Return the matrix (n, n) that takes mirrored B-spline coefficients to voxel values."""
    matrix = np.zeros((n, n))
    for i in range(n):
        for neighbour, weight in ((i - 1, 1 / 6), (i, 4 / 6), (i + 1, 1 / 6)):
            matrix[i, min(max(n - 1 - abs(n - 1 - abs(neighbour)), 0), n - 1)] += weight
    return matrix
