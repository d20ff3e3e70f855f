"""Rotation matrices from angles."""

import jax
import jax.numpy as jnp
import numpy as np


def rotation(angles: jax.Array) -> jax.Array:
    """The matrix of one angle (1,) in the plane, or ``Rz Ry Rx`` of three (3,), about x, y and z; radians.

    >>> rotation(jnp.array([jnp.pi / 2]))[:, 1] @ jnp.array([-2.0, 0.0])
    Array(2., dtype=float32)
    """
    turns = [jnp.array([[jnp.cos(a), -jnp.sin(a)], [jnp.sin(a), jnp.cos(a)]]) for a in angles]
    if len(turns) == 1:
        return turns[0]
    upright = jnp.eye(3, dtype=angles.dtype)
    x = upright.at[1:, 1:].set(turns[0])
    y = upright.at[jnp.ix_(jnp.array([2, 0]), jnp.array([2, 0]))].set(turns[1])
    z = upright.at[:2, :2].set(turns[2])
    return jnp.matmul(jnp.matmul(z, y, precision="highest"), x, precision="highest")


def spread_rotations(count: int, ndim: int) -> jax.Array:
    """Spread ``count`` rotations evenly over all of the plane or of space, (count, ndim, ndim); the same every time.

    In 2-D by equal angles; in 3-D by quaternions on a super-Fibonacci spiral.

    Source: M. Alexa, "Super-Fibonacci spirals: fast, low-discrepancy sampling of SO(3)", CVPR 2022, algorithm 1.

    >>> spread_rotations(2, 2)[1].round(3) + 0.0
    Array([[-1.,  0.],
           [ 0., -1.]], dtype=float32)
    """
    if ndim == 2:
        return jnp.stack([rotation(angle[None]) for angle in 2 * jnp.pi * jnp.arange(count) / count])
    place = np.arange(count) + 0.5
    inner, outer = np.sqrt(place / count), np.sqrt(1 - place / count)
    alpha, beta = 2 * np.pi * place / np.sqrt(2), 2 * np.pi * place / 1.533751168755204288118041
    a, b, c, d = inner * np.sin(alpha), inner * np.cos(alpha), outer * np.sin(beta), outer * np.cos(beta)
    rows = [
        [1 - 2 * (b * b + c * c), 2 * (a * b - c * d), 2 * (a * c + b * d)],
        [2 * (a * b + c * d), 1 - 2 * (a * a + c * c), 2 * (b * c - a * d)],
        [2 * (a * c - b * d), 2 * (b * c + a * d), 1 - 2 * (a * a + b * b)],
    ]
    return jnp.asarray(np.moveaxis(np.array(rows), -1, 0), float)
