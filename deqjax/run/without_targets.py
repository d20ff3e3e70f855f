"""What can be measured of a reconstruction without its target: held-out lines, and the estimated error."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from deqjax.data import Acquisitions, estimate_noise
from deqjax.objectives import estimate_error, measurement
from deqjax.physics import ifft2c
from deqjax.physics.calibration_region import calibration_size
from deqjax.reconstruct import Reconstructor
from deqjax.types import ForwardModel, Params

HELD_OUT = 0.2
"""The fraction of the measured lines or points that is held out to measure how well it is predicted."""

KEPT_LINES = 8
"""The number of central lines that are never held out."""


def hold_out(mask: np.ndarray, center_fraction: float | None, seed: int | tuple[int, ...]) -> np.ndarray:
    """Choose the measured lines or points that are held out, at random outside the centre; a mask of the same shape.

    Args:
      mask: (1, x) or (y, x).
      center_fraction: of the centre, which is never held out. It is at least ``KEPT_LINES`` wide.
      seed: of the choice.

    >>> hold_out(np.ones((1, 64)), 0.25, seed=0).sum() < 20
    np.True_
    """
    near = np.ones(mask.shape, bool)
    for axis in (-2, -1) if mask.shape[-2] > 1 else (-1,):
        size = mask.shape[axis]
        start, number = calibration_size(size, max(center_fraction or 0, min(KEPT_LINES / size, 1)))
        inside = (np.arange(size) >= start) & (np.arange(size) < start + number)
        near &= inside[:, None] if axis == -2 else inside
    candidates = np.flatnonzero((mask > 0) & ~near)
    chosen = np.random.default_rng(seed).permutation(candidates)[: max(round(HELD_OUT * np.sum(mask > 0)), 1)]
    out = np.zeros(mask.size, np.float32)
    out[chosen] = 1
    return out.reshape(mask.shape)


def held_out_error(
    recon: Reconstructor, params: Params, A: ForwardModel, kspace: jax.Array, out: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Reconstruct without the samples held out, and return the squared error and the energy of these samples.

    Args:
      recon: the method.
      params: its parameters.
      A: a Cartesian forward model of a batch, whose coil sensitivities come from centre lines that are not held out.
      kspace: (batch, [coil,] y, x), what was measured.
      out: the mask of what is held out, broadcasts against (batch, y, x).

    Returns:
      Two arrays (batch,).
    """
    kept, target = (dataclasses.replace(A, mask=A.mask * values) for values in (1 - out, out))  # type: ignore
    image, _ = recon(params, kept, jnp.asarray((1 - out) * kspace))
    predicted, axes = recon.forward_model(params, target).forward(image), tuple(range(1, kspace.ndim))
    difference = np.asarray(predicted - out * kspace)
    return tuple(np.sum(np.abs(values) ** 2, axis=axes) for values in (difference, np.asarray(out * kspace)))  # type: ignore


def decibel(error: np.ndarray | float, energy: np.ndarray | float) -> float:
    """Return ``10 log10(sum energy / sum error)``, the ratio of signal to error.

    >>> decibel(0.01, 1.0)
    20.0
    """
    total, wrong = float(np.sum(energy)), float(np.sum(error))
    return float(10 * np.log10(total / wrong)) if total > 0 and wrong > 0 else 0.0


def measure_without_target(
    recon: Reconstructor, params: Params, A: ForwardModel, kspace: jax.Array, out: np.ndarray
) -> np.ndarray:
    """Measure what is known of reconstructions without their targets.

    Args:
      recon: the method.
      params: its parameters.
      A: the forward model of a batch.
      kspace: (batch, [coil,] y, x), what was measured.
      out: the mask of what is held out, see :func:`hold_out`.

    Returns:
      (4, batch): the squared error and the energy of the samples held out; Stein's estimate of the squared error on all
      samples, with the noise level of the outer samples; and the energy of all samples.
    """
    batch, pixels = kspace.shape[0], kspace.shape[-2] * kspace.shape[-1]
    mask = np.broadcast_to(np.asarray(A.mask), (batch, *np.shape(A.mask)[-2:]))  # type: ignore[attr-defined]
    sigma = np.array([estimate_noise(one, lines) for one, lines in zip(np.asarray(kspace), mask)], np.float32)
    keys = jax.random.split(jax.random.key(0), batch)
    estimate = estimate_error(recon, params, A, kspace, jnp.asarray(sigma), jnp.asarray(mask), keys)
    energy = np.sum(np.abs(np.asarray(kspace)) ** 2, axis=tuple(range(1, kspace.ndim)))
    return np.stack([*held_out_error(recon, params, A, kspace, out), pixels * np.asarray(estimate), energy])


def row_without_target(measured: np.ndarray) -> dict[str, float]:
    """Return the columns of a table for the results (4, slice) of :func:`measure_without_target`.

    >>> row_without_target(np.array([[0.1], [1.0], [0.04], [4.0]]))
    {'held-out SNR': 10.0, 'estimated error': 0.1}
    """
    error, energy, estimate, everything = measured.sum(axis=1)
    relative = float(np.sqrt(max(estimate, 0.0) / everything)) if everything > 0 else 0.0
    return {"held-out SNR": decibel(error, energy), "estimated error": relative}


def held_out_validation(
    acquisitions: Acquisitions, number: int, center_fraction: float | None
) -> Callable[[Reconstructor, Params], float]:
    """Prepare a quick validation without targets: the ratio of signal to error of held-out lines, in dB.

    Args:
      acquisitions: of the validation files.
      number: how many slices are used, evenly spread over the files.
      center_fraction: of the fully sampled centre, from which coil sensitivities are estimated.
    """
    chosen = sorted({int(i) for i in np.linspace(0, len(acquisitions) - 1, min(number, len(acquisitions))).round()})
    measured = []
    for i in chosen:
        kspace, mask, _ = acquisitions.acquire(i)
        batch = jnp.asarray(kspace)[None]
        A = measurement(ifft2c(batch), batch, jnp.asarray(mask), center_fraction).A
        measured.append((A, batch, hold_out(mask, center_fraction, i)))

    def validate(recon: Reconstructor, params: Params) -> float:
        found = [held_out_error(recon, params, *one) for one in measured]
        return float(np.mean([decibel(error, energy) for error, energy in found]))

    return validate
