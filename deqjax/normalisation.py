"""Normalisation: the units in which networks work. They are found from the measurement and undone in the image."""

import math
from dataclasses import dataclass, field, replace

import jax
import jax.numpy as jnp

from deqjax.physics.phase import PhaseModulated, check_width, smooth_phase
from deqjax.pytree import operand
from deqjax.scaling import power_of_two_scale
from deqjax.types import ForwardModel

__all__ = ["EnergyScale", "SmoothPhase", "StandardScore", "Units"]


@operand
class Units:
    """A change of units of images, ``apply(x) = (conj(phase) x - shift) / scale``.

    There is one shift and one scale per image, and one phase of magnitude 1 per pixel, or None for no phase. The scale
    is 0 for an image of which nothing was measured, so that the output of a network is multiplied by 0 there. Real and
    imaginary parts of ``apply`` are clamped to ``[-clamp, clamp]``.
    """

    shift: jax.Array
    scale: jax.Array
    phase: jax.Array | None = None
    clamp: float = field(default=math.inf, metadata={"static": True})

    def apply(self, image: jax.Array) -> jax.Array:
        image = image if self.phase is None else jnp.conj(self.phase) * image
        unit = power_of_two_scale(self.scale, axes=())  # the reciprocal of a very large scale is subnormal
        image = unit.apply(image - self.shift) / jnp.where(self.scale > 0, unit.apply(self.scale), 1)
        if self.clamp == math.inf:
            return image
        return jax.lax.complex(*(jnp.clip(part, -self.clamp, self.clamp) for part in (image.real, image.imag)))

    def undo(self, image: jax.Array) -> jax.Array:
        image = image * self.scale + self.shift
        return image if self.phase is None else self.phase * image

    def forward_model(self, A: ForwardModel) -> ForwardModel:
        """Make the forward model of images without the phase. It leaves shift and scale alone."""
        return A if self.phase is None else PhaseModulated(A, self.phase)


@dataclass(frozen=True)
class EnergyScale:
    """One positive scale per image and no shift: ``scale = sqrt(sum |x|^4 / sum |x|^2)`` of the zero-filled image.

    This is the root mean square weighted by energy. The background contributes nothing, so that the field of view and
    crops do not change the scale, and one bright sample changes it little. Scaling the k-space by c > 0 scales the
    reconstruction by c, and the reconstruction of all-zero k-space is 0. The sums are over all axes of one image, which
    are the last ``dimensions``.

    >>> float(EnergyScale()(jnp.array([[0.0, 3.0], [3.0, 0.0]])).scale.round(4)[0, 0])
    3.0
    """

    def __call__(self, zero_filled: jax.Array, dimensions: int = 2) -> Units:
        axes = tuple(range(-dimensions, 0))
        unit = power_of_two_scale(zero_filled, axes)
        scaled = unit.apply(zero_filled)
        power = scaled.real**2 + scaled.imag**2
        energy = jnp.sum(power, axis=axes, keepdims=True)
        empty = energy == 0
        ratio = jnp.sum(power**2, axis=axes, keepdims=True) / jnp.where(empty, 1, energy)
        scale = unit.undo(jnp.where(empty, 0, jnp.sqrt(jnp.where(empty, 1, ratio))))
        return Units(jnp.zeros_like(scale), scale)

    def of_target(self, target: jax.Array, units: Units) -> Units:
        """Use the units of the input for the target, so that ``A target = kspace`` holds."""
        return units


@dataclass(frozen=True)
class SmoothPhase:
    """:class:`EnergyScale`, and the phase of the low frequencies of the zero-filled image removed.

    The map then works on images that are nearly real, whatever smooth phase the scanner or the coil sensitivities add.
    Multiplying the k-space by a complex number c multiplies the reconstruction by c.

    Attributes:
      width: the width of the low frequencies, see :func:`deqjax.physics.smooth_phase`. It should not exceed the
        calibration lines.

    Raises:
      ValueError: the width is not in (0, 1].

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
        """Use the units of the input for the target."""
        return units


@dataclass(frozen=True)
class StandardScore:
    """Subtract the mean and divide by the standard deviation of real and imaginary parts, as the thesis does.

    Input and target each have their own statistics, which breaks ``A target = kspace``. It is provided to reproduce the
    configs of the thesis. Scaling the k-space by c > 0 still scales the reconstruction by c.

    Attributes:
      clamp: real and imaginary parts are clamped to this many standard deviations, 6 in the thesis, as in the data
        transform of fastMRI's U-Net (``UnetDataTransform`` in ``fastmri/data/transforms.py``).

    Raises:
      ValueError: the clamp is not positive.

    >>> units = StandardScore(clamp=0.5)(jnp.array([[1 + 1j, 3 + 3j]]))
    >>> units.apply(jnp.array([[1 + 1j, 2 + 2j, 3 + 3j]]))
    Array([[-0.5-0.5j,  0. +0.j ,  0.5+0.5j]], dtype=complex64)
    """

    clamp: float = math.inf

    def __post_init__(self) -> None:
        if not self.clamp > 0:
            raise ValueError(f"clamp must be positive, in standard deviations; it is {self.clamp}")

    def __call__(self, zero_filled: jax.Array, dimensions: int = 2) -> Units:
        parts = jnp.stack([zero_filled.real, zero_filled.imag])
        axes = (0, *range(-dimensions, 0))
        unit = power_of_two_scale(parts, axes)
        scaled = unit.apply(parts)
        mean = jnp.mean(scaled, axis=axes, keepdims=True)
        variance = jnp.mean((scaled - mean) ** 2, axis=axes, keepdims=True)
        flat = variance == 0
        scale = unit.undo(jnp.where(flat, 0, jnp.sqrt(jnp.where(flat, 1, variance))))[0]
        mean = unit.undo(mean)[0]
        return Units(jax.lax.complex(mean, mean), scale, clamp=self.clamp)

    def of_target(self, target: jax.Array, units: Units) -> Units:
        """Find the units of the target (batch, y, x) from the target itself."""
        return self(target)
