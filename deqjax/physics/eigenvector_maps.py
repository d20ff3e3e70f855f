"""ESPIRiT: coil sensitivities as eigenvectors of an operator on k-space."""

import warnings
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from deqjax.physics.calibration_region import USUAL_FRACTION, CalibrationWarning, calibration_region
from deqjax.physics.coils import check_coil_axis, compression_matrix, rss
from deqjax.physics.fourier import hann, ifft2c
from deqjax.scaling import power_of_two_scale

_SQUARINGS = 4
"""Each power step multiplies by the matrix squared this many times, because the first two eigenvalues may be close."""

_ROWS = 16
"""The number of image rows that are solved together; it bounds the memory (row, x, coil, coil)."""

_OBJECT_LEVEL = 0.2
"""The object is where the low-resolution image is above this fraction of its maximum."""

_MIN_COVERAGE = 0.95
"""The fraction of the object on which there must be coil sensitivities."""

_multiply = partial(jnp.einsum, precision="highest")


class _Estimate(NamedTuple):
    """The result of the calibration for every image."""

    smaps: jax.Array
    """(..., coil, y, x)."""
    eigenvalue: jax.Array
    """(..., y, x), the largest eigenvalue of G."""
    is_object: jax.Array
    """(..., y, x), true where the low-resolution image is bright."""
    dimensions: jax.Array
    """(...), the dimension of the space that the patches span."""


def espirit(
    kspace: jax.Array,
    center_fraction: float | None = None,
    *,
    mask: Any = None,
    kernel: int | None = None,
    threshold: float = 0.02,
    crop: float | None = None,
    soft: bool = False,
    power_steps: int = 30,
) -> jax.Array:
    """Estimate coil sensitivities by ESPIRiT: eigenvectors with eigenvalue 1 of an operator that preserves k-space.

    Patches of ``kernel x kernel`` samples of all coils span a space of few dimensions; P projects onto it. Every
    k-space whose patches lie in this space is preserved by ``(1 / kernel^2) sum_r R_r^H P R_r``, where R_r extracts
    the patch at r. This operator is a convolution. In image space it is a small matrix at each pixel,
    ``G(p) = (1 / kernel^2) sum_ab P_ab exp(2 pi i p (a - b) / N)``. Inside the object the coil sensitivities are the
    eigenvector of G(p) with the eigenvalue 1. The kernels are never expanded to images, because G is computed from the
    sums of P over all pairs of samples at equal distance.

    If there are too few calibration lines for the patches, then the patches span too small a space, the eigenvalues
    are below 1 in the object, and the maps have holes. The defaults of ``kernel`` and ``crop`` therefore depend on the
    number of lines. The coverage of the object is checked after the computation, which needs values, and is left out
    for arrays that JAX traces.

    Args:
      kspace: (..., coil, y, x) complex; only the calibration region is used.
      center_fraction: the size of the calibration region as a fraction of y and of x. None takes 0.08 or, with a mask,
        up to 24 lines.
      mask: 1 where k-space was sampled and 0 elsewhere, for instance (1, x) or (y, x). The calibration region then lies
        within the sampled part. Without a mask, samples that are zero in all coils count as not sampled.
      kernel: the side of the patches, in samples; None takes 6, or less for fewer than 17 lines.
      threshold: singular values below this fraction of the largest are dropped.
      crop: the sensitivities are zero where the eigenvalue is below this value; None takes 0.95, or 0.9 for fewer than
        16 lines.
      soft: let the sensitivities fall smoothly from 1 to 0 for eigenvalues from 1 to ``2 crop - 1`` instead.
      power_steps: the number of steps of the power iteration for the eigenvector; each equals 16 ordinary steps.

    Returns:
      (..., coil, y, x) complex. The sum of squared magnitudes is 1 on the support. The phase is that of the strongest
      combination of coils, which is smooth.

    Raises:
      ValueError: the coil axis is missing, the mask does not fit or holds another value than 0 and 1, there are
        fewer than 8 calibration lines (or ``kernel + 1``, if it is given), or the sensitivities cover less than 95 % of
        the object.

    Warns:
      CalibrationWarning: part of the calibration region of ``center_fraction`` was not sampled, or the patches span
        the entire space, so that the eigenvectors are arbitrary.

    Source: M. Uecker et al., "ESPIRiT: an eigenvalue approach to autocalibrating parallel MRI", Magn. Reson. Med.
    71:990, 2014, eqs. 10 to 17.

    >>> from deqjax.physics import fft2c, rss
    >>> y, x = jnp.mgrid[-16:16, -16:16] / 16
    >>> coils = jnp.stack([jnp.exp(-((x - c) ** 2) + 1j * c * y) for c in (-1, 0, 1)])
    >>> smaps = espirit(fft2c(coils * (x**2 + y**2 < 0.5)), center_fraction=0.5)
    >>> bool(jnp.allclose(rss(smaps)[12:20, 12:20], 1, atol=1e-4))
    True
    """
    check_coil_axis(kspace)
    region = calibration_region(kspace, center_fraction, mask)
    lines = tuple(part.stop - part.start for part in region)
    side = usual_kernel(min(lines)) if kernel is None else kernel
    needed = _MIN_LINES if kernel is None else side + 1
    for axis, size, number in zip("yx", kspace.shape[-2:], lines):
        if number < needed:
            source = "the mask" if mask is not None else f"center_fraction {center_fraction or USUAL_FRACTION}"
            raise ValueError(
                f"{source} of {size} leaves {number} calibration lines along {axis}; ESPIRiT "
                f"{'' if kernel is None else f'with patches of {kernel} '}needs at least {needed}: sample or use more "
                "lines of the centre, or use low_resolution_smaps"
            )
    if crop is None:
        crop = 0.95 if min(lines) >= 16 else 0.9
    bounds = tuple((part.start, part.stop) for part in region)
    estimate = _estimate(kspace, bounds, side, threshold, crop, soft, power_steps)
    if not isinstance(estimate.smaps, jax.core.Tracer):
        _check_estimate(estimate, lines, side, crop)
    return estimate.smaps


_MIN_LINES = 8
"""The fewest calibration lines; with 6 lines the sensitivities of 2 to 4 coils were wrong on phantoms and on a head."""


def usual_kernel(lines: int) -> int:
    """Return the side of the patches for a number of calibration lines.

    The side k leaves ``(lines - k + 1)^2`` patches, which must span a space of about ``(k + 3)^2`` dimensions. For 2
    coils this space must also be smaller than ``2 k^2``.

    >>> [usual_kernel(lines) for lines in (8, 10, 12, 14, 16, 20, 24)]
    [3, 4, 4, 5, 5, 6, 6]
    """
    return min(6, max((lines + 1) // 3, 4 if lines >= 10 else 3))


def _check_estimate(estimate: _Estimate, lines: tuple[int, ...], kernel: int, crop: float) -> None:
    """Check that there are sensitivities on the object, and that they are determined by the data."""
    *_, coils, y, x = estimate.smaps.shape
    covered = np.any(np.asarray(estimate.smaps) != 0, axis=-3).reshape(-1, y * x)
    is_object = np.asarray(estimate.is_object).reshape(-1, y * x)
    eigenvalue = np.asarray(estimate.eigenvalue).reshape(-1, y * x)
    size = is_object.sum(axis=1)
    coverage = np.where(size > 0, (covered & is_object).sum(axis=1) / np.maximum(size, 1), 1)
    worst = int(np.argmin(coverage))
    if coverage[worst] < _MIN_COVERAGE:
        place = f" of image {worst}" if len(coverage) > 1 else ""
        needed = 2 * kernel + 2
        advice = f"sample at least {needed} lines, or leave kernel at None"
        if min(lines) >= needed:
            reached = np.floor(1000 * np.quantile(eigenvalue[worst][is_object[worst]], 1 - _MIN_COVERAGE)) / 1000
            advice = f"sample more than {max(24, min(lines))} lines, or set crop to at most {reached}"
        raise ValueError(
            f"the coil sensitivities cover {coverage[worst]:.0%} of the object{place}: {lines[0]} x {lines[1]} "
            f"calibration lines do not determine patches of {kernel} x {kernel} with eigenvalues above crop = {crop}: "
            f"{advice}, or use low_resolution_smaps"
        )
    everything = (np.asarray(estimate.dimensions).reshape(-1) == kernel**2 * coils) & (size > 0)
    if coils > 1 and everything.any():
        warnings.warn(
            f"the patches of {kernel} x {kernel} samples of {coils} coils span the entire space (image "
            f"{int(np.argmax(everything))}), so that every sensitivity agrees with the data: the noise is above the "
            "threshold, or there are too few coils for so small a kernel",
            CalibrationWarning,
            stacklevel=3,
        )


@partial(jax.jit, static_argnames=("region", "kernel", "threshold", "crop", "soft", "power_steps"))
def _estimate(
    kspace: jax.Array,
    region: tuple[tuple[int, int], ...],
    kernel: int,
    threshold: float,
    crop: float,
    soft: bool,
    power_steps: int,
) -> _Estimate:
    """Estimate the coil sensitivities of k-space (..., coil, y, x) from the region ((first, end) along y and x)."""
    (top, bottom), (left, right) = region
    shape = (kspace.shape[-2], kspace.shape[-1])
    calibration = kspace[..., top:bottom, left:right].astype(jnp.result_type(kspace, jnp.complex64))
    calibration = calibration.reshape(-1, *calibration.shape[-3:])
    calibration = power_of_two_scale(calibration, (-3, -2, -1)).apply(calibration)
    solve = partial(_eigenvectors, shape=shape, kernel=kernel, threshold=threshold, power_steps=power_steps)
    smaps, eigenvalue, dimensions = jax.lax.map(solve, calibration)
    width = 1 - crop
    weight = jnp.clip((eigenvalue - (crop - width)) / (2 * width + 1e-12), 0, 1) if soft else eigenvalue >= crop

    tapers = [hann(np.arange(n) - (n - 1) / 2, n + 1) for n in calibration.shape[-2:]]
    margins = [(0, 0), (0, 0), (top, shape[0] - bottom), (left, shape[1] - right)]
    low_resolution = rss(ifft2c(jnp.pad(calibration * np.outer(*tapers).astype(calibration.real.dtype), margins)))
    is_object = low_resolution > _OBJECT_LEVEL * jnp.max(low_resolution, axis=(-2, -1), keepdims=True)

    leading = kspace.shape[:-3]
    return _Estimate(
        (smaps * weight[:, None]).reshape(kspace.shape),
        eigenvalue.reshape(*leading, *shape),
        is_object.reshape(*leading, *shape),
        dimensions.reshape(leading),
    )


def _eigenvectors(
    calibration: jax.Array, shape: tuple[int, int], kernel: int, threshold: float, power_steps: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return eigenvectors (coil, y, x), eigenvalues (y, x) and the dimension of P for one calibration region."""
    coils, height, width = calibration.shape
    tops, lefts = height - kernel + 1, width - kernel + 1
    corners = [(a, b) for a in range(kernel) for b in range(kernel)]
    patches = jnp.stack([calibration[:, a : a + tops, b : b + lefts].reshape(coils, -1) for a, b in corners])
    patches = patches.reshape(len(corners) * coils, -1)
    values, vectors = jnp.linalg.eigh(_multiply("sp,tp->st", patches, patches.conj()))
    is_kept = (values >= threshold**2 * values[-1]) & (values > 0)
    kept = vectors * is_kept
    projection = _multiply("sk,tk->st", kept, kept.conj()).reshape(kernel, kernel, coils, kernel, kernel, coils)

    # Sums over pairs of samples at equal distance, (distance y, distance x, coil, coil).
    distances = np.arange(1 - kernel, kernel)
    equal = np.equal(np.subtract.outer(np.arange(kernel), np.arange(kernel)), distances[:, None, None])
    pairs = jnp.asarray(equal, calibration.real.dtype)
    sums = _multiply("sab,tuv,aucbvd->stcd", pairs, pairs, projection, optimize=True) / kernel**2
    y, x = (
        jnp.exp(jnp.asarray(2j * np.pi * np.outer(np.arange(n) - n // 2, distances) / n, sums.dtype)) for n in shape
    )
    sums = _multiply("xt,stcd->sxcd", x, sums)

    # The phase of the eigenvector is that of the strongest combination of coils.
    reference = compression_matrix(calibration, 1)[0]

    def unit(vector: jax.Array) -> jax.Array:
        size = jnp.linalg.norm(vector, axis=1, keepdims=True)
        return vector / jnp.where(size > 0, size, 1)

    def scaled(matrices: jax.Array) -> jax.Array:
        return power_of_two_scale(matrices, (1, 2)).apply(matrices)

    def row(ramp: jax.Array) -> tuple[jax.Array, jax.Array]:
        matrices = _multiply("s,sxcd->xcd", ramp, sums)
        power = scaled(matrices)  # small eigenvalues outside the object would underflow
        for _ in range(_SQUARINGS):
            power = scaled(_multiply("xcd,xde->xce", power, power))
        largest = jnp.argmax(jnp.einsum("xcc->xc", power).real, axis=1)
        vector = jnp.take_along_axis(power, largest[:, None, None], axis=2)[..., 0]
        vector = jax.lax.fori_loop(0, power_steps, lambda _, v: unit(_multiply("xcd,xd->xc", power, v)), unit(vector))
        eigenvalue = jnp.linalg.norm(_multiply("xcd,xd->xc", matrices, vector), axis=1)
        phase = jnp.exp(-1j * jnp.angle(vector @ reference))
        return vector * phase[:, None], eigenvalue

    vectors, eigenvalues = jax.lax.map(row, y, batch_size=_ROWS)
    return jnp.moveaxis(vectors, -1, 0), eigenvalues, jnp.sum(is_kept)
