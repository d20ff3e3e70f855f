"""Simulated motion of an object between two acquisitions: the flow of a random smooth velocity."""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from deqjax.data.fourier_numpy import fft2c, ifft2c
from deqjax.physics import low_resolution_smaps

SQUARINGS = 6
"""The number of squarings of the exponential of a velocity."""

CENTER_FRACTION = 0.08
"""The part of k-space, along each axis, whose phase and relative coil intensities do not move."""


@dataclass(frozen=True)
class RandomMotion:
    """A random smooth stationary velocity v: the object moves by its flow, ``x(p) -> x(exp(-v)(p))``.

    White noise is smoothed by a Gaussian and scaled. The flow of -v is the inverse of that of v.

    Source: W. Gan et al., "Deformation-compensated learning for image reconstruction without ground truth", IEEE Trans.
    Med. Imaging 41:2371, 2022, section IV.A, where the smoothed noise is the displacement.

    Attributes:
      displacement: the mean over the image of the length of the displacement ``exp(v)(p) - p``, in pixels, up to 3 %.
      smoothness: the standard deviation of the Gaussian, in pixels.

    Raises:
      ValueError: the displacement is negative, or the smoothness is not positive.

    >>> velocity = RandomMotion(displacement=2.0).velocity((32, 32), np.random.default_rng(0))
    >>> velocity.shape, round(float(np.linalg.norm(flow(velocity), axis=-1).mean()), 1)
    ((32, 32, 2), 2.0)
    """

    displacement: float = 4.0
    smoothness: float = 18.0

    def __post_init__(self) -> None:
        if not (self.displacement >= 0 and self.smoothness > 0):
            raise ValueError(
                f"need displacement >= 0 and smoothness > 0, in pixels; got {self.displacement}, {self.smoothness}"
            )

    def velocity(self, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
        """Draw a velocity, (y, x, 2) float32, in pixels along y and x."""
        from scipy.ndimage import gaussian_filter  # half a second of the import of deqjax

        noise = rng.standard_normal((2, *shape))
        velocity = np.stack([gaussian_filter(part, self.smoothness, mode="wrap") for part in noise], axis=-1)
        velocity *= self.displacement / np.linalg.norm(velocity, axis=-1).mean()
        length = np.linalg.norm(flow(velocity), axis=-1).mean()  # the flow of v is not as long as v
        return (velocity * (self.displacement / length if length else 0.0)).astype(np.float32)


def flow(velocity: np.ndarray) -> np.ndarray:
    """Return the displacement ``exp(v)(p) - p`` of a stationary velocity (y, x, 2), by scaling and squaring.

    Source: V. Arsigny et al., "A log-Euclidean framework for statistics on diffeomorphisms", MICCAI 2006, algorithm 2.

    >>> flow(np.full((4, 4, 2), 0.5))[0, 0]
    array([0.5, 0.5])
    """
    from scipy.ndimage import map_coordinates

    moved = np.moveaxis(np.asarray(velocity, np.float64), -1, 0) / 2**SQUARINGS
    points = np.indices(moved.shape[1:])
    for _ in range(SQUARINGS):
        places = points + moved
        moved = moved + np.stack([map_coordinates(part, places, order=1, mode="nearest") for part in moved])
    return np.moveaxis(moved, 0, -1)


def move_object(kspace: np.ndarray, displacement: np.ndarray) -> np.ndarray:
    """Return the full k-space of the object ``x(p + u(p))``, whose coil sensitivities and smooth phase have not moved.

    With the low-resolution coil images over their root sum of squares as s, and ``x = sum_c conj(s_c) x_c``, the image
    of a coil changes by ``s_c (x(p + u) - x(p))``. The object is interpolated by cubic B-splines, and its border is
    repeated. Without displacement the k-space is the same, bit for bit.

    Args:
      kspace: ([coil,] y, x) complex64, fully sampled.
      displacement: u, (y, x, 2), in pixels.

    >>> kspace = np.ones((8, 8), np.complex64)
    >>> bool((move_object(kspace, np.zeros((8, 8, 2))) == kspace).all())
    True
    """
    from scipy.ndimage import map_coordinates

    coils = kspace.reshape(-1, *kspace.shape[-2:])
    fraction = max(CENTER_FRACTION, 4 / min(kspace.shape[-2:]))
    smaps = np.asarray(low_resolution_smaps(jnp.asarray(coils), fraction))
    image = np.sum(np.conj(smaps) * ifft2c(coils), axis=0)
    places = np.indices(image.shape) + np.moveaxis(displacement, -1, 0)
    real, imaginary = (map_coordinates(part, places, order=3, mode="nearest") for part in (image.real, image.imag))
    change = np.where(np.any(displacement != 0, axis=-1), real + 1j * imaginary - image, 0)
    return (kspace + fft2c(smaps * change).reshape(kspace.shape)).astype(np.complex64)
