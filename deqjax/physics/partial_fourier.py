"""The side of k-space that was left out, made up from the other: an image is real but for a smooth phase."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from deqjax.physics.fourier import fft2c, hann, ifft2c
from deqjax.physics.modulated import unit_phase


def conjugate_symmetry(kspace: jax.Array, mask: np.ndarray) -> jax.Array:
    """Complete a k-space by the symmetry of a real image: ``y(-k) = conj(y(k))``, after a smooth phase is taken off.

    ``x = p Re(conj(p) F^H W y)`` with ``p = exp(i phase)`` of the symmetric middle under a Hann window, and W 2 where
    ``-k`` is missing, 1 where both are there; then ``y`` where it was measured, ``F x`` elsewhere.

    Args:
      kspace: (..., y, x) or (..., coil, y, x) complex; each coil has its own phase.
      mask: (1, x), (y, 1) or (y, x), what was sampled, as from ``deqjax.masks.PartialFourier``.

    Returns:
      the completed k-space, same shape and units; measured samples stay as they are.

    Raises:
      ValueError: a mask that does not fit or does not hold the centre.

    Source: Noll, Nishimura, Macovski, "Homodyne detection in magnetic resonance imaging", IEEE Transactions on Medical
    Imaging 10:154-163, 1991, section II, with a step as its weighting.

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
    """Complete a k-space by projections: onto the images of the smooth phase, and onto what was measured, in turn.

    ``x <- p |F^H y|``, then ``y <- y`` where it was measured, ``F x`` elsewhere; p as in :func:`conjugate_symmetry`.

    Args:
      kspace: (..., y, x) or (..., coil, y, x) complex; each coil has its own phase.
      mask: (1, x), (y, 1) or (y, x), what was sampled, as from ``deqjax.masks.PartialFourier``.
      steps: at least 1; 5 to 10 are usual.

    Returns:
      the completed k-space, same shape and units; measured samples stay as they are.

    Raises:
      ValueError: a mask that does not fit or does not hold the centre, or fewer than 1 step.

    Source: Haacke, Lindskog, Lin, "A fast, iterative, partial-Fourier technique capable of local phase recovery",
    Journal of Magnetic Resonance 92:126-145, 1991, "Theory".

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
    """What was sampled (y, x), whether -k was too, and the phase factor of the image of the symmetric middle."""
    sampled = np.atleast_2d(np.asarray(mask) != 0)
    size = kspace.shape[-2:]
    if kspace.ndim < 2 or sampled.ndim != 2 or any(m not in (1, n) for m, n in zip(sampled.shape, size)):
        raise ValueError(
            f"mask of shape {np.shape(mask)} must broadcast against (y, x) of kspace, {tuple(size)}: one mask for all"
        )
    sampled = np.broadcast_to(sampled, size).astype(np.float32)
    if not sampled[size[0] // 2, size[1] // 2]:
        raise ValueError("mask does not hold the centre of k-space, which tells the phase: sample more than one half")
    mirrored = sampled
    for axis, n in enumerate(size):
        mirrored = np.take(mirrored, (2 * (n // 2) - np.arange(n)) % n, axis=axis)
    symmetric = sampled * mirrored
    middle = ifft2c(jnp.asarray(symmetric * _window(symmetric)) * kspace)
    return jnp.asarray(sampled), jnp.asarray(mirrored), unit_phase(middle)


def _window(symmetric: np.ndarray) -> np.ndarray:
    """Hann window over the symmetric middle, along each axis of which a part is missing; (y, x)."""
    window = np.ones(symmetric.shape, dtype=np.float32)
    for axis, n in enumerate(symmetric.shape):
        there = symmetric.any(axis=1 - axis)
        if not there.all():
            distance = np.abs(np.arange(n) - n // 2)
            half = distance[there].max() + 1
            taper = hann(distance, 2 * half).astype(np.float32)
            window = window * (taper[:, None] if axis == 0 else taper[None, :])
    return window
