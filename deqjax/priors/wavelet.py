"""Sparsity of the coefficients of a Daubechies wavelet transform."""

from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from math import comb

import jax
import jax.numpy as jnp
import numpy as np

from deqjax.priors.total_variation import clip_magnitude, safe_sqrt


@dataclass(frozen=True)
class Wavelet:
    """The sum of the magnitudes of Daubechies wavelet coefficients, ``g(x) = sum_i |(K x)_i|`` with ``K^H K = I``.

    K is the orthonormal transform with periodic boundaries on the last ``dimensions`` axes. An axis of odd size is
    extended by one zero at each level. The low-pass coefficients of the last level count as well. With several
    ``shifts``, K stacks the transforms of as many shifted images, divided by the square root of their number. This is a
    tight frame, which reduces the dependence on the position of the image. It replaces the random shifts of other
    packages, with which an iteration does not converge to a point.

    Attributes:
      moments: the number of vanishing moments, 1 (Haar) to 10; the filters have twice as many taps.
      levels: the number of times that the size is halved.
      shifts: the shifts along the diagonal, in pixels.
      dimensions: 2 for images (y, x), 3 for volumes (z, y, x) and series (t, y, x).

    Raises:
      ValueError: ``moments`` is not in 1 to 10, ``levels`` is below 1, or ``shifts`` is empty.

    Sources: I. Daubechies, "Orthonormal bases of compactly supported wavelets", Commun. Pure Appl. Math. 41:909, 1988,
    section 4; the shifts: R. R. Coifman, D. L. Donoho, "Translation-invariant de-noising", Wavelets and Statistics,
    1995; in MRI: M. Lustig, D. Donoho, J. M. Pauly, "Sparse MRI", Magn. Reson. Med. 58:1182, 2007.

    >>> image = jax.random.normal(jax.random.key(0), (9, 7))
    >>> wavelet = Wavelet(moments=2, levels=2)
    >>> energy = sum(jnp.sum(part**2) for part in wavelet.analysis(image))
    >>> bool(jnp.allclose(energy, jnp.sum(image**2), rtol=1e-5))
    True
    """

    moments: int = 4
    levels: int = 4
    shifts: tuple[int, ...] = (0,)
    dimensions: int = 2

    def __post_init__(self) -> None:
        if not 1 <= self.moments <= 10 or self.levels < 1 or not self.shifts:
            raise ValueError(
                f"Wavelet needs 1 <= moments <= 10, levels >= 1 and at least one shift, not {self.moments}, "
                f"{self.levels} and {self.shifts}"
            )

    @property
    def norm_squared(self) -> float:
        """The largest eigenvalue of ``K^H K``, which is I."""
        return 1.0

    def analysis(self, image: jax.Array) -> tuple[jax.Array, ...]:
        """Compute K x: the details of every level, then the low-pass part; each is (..., shift, band, y, x)."""
        axes, band_axis = tuple(range(-self.dimensions, 0)), -self.dimensions - 1
        shifted = [jnp.roll(image, (shift,) * self.dimensions, axes) for shift in self.shifts]
        low = jnp.stack(shifted, axis=band_axis) / np.sqrt(len(self.shifts))
        coefficients = []
        for _ in range(self.levels):
            halves = []
            for axis in axes:
                matrix = level_matrix(self.moments, low.shape[axis])
                low = _multiply_along(matrix, low, axis)
                halves.append((slice(len(matrix) // 2), slice(len(matrix) // 2, None)))
            low, *details = (low[..., *corner] for corner in product(*halves))
            coefficients.append(jnp.stack(details, axis=band_axis))
        return (*coefficients, jnp.expand_dims(low, band_axis))

    def project(self, dual: tuple[jax.Array, ...], radius: jax.Array | float) -> tuple[jax.Array, ...]:
        """Return the nearest dual variable with magnitudes of at most ``radius``."""
        return tuple(clip_magnitude(part, magnitude(part), radius) for part in dual)

    def value(self, image: jax.Array) -> jax.Array:
        """Compute g(x), one number for each image."""
        axes = tuple(range(-self.dimensions - 2, 0))
        return sum((jnp.sum(magnitude(part), axis=axes) for part in self.analysis(image)), jnp.zeros(()))


def magnitude(values: jax.Array) -> jax.Array:
    """Return the magnitude, with the gradient 0 at 0 instead of NaN.

    >>> magnitude(jnp.array([3 + 4j])).item()
    5.0
    """
    return safe_sqrt(values.real**2 + values.imag**2)


@lru_cache(maxsize=64)
def level_matrix(moments: int, length: int) -> np.ndarray:
    """Return the matrix of one level along one axis: low-pass rows above details, (2 ceil(length / 2), length).

    >>> level_matrix(1, 4)[:, :2].round(3)
    array([[ 0.707,  0.707],
           [ 0.   ,  0.   ],
           [ 0.707, -0.707],
           [ 0.   ,  0.   ]])
    """
    low = daubechies_filter(moments)
    taps = len(low)
    high = low[::-1] * (-1.0) ** np.arange(taps)
    half = -(-length // 2)
    matrix = np.zeros((2, half, 2 * half))
    for n in range(half):
        np.add.at(matrix[0, n], (2 * n + np.arange(taps)) % (2 * half), low)
        np.add.at(matrix[1, n], (2 * n + np.arange(taps)) % (2 * half), high)
    return matrix.reshape(2 * half, 2 * half)[:, :length]


@lru_cache(maxsize=16)
def daubechies_filter(moments: int) -> np.ndarray:
    """Return the minimum-phase orthonormal low-pass filter with p = ``moments`` vanishing moments, (2 moments,).

    Its polynomial is the product of ``((1 + z) / 2)^p`` and of the roots inside the unit circle of
    ``sum_k C(p - 1 + k, k) y^k`` with ``y = (2 - z - 1 / z) / 4``.

    >>> daubechies_filter(2).round(4)
    array([ 0.483 ,  0.8365,  0.2241, -0.1294])
    """
    roots: list[complex] = []
    for y in np.roots([comb(moments - 1 + k, k) for k in reversed(range(moments))]):
        z = np.roots([1, 4 * y - 2, 1])
        roots.append(z[np.argmin(np.abs(z))])
    taps = np.real(np.poly(np.concatenate([-np.ones(moments), roots])))
    return taps * np.sqrt(2) / taps.sum()


def _multiply_along(matrix: np.ndarray, image: jax.Array, axis: int) -> jax.Array:
    """Multiply a real matrix along an axis of an image, in full precision on every device."""
    highest = jax.lax.Precision.HIGHEST
    real = jnp.asarray(matrix, image.real.dtype)
    after = "kl"[: -1 - axis]
    rule = f"ij,...j{after}->...i{after}"
    apply = lambda part: jnp.einsum(rule, real, part, precision=highest)
    return jax.lax.complex(apply(image.real), apply(image.imag)) if jnp.iscomplexobj(image) else apply(image)
