"""Wavelets: the same detail at several sizes."""

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
    """Sparsity of Daubechies wavelets, ``g(x) = sum_i |(K x)_i|``, where ``K^H K = I``.

    K is the orthonormal transform around the border, on the last ``dimensions`` axes; an odd size gets one zero at each
    level. What is left at the last level counts too. With several ``shifts`` it is the transforms of as many shifted
    images, divided by the square root of their number: a tight frame, which does not see where the grid of the
    transform lies. It takes the place of the random shifts of other packages, with which nothing converges to a point.

    Sources: I. Daubechies, "Orthonormal bases of compactly supported wavelets", Commun. Pure Appl. Math. 41:909, 1988,
    section 4; R. R. Coifman, D. L. Donoho, "Translation-invariant de-noising", Wavelets and Statistics, 1995; in MRI,
    M. Lustig, D. Donoho, J. M. Pauly, Magn. Reson. Med. 58:1182, 2007.

    Attributes:
      moments: vanishing moments, 1 (Haar) to 10; the filters have twice as many taps.
      levels: how often the size is halved.
      shifts: along the diagonal, in pixels.
      dimensions: 2 for images (y, x), 3 for volumes (z, y, x) and series (t, y, x).

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
        """K x, (..., y, x) to the details of every level and what is left, each (..., shift, band, y, x)."""
        axes, band_axis = tuple(range(-self.dimensions, 0)), -self.dimensions - 1
        shifted = [jnp.roll(image, (shift,) * self.dimensions, axes) for shift in self.shifts]
        low = jnp.stack(shifted, axis=band_axis) / np.sqrt(len(self.shifts))
        coefficients = []
        for _ in range(self.levels):
            halves = []
            for axis in axes:
                matrix = one_level(self.moments, low.shape[axis])
                low = _times(matrix, low, axis)
                halves.append((slice(len(matrix) // 2), slice(len(matrix) // 2, None)))
            low, *details = (low[..., *corner] for corner in product(*halves))
            coefficients.append(jnp.stack(details, axis=band_axis))
        return (*coefficients, jnp.expand_dims(low, band_axis))

    def project(self, dual: tuple[jax.Array, ...], radius: jax.Array | float) -> tuple[jax.Array, ...]:
        """The nearest dual variable whose magnitudes are at most ``radius``."""
        return tuple(clip_magnitude(part, magnitude(part), radius) for part in dual)

    def value(self, image: jax.Array) -> jax.Array:
        """g(x), one number an image."""
        axes = tuple(range(-self.dimensions - 2, 0))
        return sum((jnp.sum(magnitude(part), axis=axes) for part in self.analysis(image)), jnp.zeros(()))


def magnitude(values: jax.Array) -> jax.Array:
    """The magnitude, with a gradient of 0 at 0.

    >>> magnitude(jnp.array([3 + 4j])).item()
    5.0
    """
    return safe_sqrt(values.real**2 + values.imag**2)


@lru_cache(maxsize=64)
def one_level(moments: int, length: int) -> np.ndarray:
    """The matrix of one level along one axis: averages above details, (2 ceil(length / 2), length).

    >>> one_level(1, 4)[:, :2].round(3)
    array([[ 0.707,  0.707],
           [ 0.   ,  0.   ],
           [ 0.707, -0.707],
           [ 0.   ,  0.   ]])
    """
    low = daubechies(moments)
    taps = len(low)
    high = low[::-1] * (-1.0) ** np.arange(taps)
    half = -(-length // 2)
    matrix = np.zeros((2, half, 2 * half))
    for n in range(half):
        np.add.at(matrix[0, n], (2 * n + np.arange(taps)) % (2 * half), low)
        np.add.at(matrix[1, n], (2 * n + np.arange(taps)) % (2 * half), high)
    return matrix.reshape(2 * half, 2 * half)[:, :length]


@lru_cache(maxsize=16)
def daubechies(moments: int) -> np.ndarray:
    """The orthonormal low-pass filter with so many vanishing moments and the least phase, (2 moments,).

    The half-band polynomial ``((1 + z) / 2)^p`` times the roots inside the unit circle of
    ``sum_k C(p - 1 + k, k) y^k`` with ``y = (2 - z - 1 / z) / 4``.

    >>> daubechies(2).round(4)
    array([ 0.483 ,  0.8365,  0.2241, -0.1294])
    """
    roots: list[complex] = []
    for y in np.roots([comb(moments - 1 + k, k) for k in reversed(range(moments))]):
        z = np.roots([1, 4 * y - 2, 1])
        roots.append(z[np.argmin(np.abs(z))])
    taps = np.real(np.poly(np.concatenate([-np.ones(moments), roots])))
    return taps * np.sqrt(2) / taps.sum()


def _times(matrix: np.ndarray, image: jax.Array, axis: int) -> jax.Array:
    """Multiply along an axis, real and imaginary part apart, in full precision on every device."""
    highest = jax.lax.Precision.HIGHEST
    real = jnp.asarray(matrix, image.real.dtype)
    after = "kl"[: -1 - axis]
    rule = f"ij,...j{after}->...i{after}"
    apply = lambda part: jnp.einsum(rule, real, part, precision=highest)
    return jax.lax.complex(apply(image.real), apply(image.imag)) if jnp.iscomplexobj(image) else apply(image)
