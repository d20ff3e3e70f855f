"""Learning without targets: a reconstruction from some measured samples, compared with other measured samples."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from deqjax.data import MeasuredBatch
from deqjax.jacobian_penalty import JacobianPenalty
from deqjax.losses import kspace_l1_l2, kspace_smooth_l1, weighted_l2
from deqjax.masks import density
from deqjax.objectives.supervised import Problem, penalties, trainable
from deqjax.physics import MaskedFourier, Sense, low_resolution_smaps
from deqjax.reconstruct import Equilibrium, Reconstructor, equilibrium
from deqjax.solvers import Stats
from deqjax.types import ForwardModel, Mask, Metrics, ObjectiveFunction, Params, Sampler

KspaceLoss = Literal["l1_l2", "l2", "smooth_l1"]
"""Which loss of :mod:`deqjax.losses`: ``kspace_l1_l2``, ``weighted_l2`` or ``kspace_smooth_l1``."""

LOSSES: dict[KspaceLoss, Callable] = {"l1_l2": kspace_l1_l2, "l2": weighted_l2, "smooth_l1": kspace_smooth_l1}

LARGEST_WEIGHT = 50.0
"""The limit of ``1 / P``, so that lines that are hardly ever sampled do not dominate."""


class Sample(NamedTuple):
    """What a reconstruction sees, and with what it is compared. Masks and weights are (batch, y or 1, x)."""

    kspace: jax.Array
    """The input, (batch, [coil,] y, x)."""

    mask: jax.Array
    """The mask of the input."""

    target: jax.Array
    """K-space of the same shape, with which the predicted k-space is compared; finite everywhere."""

    weight: jax.Array
    """The weight of every squared residual, 0 where there is no target."""

    loss: KspaceLoss = "l2"

    variance: jax.Array | None = None
    """(batch,): the variance of the noise, if the input is the target and Stein's estimate corrects for that."""


class Predicted(NamedTuple):
    """A reconstruction inside an objective, in the units of the k-space."""

    image: jax.Array
    found: Equilibrium
    A: ForwardModel
    """The forward model of the input, in which the coil sensitivities are refined."""


Predictor = Callable[[jax.Array], tuple[jax.Array, Predicted]]

Consistency = Callable[[Reconstructor, Params, Predicted, MeasuredBatch, jax.Array], jax.Array]
"""A term on the reconstruction itself, ``(method, parameters, reconstruction, batch, keys) -> scalar``."""


@dataclass(frozen=True)
class DataConsistency:
    """Compare the reconstruction with the samples from which it was made: no objective on its own, see below.

    ``A x = y`` says nothing about what was not measured, and the noise is learned too. Use it as the term ``data`` of
    :class:`MultiOperatorImaging` and :class:`EquivariantImaging` on data with little noise.

    >>> DataConsistency().acquisitions
    1
    """

    jacobian: JacobianPenalty = field(default_factory=JacobianPenalty)
    acquisitions = 1

    def sample(self, _: Problem, batch: MeasuredBatch, __: jax.Array) -> Sample:
        return Sample(batch.kspace, batch.mask, batch.kspace, batch.mask)

    def bind(self, problem: Problem) -> ObjectiveFunction:
        """Make the function of the parameters."""
        return measurement_objective(problem, self, self.jacobian)


def measurement_objective(
    problem: Problem, sampler: Sampler, jacobian: JacobianPenalty, consistency: Consistency | None = None
) -> ObjectiveFunction:
    """Make the objective of a sampler: ``loss(M F S R(input), target, weight)``, everything over the scale of the map.

    Coil sensitivities are estimated from the measured centre lines, for two acquisitions from both.

    Args:
      problem: the method, the centre fraction and the sampling pattern. Its loss of images is not used.
      sampler: what is compared with what.
      jacobian: the penalty that keeps the map contracting.
      consistency: a further term; the method that it is given is prepared for training.

    Raises:
      ValueError: raised when it is called: there are several coils and no centre lines.
    """
    recon, center_fraction = trainable(problem.recon), problem.acquire.center_fraction

    def objective(
        params: Params, _: Params, batch: MeasuredBatch, keys: jax.Array, probe: Stats | None
    ) -> tuple[jax.Array, Metrics]:
        batch = without_unmeasured(batch)
        sample = sampler.sample(problem, batch, folded(keys, 1))
        A = recon.forward_model(params, forward_model(batch, sample.mask, center_fraction))

        predict = predictor(recon, params, A, probe)
        if sample.variance is None:
            kspace, predicted = predict(sample.kspace)
            value = data_loss(sample, kspace, scale_of(predicted))
        else:
            errors, predicted = stein(sample, predict, folded(keys, 2))
            value = jnp.mean(errors)
        metrics = {"data": value}
        if consistency is not None:
            metrics["consistency"] = consistency(recon, params, predicted, batch, folded(keys, 3))
            value = value + metrics["consistency"]
        penalty, more = penalties(recon, jacobian, params, predicted.found, keys)
        return value + penalty, metrics | more

    return objective


def data_loss(sample: Sample, predicted: jax.Array, scale: jax.Array) -> jax.Array:
    """Compare predicted k-space with the target of a sample, both divided by a scale (batch, 1, 1)."""
    unit, weight = (with_coil_axis(values, predicted) for values in (scale, sample.weight))
    return LOSSES[sample.loss](predicted / unit, sample.target / unit, weight)


def predictor(recon: Reconstructor, params: Params, A: ForwardModel, probe: Stats | None = None) -> Predictor:
    """Return the function from measured k-space to the k-space that its reconstruction predicts at every point."""

    def predict(kspace: jax.Array) -> tuple[jax.Array, Predicted]:
        found = equilibrium(recon, params, A, A.adjoint(kspace), probe)
        image = found.units.undo(recon.image(params, found.state, found.args))
        return everywhere(A).forward(image), Predicted(image, found, A)

    return predict


def stein(sample: Sample, predict: Predictor, keys: jax.Array) -> tuple[jax.Array, Predicted]:
    """Return Stein's estimate of ``sum w |h(y) - y_true|^2 / (y x)`` of each image, in the units of the map.

    See :class:`deqjax.objectives.SURE`.
    """
    probe = jax.vmap(lambda key, like: jax.random.normal(key, like.shape, like.dtype))(keys, sample.kspace)
    weight = with_coil_axis(sample.weight, probe)
    probe = probe * (weight > 0)
    kspace, tangent, predicted = jax.jvp(predict, (sample.kspace,), (probe,), has_aux=True)
    axes, size = tuple(range(1, probe.ndim)), probe.shape[-2] * probe.shape[-1]
    unit = with_coil_axis(scale_of(predicted), probe)
    residual = (kspace - sample.target) / unit
    error = jnp.sum(weight * (residual.real**2 + residual.imag**2), axes)
    count = jnp.sum(jnp.broadcast_to(weight, probe.shape), axes)
    divergence = jnp.sum(weight * (jnp.conj(probe) * tangent).real, axes)
    variance = sample.variance / scale_of(predicted)[:, 0, 0] ** 2  # type: ignore[operator]
    return (error + variance * (2 * divergence - count)) / size, predicted


def without_unmeasured(batch: MeasuredBatch) -> MeasuredBatch:
    """Set k-space outside the masks to 0, whatever it holds: NaN there changes neither a value nor a gradient."""

    def clean(kspace: jax.Array, mask: jax.Array) -> jax.Array:
        return jnp.where(with_coil_axis(mask, kspace) > 0, kspace, 0)

    batch = jax.tree.map(jnp.asarray, batch)
    second = None if batch.second is None else (clean(*batch.second), batch.second[1])
    return replace(batch, kspace=clean(batch.kspace, batch.mask), second=second)


def forward_model(batch: MeasuredBatch, mask: jax.Array, center_fraction: float | None) -> ForwardModel:
    """Make the forward model of a mask, with coil sensitivities from the centre lines of all acquisitions.

    Raises:
      ValueError: there are several coils and no centre lines.
    """
    kspace = batch.kspace
    if kspace.ndim == 3:
        return MaskedFourier(mask)
    if center_fraction is None:
        raise ValueError(
            f"k-space of shape {kspace.shape} has {kspace.shape[1]} coils, whose sensitivities are estimated from "
            "fully sampled centre lines: choose a mask with a center_fraction"
        )
    if batch.second is not None:  # the mean where both acquisitions sampled, and else what there is
        other, lines = batch.second
        kspace = (kspace + other) / with_coil_axis(jnp.maximum(batch.mask + lines, 1), kspace)
    return Sense(low_resolution_smaps(kspace, center_fraction), mask)


def everywhere(A: ForwardModel) -> ForwardModel:
    """Return the forward model that samples every point."""
    return dataclasses.replace(A, mask=jnp.ones_like(A.mask))  # type: ignore[type-var, attr-defined]


def inverse_density(problem: Problem, kspace: jax.Array) -> jax.Array:
    """Return ``1 / P`` of the sampling pattern of the data, at most ``LARGEST_WEIGHT``; (1, x) or (y, x).

    Raises:
      ValueError: the problem has no sampling pattern.
    """
    return 1 / jnp.maximum(density(pattern_of(problem), kspace.shape), 1 / LARGEST_WEIGHT)


def pattern_of(problem: Problem) -> Mask:
    """Return the sampling pattern of the data.

    Raises:
      ValueError: the problem has none.
    """
    if problem.acquire.pattern is None:
        raise ValueError("this objective needs the sampling pattern of the data: give Acquisition(pattern=...)")
    return problem.acquire.pattern


def scale_of(predicted: Predicted) -> jax.Array:
    """Return the scale of the units of the map, (batch, 1, 1); 1 for an image of which nothing was measured."""
    scale = predicted.found.units.scale  # type: ignore[attr-defined]
    return jnp.where(scale > 0, scale, 1)


def with_coil_axis(values: jax.Array, kspace: jax.Array) -> jax.Array:
    """Give (batch, y, x) an axis for the coils if the k-space (batch, [coil,] y, x) has one."""
    return values[:, None] if kspace.ndim == 4 else values


def folded(keys: jax.Array, number: int) -> jax.Array:
    """Return other keys, one per image."""
    return jax.vmap(lambda key: jax.random.fold_in(key, number))(keys)


def noise_like(keys: jax.Array, kspace: jax.Array, mask: jax.Array, sigma: jax.Array) -> jax.Array:
    """Draw complex noise of standard deviation sigma (batch,) on the sampled points of (batch, [coil,] y, x)."""

    def draw(key: jax.Array, like: jax.Array, level: jax.Array) -> jax.Array:
        return level * jax.random.normal(key, like.shape, like.dtype)

    return with_coil_axis(mask, kspace) * jax.vmap(draw)(keys, kspace, sigma)
