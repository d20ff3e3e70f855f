"""Completion of a partially sampled k-space by conjugate symmetry, for images with a smooth phase."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from deqjax.physics.array_checks import zero_one_mask
from deqjax.physics.fourier import fft2c, hann, ifft2c
from deqjax.physics.phase import unit_phase


def conjugate_symmetry(kspace: jax.Array, mask: np.ndarray) -> jax.Array:
    """Complete a k-space by the symmetry of a real image, ``y(-k) = conj(y(k))``, after removal of a smooth phase.

    ``x = p Re(conj(p) F^H W y)``. Here ``p = exp(i phase)`` is the phase of the symmetrically sampled centre under a
    Hann window, and W is 2 where ``-k`` is missing and 1 where both samples are present. The result is ``y`` where it
    was measured and ``F x`` elsewhere.

    This helps only where the phase is as smooth as the symmetric centre can show. Where it is not, as at air, blood or
    metal, and in noise, the completed lines are wrong. On a measured head of 8 coils and 256 x 256 pixels, the error of
    zero filling falls from 11.5 to 8.5 % with 56 % of the lines and from 7.9 to 7.5 % with 63 %, and rises from 5.1 to
    5.8 % with 75 %: there, leave the missing lines at zero.

    Args:
      kspace: (..., y, x) or (..., coil, y, x) complex; each coil has its own phase.
      mask: 0 and 1, of shape (1, x), (y, 1) or (y, x), as from ``deqjax.masks.PartialFourier``.

    Returns:
      The completed k-space, with the shape and the units of the k-space. Measured samples do not change.

    Raises:
      ValueError: the mask does not fit the k-space, does not contain its centre, or holds another value than 0 and 1.

    Source: D. C. Noll, D. G. Nishimura, A. Macovski, "Homodyne detection in magnetic resonance imaging", IEEE Trans.
    Med. Imaging 10:154, 1991, section II, with a step function as the weighting.

    >>> kspace = fft2c(jnp.arange(15.0).reshape(3, 5) + 0j)
    >>> mask = np.array([[1.0, 1.0, 1.0, 1.0, 0.0]])
    >>> bool(jnp.allclose(conjugate_symmetry(mask * kspace, mask), kspace, atol=1e-4))
    True
    """
    sampled, mirrored, phase = _prepare(kspace, mask)
    weight = sampled * (2.0 - mirrored)
    image = phase * (jnp.conj(phase) * ifft2c(weight * kspace)).real
    return jnp.where(sampled > 0, kspace, fft2c(image))


def pocs(kspace: jax.Array, mask: np.ndarray, steps: int = 10) -> jax.Array:
    """Complete a k-space by alternating projections onto images with the smooth phase and onto the measured samples.

    Each step computes ``x <- p |F^H y|``, and then ``y <- F x`` where k-space was not measured. The phase p is that of
    :func:`conjugate_symmetry`, and so is the condition: the phase must be smooth. On the head that is named there, the
    error of zero filling falls from 11.5 to 8.1 % with 56 % of the lines and from 7.9 to 7.2 % with 63 %, and rises
    from 5.1 to 5.7 % with 75 %.

    Args:
      kspace: (..., y, x) or (..., coil, y, x) complex; each coil has its own phase.
      mask: 0 and 1, of shape (1, x), (y, 1) or (y, x), as from ``deqjax.masks.PartialFourier``.
      steps: the number of steps, at least 1; 5 to 10 are usual.

    Returns:
      The completed k-space, with the shape and the units of the k-space. Measured samples do not change.

    Raises:
      ValueError: the mask does not fit the k-space, does not contain its centre, or holds another value than 0 and 1,
        or ``steps`` is below 1.

    Source: E. M. Haacke, E. D. Lindskog, W. Lin, "A fast, iterative, partial-Fourier technique capable of local phase
    recovery", J. Magn. Reson. 92:126, 1991, "Theory".

    >>> kspace = fft2c(jnp.arange(15.0).reshape(3, 5) + 0j)
    >>> mask = np.array([[1.0, 1.0, 1.0, 1.0, 0.0]])
    >>> bool(jnp.allclose(pocs(mask * kspace, mask, steps=50), kspace, atol=1e-2))
    True
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    sampled, _, phase = _prepare(kspace, mask)
    return _project(sampled * kspace, sampled, phase, steps)


@partial(jax.jit, static_argnames="steps")
def _project(measured: jax.Array, sampled: jax.Array, phase: jax.Array, steps: int) -> jax.Array:
    def step(completed: jax.Array, _: None) -> tuple[jax.Array, None]:
        return jnp.where(sampled > 0, measured, fft2c(phase * jnp.abs(ifft2c(completed)))), None

    return jax.lax.scan(step, measured, length=steps)[0]


def _prepare(kspace: jax.Array, mask: np.ndarray) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return the samples at k and at -k, (y, x) of 0 or 1, and the phase of the symmetrically sampled centre."""
    sampled = np.atleast_2d(zero_one_mask(np.asarray(mask)) != 0)
    size = kspace.shape[-2:]
    if kspace.ndim < 2 or sampled.ndim != 2 or any(m not in (1, n) for m, n in zip(sampled.shape, size)):
        raise ValueError(
            f"mask of shape {np.shape(mask)} must broadcast against (y, x) of kspace, {tuple(size)}: one mask for all"
        )
    sampled = np.broadcast_to(sampled, size).astype(np.float32)
    if not sampled[size[0] // 2, size[1] // 2]:
        raise ValueError("mask does not contain the centre of k-space, which gives the phase: sample more than half")
    mirrored = sampled
    for axis, n in enumerate(size):
        mirrored = np.take(mirrored, (2 * (n // 2) - np.arange(n)) % n, axis=axis)
    symmetric = sampled * mirrored
    low_resolution = ifft2c(jnp.asarray(symmetric * _window(symmetric)) * kspace)
    return jnp.asarray(sampled), jnp.asarray(mirrored), unit_phase(low_resolution)


def _window(symmetric: np.ndarray) -> np.ndarray:
    """Return a Hann window (y, x) over the symmetrically sampled centre, along each axis that is partially sampled.

    The centre ends at the first line without a mirror image. Isolated pairs further out do not belong to it, nor does
    line 0 of an even number of lines, which is its own mirror image.
    """
    window = np.ones((), dtype=np.float32)
    for axis, n in enumerate(symmetric.shape):
        sampled = symmetric.any(axis=1 - axis)
        distance = np.abs(np.arange(n) - n // 2)
        taper = np.ones(n) if sampled.all() else hann(distance, 2 * distance[~sampled].min())
        window = np.multiply.outer(window, taper.astype(np.float32))
    return window
