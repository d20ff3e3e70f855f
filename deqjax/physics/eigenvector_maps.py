"""ESPIRiT: coil sensitivities as eigenvectors of an operator on k-space."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from deqjax.physics.coils import check_coil_axis, compression_matrix
from deqjax.physics.sensitivities import calibration_size

_SQUARINGS = 4
"""Each power step multiplies by the matrix squared this many times, because the first two eigenvalues may be close."""

_ROWS = 16
"""The number of image rows that are solved together; it bounds the memory (row, x, coil, coil)."""


@partial(jax.jit, static_argnames=("center_fraction", "kernel", "threshold", "crop", "soft", "power_steps"))
def espirit(
    kspace: jax.Array,
    center_fraction: float = 0.08,
    *,
    kernel: int = 6,
    threshold: float = 0.02,
    crop: float = 0.95,
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

    Args:
      kspace: (..., coil, y, x) complex; only the calibration region is used.
      center_fraction: the size of the calibration region as a fraction of y and of x.
      kernel: the side of the patches, in samples.
      threshold: singular values below this fraction of the largest are dropped.
      crop: the sensitivities are zero where the eigenvalue is below this value.
      soft: let the sensitivities fall smoothly from 1 to 0 for eigenvalues from 1 to ``2 crop - 1`` instead.
      power_steps: the number of steps of the power iteration for the eigenvector; each equals 16 ordinary steps.

    Returns:
      (..., coil, y, x) complex. The sum of squared magnitudes is 1 on the support. The phase is that of the strongest
      combination of coils, which is smooth.

    Raises:
      ValueError: the coil axis is missing, or the calibration region is smaller than ``kernel + 1``.

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
    window = []
    for size, axis in zip(kspace.shape[-2:], "yx"):
        start, number = calibration_size(size, center_fraction)
        if number <= kernel:
            raise ValueError(
                f"center_fraction {center_fraction} of {size} leaves {number} calibration lines along {axis}; ESPIRiT "
                f"with patches of {kernel} needs at least {kernel + 1}: use more lines, a smaller kernel, or "
                "low_resolution_smaps"
            )
        window.append(slice(start, start + number))
    calibration = kspace[..., window[0], window[1]]
    solve = partial(
        _eigenvectors,
        shape=(kspace.shape[-2], kspace.shape[-1]),
        kernel=kernel,
        threshold=threshold,
        power_steps=power_steps,
    )
    smaps, eigenvalue = jax.lax.map(solve, calibration.reshape(-1, *calibration.shape[-3:]))
    width = 1 - crop
    weight = jnp.clip((eigenvalue - (crop - width)) / (2 * width + 1e-12), 0, 1) if soft else eigenvalue >= crop
    return (smaps * weight[:, None]).reshape(kspace.shape)


def _eigenvectors(
    calibration: jax.Array, shape: tuple[int, int], kernel: int, threshold: float, power_steps: int
) -> tuple[jax.Array, jax.Array]:
    """Return eigenvectors (coil, y, x) and eigenvalues (y, x) for one calibration region (coil, height, width)."""
    coils, height, width = calibration.shape
    tops, lefts = height - kernel + 1, width - kernel + 1
    corners = [(a, b) for a in range(kernel) for b in range(kernel)]
    patches = jnp.stack([calibration[:, a : a + tops, b : b + lefts].reshape(coils, -1) for a, b in corners])
    patches = patches.reshape(len(corners) * coils, -1)
    patches = patches / jnp.maximum(jnp.max(jnp.abs(patches)), jnp.finfo(patches.real.dtype).tiny)
    values, vectors = jnp.linalg.eigh(patches @ patches.conj().T)
    kept = vectors * ((values >= threshold**2 * values[-1]) & (values > 0))
    projection = (kept @ kept.conj().T).reshape(kernel, kernel, coils, kernel, kernel, coils)

    # Sums over pairs of samples at equal distance, (distance y, distance x, coil, coil).
    distances = np.arange(1 - kernel, kernel)
    equal = np.equal(np.subtract.outer(np.arange(kernel), np.arange(kernel)), distances[:, None, None])
    pairs = jnp.asarray(equal, calibration.real.dtype)
    sums = jnp.einsum("sab,tuv,aucbvd->stcd", pairs, pairs, projection, optimize=True) / kernel**2
    y, x = (
        jnp.exp(jnp.asarray(2j * np.pi * np.outer(np.arange(n) - n // 2, distances) / n, sums.dtype)) for n in shape
    )
    sums = jnp.einsum("xt,stcd->sxcd", x, sums)

    # The phase of the eigenvector is that of the strongest combination of coils.
    reference = compression_matrix(calibration, 1)[0]

    def unit(vector: jax.Array) -> jax.Array:
        size = jnp.linalg.norm(vector, axis=1, keepdims=True)
        return vector / jnp.maximum(size, jnp.finfo(size.dtype).tiny)

    def row(ramp: jax.Array) -> tuple[jax.Array, jax.Array]:
        matrices = jnp.einsum("s,sxcd->xcd", ramp, sums)
        power = matrices
        for _ in range(_SQUARINGS):
            power = jnp.einsum("xcd,xde->xce", power, power)
        largest = jnp.argmax(jnp.einsum("xcc->xc", power).real, axis=1)
        vector = jnp.take_along_axis(power, largest[:, None, None], axis=2)[..., 0]
        vector = jax.lax.fori_loop(0, power_steps, lambda _, v: unit(jnp.einsum("xcd,xd->xc", power, v)), unit(vector))
        eigenvalue = jnp.linalg.norm(jnp.einsum("xcd,xd->xc", matrices, vector), axis=1)
        phase = jnp.exp(-1j * jnp.angle(vector @ reference))
        return vector * phase[:, None], eigenvalue

    vectors, eigenvalues = jax.lax.map(row, y, batch_size=_ROWS)
    return jnp.moveaxis(vectors, -1, 0), eigenvalues
