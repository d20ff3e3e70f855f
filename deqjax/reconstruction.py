"""The one-line way from a scan to an image: check the data, reconstruct it, and say how far to trust the result."""

import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from deqjax import model_folders
from deqjax.certificates import Certificate, certify_fixed_point, describe_certificate, reconstruct_certified
from deqjax.classical_methods import METHODS, classical_method
from deqjax.data import ScanWarning, estimate_noise
from deqjax.domain import measure_conditions
from deqjax.input_checks.preparation import PreparedScan, prepare
from deqjax.physics import MaskedFourier, Sense
from deqjax.reconstruct import Reconstructor
from deqjax.solvers import Stats
from deqjax.types import ForwardModel, Params
from deqjax.uncertainty import Bounds, Calibration, Uncertainty, gather, join_bounds


class Method(NamedTuple):
    """A reconstruction method that is ready for use."""

    name: str
    recon: Reconstructor
    params: Params
    calibration: Calibration | None = None
    """Its error bars, or None where they have not been measured."""


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """An image, how its solve went, and everything that was assumed to make it. Printing it gives the verdict.

    ``image, stats = reconstruction`` unpacks it.

    Attributes:
      image: ([slice,] y, x) complex, in the units of the k-space.
      stats: the :class:`~deqjax.Stats` of every slice.
      zero_filled: ``A^H y``, with the shape of the image.
      smaps: the coil sensitivities that were used, (slice or 1, coil, y, x), or None for one coil.
      mask: the mask that was used, (slice or 1, y or 1, x or 1). Maps and mask belong to the centred k-space with lines
        left out along x.
      name: the name of the data.
      model: the name of the method.
      assumed: what was assumed or corrected, in sentences.
      warnings: what may make the image wrong, in sentences.
      outside: the conditions that are outside the domain of the model, empty if the data are inside; None if the method
        has no domain.
      seconds: the time of the solve, with compilation.
      certificate: how far the fixed point of every slice is away at most, for a method with a proved contraction;
        None for other methods. Where the method has a finish, it belongs to the fixed point before it.
      uncertainty: intervals for every pixel and a bound on the PSNR, or None where they were not asked for.
    """

    image: np.ndarray
    stats: Stats
    zero_filled: np.ndarray
    smaps: np.ndarray | None
    mask: np.ndarray
    name: str
    model: str
    assumed: tuple[str, ...]
    warnings: tuple[str, ...]
    outside: tuple[str, ...] | None
    seconds: float
    certificate: Certificate | None = None
    uncertainty: Uncertainty | None = None

    def __iter__(self) -> Iterator[Any]:
        return iter((self.image, self.stats))

    @property
    def converged(self) -> bool:
        """Whether every slice converged."""
        return bool(np.all(self.stats.converged))

    @property
    def verdict(self) -> str:
        """One line: converged slices, evaluations, certificate, domain, seconds."""
        converged = np.atleast_1d(np.asarray(self.stats.converged))
        where = {None: "no domain known", True: "inside the domain"}.get(
            None if self.outside is None else not self.outside, "OUTSIDE the domain"
        )
        where = "nothing was trained" if self.model in METHODS else where
        known = "" if self.certificate is None else f", {describe_certificate(self.certificate, self.image)}"
        return (
            f"{self.model}: {int(converged.sum())} of {converged.size} converged, "
            f"{float(np.mean(np.asarray(self.stats.num_steps))):.1f} evaluations{known}, {where}, {self.seconds:.1f} s"
        )

    def __str__(self) -> str:
        size = " x ".join(map(str, self.image.shape))
        lines = [f"{self.name}: image {size}, {self.verdict}"]
        lines += [] if self.uncertainty is None else [f"  error bars: {self.uncertainty.summary}"]
        lines += [f"  assumed: {text}" for text in self.assumed]
        lines += [f"  warning: {text}" for text in self.warnings]
        return "\n".join(lines)


def reconstruct_kspace(
    kspace: Any,
    mask: Any = None,
    smaps: Any = "auto",
    model: str | Path | Method = "brain-small",
    phase_axis: int = -1,
    uncertainty: bool = False,
) -> Reconstruction:
    """Reconstruct a scan in one call, after checks that know the physics.

    What the checks assumed or corrected is in ``assumed`` of the result. What may make the image wrong is in its
    ``warnings``, and is also issued as a :class:`~deqjax.data.ScanWarning`. ``docs/inputs.md`` lists wrong and odd
    inputs and how each of them is answered.

    Args:
      kspace: an array (y, x) or (slice, coil, y, x), also with real and imaginary parts along a last axis of 2, or with
        the 16 axes of BART; a file of any format of :func:`deqjax.data.open_scan` or ``.npy``; or a
        :class:`deqjax.data.Scan`. An array with three axes also needs ``smaps``, which says what the first axis is.
      mask: of any usual shape and type, for instance (x,), (1, x), (y, 1), (y, x) or (1, x, 1), or a file; or a setting
        of :mod:`deqjax.masks`, which undersamples fully sampled data. None reads it from the file, or from the empty
        lines.
      smaps: the coil sensitivities (coil, y, x) or (slice, coil, y, x), with the axes of BART, or a file; or how they
        are estimated, "espirit" or "low-resolution"; "auto" takes ESPIRiT where there are 8 calibration lines. None for
        one coil.
      model: the name of a model that comes with the package, a model folder, or a classical method: "zero-filled",
        "cg-sense", "total-variation", "l1-wavelet".
      phase_axis: the axis along which lines are left out, -1 for x and -2 for y.
      uncertainty: whether to compute error bars, for which the model needs a calibration (``deqjax calibrate``). They
        cost about two more reconstructions. They are proved only for slices that are exchangeable with those of the
        calibration; see :class:`deqjax.uncertainty.Uncertainty`.

    Returns:
      The :class:`Reconstruction`.

    Raises:
      ValueError: the input is ambiguous or contradicts itself, the file cannot be read, there is no such model, or it
        has no calibration for the error bars. The message says what to do.

    Warns:
      ScanWarning: see above, and where the data are outside the domain of the model.

    >>> import deqjax as dj
    >>> kspace = dj.data.phantom_volume(seed=1, shape=(1, 32, 32)).kspace[0]
    >>> mask = dj.masks.CartesianRandom(acceleration=2, center_fraction=0.2)(kspace.shape, seed=0)
    >>> result = reconstruct_kspace(mask * kspace, model="zero-filled")
    >>> result.image.shape, result.assumed
    ((32, 32), ('The mask is read from the empty lines of k-space (acceleration 3.20).',))
    """
    method = model if isinstance(model, Method) else load_method(model)
    if uncertainty:
        check_calibrated(method)
    result = solve(prepare(kspace, mask, smaps, phase_axis), method, uncertainty=uncertainty)
    for text in result.warnings:
        warnings.warn(text, ScanWarning, stacklevel=2)
    return result


def load_method(model: str | Path) -> Method:
    """Load a classical method by its name, or a model by its name or folder.

    Raises:
      ValueError: there is no such method, or the model cannot be read.

    >>> load_method("total-variation").recon.domain is None
    True
    """
    if isinstance(model, str) and model in METHODS:
        return Method(model, classical_method(model), {})
    if not (model_folders.find(model) / model_folders.CONFIG).is_file() and not Path(model).exists():
        raise ValueError(
            f"{model}: no such model. The models are {', '.join(model_folders.models())}, the classical methods "
            f"{', '.join(METHODS)}, and a model folder has {model_folders.CONFIG} and {model_folders.PARAMS}"
        )
    recon, params = model_folders.load(model)
    return Method(str(model), recon, params, model_folders.load_calibration(model))


def check_calibrated(method: Method) -> Calibration:
    """Return the calibration of a method.

    Raises:
      ValueError: it has none.

    >>> check_calibrated(load_method("zero-filled"))
    Traceback (most recent call last):
    ValueError: zero-filled has no error bars: they need a model with calibration.toml, which ... writes...
    """
    if method.calibration is None:
        raise ValueError(
            f"{method.name} has no error bars: they need a model with {model_folders.CALIBRATION}, which deqjax "
            "calibrate writes. deqjax.uncertainty.noise_deviation estimates the part of the measurement noise alone"
        )
    return method.calibration


def solve(
    prepared: PreparedScan,
    method: Method,
    batch_size: int = 4,
    progress: Callable[[int], None] | None = None,
    uncertainty: bool = False,
) -> Reconstruction:
    """Reconstruct a prepared scan, a few slices at a time.

    Args:
      prepared: see :func:`deqjax.input_checks.preparation.prepare`.
      method: from :func:`load_method`.
      batch_size: the number of slices that are solved together.
      progress: called with the number of slices that are done.
      uncertainty: see :func:`reconstruct_kspace`.

    Returns:
      The reconstruction, in which a model outside its domain is a warning.

    Raises:
      ValueError: the uncertainty is asked for, and the method has no calibration.
    """
    calibration = check_calibrated(method) if uncertainty else None
    began = time.perf_counter()
    count = len(prepared.kspace)
    batch_size = min(batch_size, count)
    images, zero_filled, stats, certificates = [], [], [], []
    bounds: list[Bounds] = []
    contraction, domain = None, method.recon.domain
    recon = method.recon.replace(domain=None)  # the conditions are measured once for all slices
    for first in range(0, count, batch_size):
        index = np.minimum(np.arange(first, first + batch_size), count - 1)
        A, kspace = measurement_of_slices(prepared, index)
        kept = slice(min(batch_size, count - first))
        if calibration is None:
            image, solved, certified = reconstruct_certified(recon, method.params, A, kspace, contraction)
        else:
            sigma = [estimate_noise(prepared.kspace[i], prepared.mask[i % len(prepared.mask)]) for i in index]
            evidence = gather(recon, method.params, A, kspace, sigma, jax.random.key(first))
            image, solved = evidence.image, evidence.stats
            certified = certify_fixed_point(recon, method.params, A, kspace, evidence.fixed_point, contraction)
            bounds.append(jax.tree.map(lambda leaf, kept=kept: leaf[kept], calibration.bounds(evidence)))
        images.append(np.asarray(image)[kept])
        zero_filled.append(np.asarray(A.adjoint(kspace))[kept])
        stats.append(jax.tree.map(lambda leaf, kept=kept: np.asarray(leaf)[kept], solved))
        if certified is not None:
            certificates.append(jax.tree.map(lambda leaf, kept=kept: leaf[kept], certified))
            if prepared.smaps is None and certified.certified.all():  # otherwise it may differ between slices
                contraction = certified.contraction.max()
        if progress is not None:
            progress(first + len(images[-1]))
    joined = np.concatenate(zero_filled)
    outside, found = None, list(prepared.warnings)
    bars: Uncertainty | None = None
    if calibration is not None:
        conditions = measure_conditions(prepared.kspace, prepared.mask, joined)
        differs = calibration.domain.outside(conditions, "calibrated")
        bars = join_bounds(calibration, bounds, differs, prepared.finish, prepared.single)
    if domain is not None:
        outside = domain.outside(measure_conditions(prepared.kspace, prepared.mask, joined))
        if outside:
            found.append(
                f"The data are outside the domain of {method.name}, {domain.trained_on}: {'; '.join(outside)}. "
                "Compare the image with that of a classical method, such as total-variation, before you trust it."
            )

        stats = [replace(one, inside_domain=np.full(one.converged.shape, not outside)) for one in stats]

    def join(trees: list[Any]) -> Any:
        joined = jax.tree.map(lambda *leaves: np.concatenate(leaves), *trees)
        return jax.tree.map(lambda leaf: leaf[0], joined) if prepared.single else joined

    return Reconstruction(
        image=prepared.finish(np.concatenate(images)),
        stats=join(stats),
        zero_filled=prepared.finish(joined),
        smaps=prepared.smaps,
        mask=prepared.mask,
        name=prepared.scan.name,
        model=method.name,
        assumed=prepared.assumed,
        warnings=tuple(found),
        outside=outside,
        seconds=time.perf_counter() - began,
        certificate=join(certificates) if certificates else None,
        uncertainty=bars,
    )


def measurement_of_slices(prepared: PreparedScan, index: np.ndarray) -> tuple[ForwardModel, jax.Array]:
    """Return the forward model and the k-space of some slices; what all slices share has no slice axis."""

    def of_slices(values: np.ndarray) -> jax.Array:
        return jnp.asarray(values[0] if len(values) == 1 else values[index])

    kspace, mask = jnp.asarray(prepared.kspace[index]), of_slices(prepared.mask)
    return (MaskedFourier(mask) if prepared.smaps is None else Sense(of_slices(prepared.smaps), mask)), kspace
