"""The domain of a model: the conditions for which it was trained, and their measurement from new data."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields

import jax
import jax.numpy as jnp
import numpy as np

from deqjax.data import energy_scale, estimate_noise
from deqjax.data.fourier_numpy import fft2c, ifft2c
from deqjax.masks import realised_acceleration
from deqjax.physics import MaskedFourier, Sense
from deqjax.physics.fourier import hann
from deqjax.types import ForwardModel

Range = tuple[float, float]

TOLERANCE = 1.25
"""A measured condition is inside the domain up to this factor beyond the range that the model was trained on."""

LOW_PASS = 0.08
"""The width of the window, as a fraction of k-space, behind which phase and contrast are measured."""

OBJECT_LEVEL = 0.2
"""The object is where the low-resolution image is above this fraction of its maximum."""


@dataclass(frozen=True)
class Conditions:
    """What is measured of one image, or of the slices of a volume by their median.

    Attributes:
      acceleration: the number of points over the number of samples.
      noise: the standard deviation of the complex noise relative to the scale of the image, which is the root mean
        square weighted by energy (:class:`deqjax.EnergyScale`).
      phase: the root mean square change of the phase from pixel to pixel at low resolution, in radians.
      rows: the size y.
      lines: the size x, along which lines are left out.
      contrast: the standard deviation of the magnitude over its mean, in the object and at low resolution.
      coils: the number of coils.
    """

    acceleration: float
    noise: float
    phase: float
    rows: float
    lines: float
    contrast: float
    coils: float


LABELS = {
    "acceleration": ("acceleration", "x"),
    "noise": ("noise", " of the image"),
    "phase": ("phase roughness", " rad per pixel"),
    "rows": ("size y", " pixels"),
    "lines": ("size x", " pixels"),
    "contrast": ("contrast", " (standard deviation over mean)"),
    "coils": ("number of coils", ""),
}
"""How the conditions are called in messages, and their units."""


@dataclass(frozen=True)
class Domain:
    """The range (low, high) of every condition for which a model was trained, as ``domain.toml`` in its folder has it.

    The ranges span the examples of the training and the validation, and further data on which the model was measured
    to improve the image. They are measured by :func:`measure_conditions`, as those of new data are.

    Attributes:
      trained_on: the anatomy, the contrast and the data, in words.
      acceleration: see :class:`Conditions` for this and the following ranges.

    Raises:
      ValueError: a range is not two finite numbers in order.

    >>> domain = Domain("T2 brain", (3.0, 9.0), (0, 0.04), (0, 0.1), (64, 320), (64, 320), (0.3, 1.0), (1, 16))
    >>> domain.outside(Conditions(16.0, 0.01, 0.02, 256, 256, 0.5, 8))
    ('acceleration 16x (trained on 3 to 9)',)
    """

    trained_on: str
    acceleration: Range
    noise: Range
    phase: Range
    rows: Range
    lines: Range
    contrast: Range
    coils: Range

    def __post_init__(self) -> None:
        for name, (low, high) in self.ranges().items():
            if not (np.isfinite([low, high]).all() and 0 <= low <= high):
                raise ValueError(f"the range of {name} must be two numbers 0 <= low <= high; it is {(low, high)}")

    def ranges(self) -> dict[str, Range]:
        """Return the range of every condition by its name."""
        return {name: getattr(self, name) for name in LABELS}

    def outside(self, found: Conditions, verb: str = "trained") -> tuple[str, ...]:
        """Return a phrase for every condition that is outside its range by more than the factor ``TOLERANCE``.

        ``verb`` says what was done in the range.
        """
        phrases = []
        for name, (low, high) in self.ranges().items():
            value, (label, unit) = getattr(found, name), LABELS[name]
            if not low / TOLERANCE <= value <= high * TOLERANCE:
                phrases.append(f"{label} {value:.3g}{unit} ({verb} on {low:.3g} to {high:.3g})")
        return tuple(phrases)


def measure_conditions(kspace: np.ndarray, mask: np.ndarray, zero_filled: np.ndarray) -> Conditions:
    """Measure the conditions of undersampled k-space.

    * The noise is measured by :func:`deqjax.data.estimate_noise`.
    * The phase is ``sqrt(sum w d^2 / sum w)`` over neighbouring pixels of the low-resolution image, where d is the
      difference of their phases and w the product of their magnitudes. The low resolution flattens a steep phase by a
      fifth.

    Args:
      kspace: (slice, [coil,] y, x) complex.
      mask: zeros and ones, broadcasts against (y, x), or against (slice, y, x) with a mask for each slice.
      zero_filled: ``A^H y``, the images (slice, y, x).

    Returns:
      The medians over the slices that hold signal.

    Raises:
      ValueError: no slice holds signal.
    """
    found = [one for one in _measure_slices(kspace, mask, zero_filled) if one is not None]
    if not found:
        raise ValueError(f"kspace of shape {kspace.shape} is zero: there is nothing to measure")
    median = {field.name: float(np.median([getattr(one, field.name) for one in found])) for field in fields(Conditions)}
    return Conditions(**median)


def inside_domain(domain: Domain, A: ForwardModel, kspace: jax.Array) -> jax.Array | None:
    """Return whether each image of ([batch,] [coil,] y, x) was measured under conditions inside a domain.

    It is None where the conditions are not measured: for arrays that are traced, and for models other than
    :class:`~deqjax.physics.MaskedFourier` and :class:`~deqjax.physics.Sense` of images (y, x). An image of which the
    k-space is zero counts as inside.

    >>> import deqjax as dj
    >>> A, kspace = dj.physics.MaskedFourier(jnp.ones((1, 64))), jnp.ones((64, 64), complex)
    >>> domain = Domain("points", (1, 1), (0, 9), (0, 9), (64, 64), (64, 64), (0, 9), (1, 1))
    >>> bool(inside_domain(domain, A, kspace))
    True
    """
    traced = any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves((A, kspace)))
    if traced or not isinstance(A, MaskedFourier | Sense) or len(A.axes) != 2:
        return None
    with jax.ensure_compile_time_eval():  # the arrays may be known inside a jit of the user
        zero_filled = np.asarray(_adjoint(A, kspace))
        measured, single = np.asarray(kspace), zero_filled.ndim == 2
        if single:
            measured, zero_filled = measured[None], zero_filled[None]
        found = _measure_slices(measured, np.asarray(A.mask), zero_filled)
        inside = [one is None or not domain.outside(one) for one in found]
        return jnp.asarray(inside[0] if single else inside)


@jax.jit
def _adjoint(A: ForwardModel, kspace: jax.Array) -> jax.Array:
    return A.adjoint(kspace)


def _measure_slices(kspace: np.ndarray, mask: np.ndarray, zero_filled: np.ndarray) -> list[Conditions | None]:
    """Measure the conditions of every slice; None for a slice of which the k-space is zero."""
    mask = np.broadcast_to(mask, zero_filled.shape)
    return [_measure_slice(*one) if one[0].any() else None for one in zip(kspace, mask, zero_filled)]


def _measure_slice(kspace: np.ndarray, mask: np.ndarray, zero_filled: np.ndarray) -> Conditions:
    y, x = zero_filled.shape
    energy = np.abs(zero_filled).astype(np.float64) ** 2
    scale = energy_scale(energy)
    sigma = estimate_noise(kspace, mask)
    windows = [hann(np.arange(size) - size // 2, max(LOW_PASS * size, 3)) for size in (y, x)]
    low = ifft2c(fft2c(zero_filled / (scale or 1)) * np.outer(*windows).astype(np.float32)).astype(np.complex128)
    return Conditions(
        acceleration=realised_acceleration(mask),
        noise=float(sigma / scale) if scale else 0.0,
        phase=_roughness(low),
        rows=y,
        lines=x,
        contrast=_contrast(np.abs(low)),
        coils=len(kspace.reshape(-1, y, x)),
    )


def _roughness(image: np.ndarray) -> float:
    """Return the root mean square phase difference of neighbouring pixels, weighted by the product of magnitudes."""
    pairs = [image[1:] * image[:-1].conj(), image[:, 1:] * image[:, :-1].conj()]
    total = sum(np.abs(pair).sum() for pair in pairs)
    return float(np.sqrt(sum((np.abs(pair) * np.angle(pair) ** 2).sum() for pair in pairs) / total)) if total else 0.0


def _contrast(magnitude: np.ndarray) -> float:
    inside = magnitude[magnitude > OBJECT_LEVEL * magnitude.max()]
    return float(inside.std() / inside.mean()) if inside.size else 0.0


def domain_of(trained_on: str, examples: Iterable[Conditions], further: Iterable[Conditions] = ()) -> Domain:
    """Make the domain of examples of the training, and of further conditions in which the model works.

    Sizes and coils range from the lowest to the highest. The other conditions vary from slice to slice: of the examples
    they range from the 5th to the 95th percentile. All ranges then grow to hold the further conditions. Noise and phase
    start at 0.

    Raises:
      ValueError: there is no example.

    >>> domain_of("phantoms", [Conditions(4, 0.01, 0.1, 64, 64, 0.5, 1), Conditions(8, 0, 0.2, 96, 64, 0.6, 1)]).rows
    (64.0, 96.0)
    """
    table, more = [asdict(example) for example in examples], [asdict(example) for example in further]
    if not table:
        raise ValueError("a domain needs the conditions of at least one example")
    spans = {}
    for name in LABELS:
        ends = (0, 1) if name in ("rows", "lines", "coils") else (0.05, 0.95)
        found = [*np.quantile([row[name] for row in table], ends), *(row[name] for row in more)]
        low = 0.0 if name in ("noise", "phase") else min(found)
        spans[name] = (float(f"{low:.4g}"), float(f"{max(found):.4g}"))
    return Domain(trained_on, **spans)
