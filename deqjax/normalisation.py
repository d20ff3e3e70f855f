"""The units in which networks work: found from the measurement, undone on the way out."""

from dataclasses import dataclass, replace
from typing import Protocol

import jax
import jax.numpy as jnp

from deqjax.physics.phase import PhaseModulated, check_width, smooth_phase
from deqjax.pytree import operand
from deqjax.types import ForwardModel

__all__ = ["EnergyScale", "Normalisation", "SmoothPhase", "StandardScore", "Units"]


@operand
class Units:
    """A change of units of images, ``apply(x) = (conj(phase) x - shift) / scale``.

    Shift and scale are one number an image; the phase is a number of magnitude 1 a pixel, or None for none. The scale
    is 0 where nothing was measured: what a network invents there is multiplied by 0.
    """

    shift: jax.Array
    scale: jax.Array
    phase: jax.Array | None = None

    def apply(self, image: jax.Array) -> jax.Array:
        image = image if self.phase is None else jnp.conj(self.phase) * image
        return (image - self.shift) / jnp.where(self.scale > 0, self.scale, 1)

    def undo(self, image: jax.Array) -> jax.Array:
        image = image * self.scale + self.shift
        return image if self.phase is None else self.phase * image

    def forward_model(self, A: ForwardModel) -> ForwardModel:
        """The forward model of images in these units, but for shift and scale."""
        return A if self.phase is None else PhaseModulated(A, self.phase)


class Normalisation(Protocol):
    """A setting that finds units from a zero-filled image, and those of the target in training.

    ``dimensions`` is how many of the last axes are those of one image: 3 for volumes and series.
    """

    def __call__(self, zero_filled: jax.Array, dimensions: int = 2) -> Units: ...

    def of_target(self, target: jax.Array, units: Units) -> Units: ...


@dataclass(frozen=True)
class EnergyScale:
    """One positive scale an image and no shift: ``scale = sqrt(sum |x|^4 / sum |x|^2)`` of the zero-filled image.

    It is the root mean square weighted by energy: background adds nothing, so that neither the field of view nor a
    crop changes it, and one bright sample changes it little. Scaling the k-space by c > 0 scales the reconstruction by
    c, and all-zero k-space has the image 0. The sums are over all axes of one image, its last ``dimensions``.

    >>> float(EnergyScale()(jnp.array([[0.0, 3.0], [3.0, 0.0]])).scale.round(4)[0, 0])
    3.0
    """

    def __call__(self, zero_filled: jax.Array, dimensions: int = 2) -> Units:
        axes = tuple(range(-dimensions, 0))
        magnitude = jnp.abs(zero_filled)
        largest = jax.lax.stop_gradient(jnp.max(magnitude, axis=axes, keepdims=True))
        largest = jnp.where(largest > 0, largest, 1)
        power = (zero_filled.real / largest) ** 2 + (zero_filled.imag / largest) ** 2
        energy = jnp.sum(power, axis=axes, keepdims=True)
        empty = energy == 0
        ratio = jnp.sum(power**2, axis=axes, keepdims=True) / jnp.where(empty, 1, energy)
        scale = jnp.where(empty, 0, largest * jnp.sqrt(jnp.where(empty, 1, ratio)))
        return Units(jnp.zeros_like(scale), scale)

    def of_target(self, target: jax.Array, units: Units) -> Units:
        """The target is measured in the units of the input, so that ``A target = kspace`` holds."""
        return units


@dataclass(frozen=True)
class SmoothPhase:
    """:class:`EnergyScale`, and the phase of the low frequencies of the zero-filled image taken off.

    The map so works on images that are nearly real, whatever smooth phase the scanner or the coil sensitivities lay on
    them. Multiplying the k-space by any complex number c multiplies the reconstruction by c.

    Attributes:
      width: of the low frequencies, as of :func:`deqjax.physics.smooth_phase`; about the calibration lines at most.

    Raises:
      ValueError: a width that is not in (0, 1].

    >>> units = SmoothPhase()(jnp.array([[3j, 3j], [3j, 3j]]))
    >>> units.apply(jnp.full((2, 2), 3j)).real.round(4)[0]
    Array([1., 1.], dtype=float32)
    """

    width: float = 0.05

    def __post_init__(self) -> None:
        check_width(self.width)

    def __call__(self, zero_filled: jax.Array, dimensions: int = 2) -> Units:
        units = EnergyScale()(zero_filled, dimensions)
        return replace(units, phase=smooth_phase(units.apply(zero_filled), self.width, dimensions))

    def of_target(self, target: jax.Array, units: Units) -> Units:
        """The target is measured in the units of the input."""
        return units


@dataclass(frozen=True)
class StandardScore:
    """The thesis' form: subtract the mean and divide by the standard deviation, over real and imaginary parts.

    Input and target each have their own statistics, which breaks ``A target = kspace``; it is here to reproduce its
    configs. Scaling the k-space by c > 0 still scales the reconstruction by c.

    >>> units = StandardScore()(jnp.array([[1 + 1j, 3 + 3j]]))
    >>> units.apply(jnp.array([[1 + 1j, 3 + 3j]]))
    Array([[-1.-1.j,  1.+1.j]], dtype=complex64)
    """

    def __call__(self, zero_filled: jax.Array, dimensions: int = 2) -> Units:
        parts = jnp.stack([zero_filled.real, zero_filled.imag])
        axes = (0, *range(-dimensions, 0))
        mean = jnp.mean(parts, axis=axes, keepdims=True)[0]
        largest = jnp.max(jnp.abs(parts), axis=axes, keepdims=True)[0]
        largest = jax.lax.stop_gradient(jnp.where(largest > 0, largest, 1))
        variance = jnp.mean(((parts - mean) / largest) ** 2, axis=axes, keepdims=True)[0]
        flat = variance == 0
        scale = jnp.where(flat, 0, largest * jnp.sqrt(jnp.where(flat, 1, variance)))
        return Units(jax.lax.complex(mean, mean), scale)

    def of_target(self, target: jax.Array, units: Units) -> Units:
        """The target (batch, y, x) has units of its own."""
        return self(target)
