"""Learning from two acquisitions of an object that moved between them: deformation-compensated learning."""

from dataclasses import dataclass, field, replace
from typing import Literal

import jax
import jax.numpy as jnp

from deqjax.data import MeasuredBatch
from deqjax.jacobian_penalty import JacobianPenalty
from deqjax.objectives.measurements import (
    KspaceLoss,
    Sample,
    data_loss,
    everywhere,
    folded,
    forward_model,
    inverse_density,
    predictor,
    scale_of,
    without_unmeasured,
)
from deqjax.objectives.motion import DemonsMotion, Motion, move_image
from deqjax.objectives.supervised import Problem, penalties, trainable
from deqjax.physics import smooth_phase
from deqjax.solvers import Stats
from deqjax.types import Metrics, ObjectiveFunction, Params


@dataclass(frozen=True)
class MovedPair:
    """Reconstruct both acquisitions, move each image to the other one, and compare it with the data there.

    With the reconstructions x_f and x_m of the data y_f and y_m, and the motion phi from the first to the second,

        ``l(M_f F S_f (x_m o phi), y_f) + l(M_m F S_m (x_f o phi^-1), y_m) + weight (l(M_f F S_f x_f, y_f) + l(M_m F S_m
        x_m, y_m))``,

    each pair of terms as a mean over the two acquisitions. One velocity gives phi and its inverse. The object moves.
    The coil sensitivities and the smooth phase of each acquisition do not: the phase is taken off an image before it
    moves, and the phase of the other acquisition is put on.

    The motion is found from the magnitudes of the reconstructions. Unless ``joint``, these are constants there: the
    reconstruction has the gradient of the loss above for a given motion, and a network that computes the motion has
    that of its own loss for given images. This is the alternation of the source, with both steps at once.

    Source: W. Gan, Y. Sun, C. Eldeniz, J. Liu, H. An, U. S. Kamilov, "Deformation-compensated learning for image
    reconstruction without ground truth", IEEE Trans. Med. Imaging 41:2371, 2022, which computes the two directions by
    two passes of the network, and takes the motion of real and imaginary parts with the zero border.

    Attributes:
      motion: how the motion is found.
      weight: of the terms without motion.
      learn: with ``"motion"``, train the network of the motion alone, on the magnitudes of the zero-filled images.
        Nothing is reconstructed, so that a step takes a small part of the time.
      joint: whether everything that is learned has the gradient of everything, that of the motion included.
      weighted: whether squared residuals have the weights ``1 / P`` of :class:`Pair`, and else 1.
      loss: l. The source has ``smooth_l1``.
      jacobian: the penalty that keeps the map contracting.

    Raises:
      ValueError: the weight is negative.

    >>> MovedPair().acquisitions
    2
    """

    motion: Motion = field(default_factory=DemonsMotion)
    weight: float = 0.2
    learn: Literal["both", "motion"] = "both"
    joint: bool = False
    weighted: bool = True
    loss: KspaceLoss = "l1_l2"
    jacobian: JacobianPenalty = field(default_factory=JacobianPenalty)
    acquisitions = 2

    def __post_init__(self) -> None:
        if not self.weight >= 0:
            raise ValueError(f"weight must be at least 0; it is {self.weight}")

    def init(self, key: jax.Array) -> Params:
        """Make the parameters of the motion: the part ``"network"``, or none."""
        return self.motion.init(key)

    def bind(self, problem: Problem) -> ObjectiveFunction:
        """Make the function of the parameters."""
        recon, center_fraction = trainable(problem.recon), problem.acquire.center_fraction
        constant = (lambda values: values) if self.joint else jax.lax.stop_gradient

        def objective(
            params: Params, _: Params, batch: MeasuredBatch, keys: jax.Array, probe: Stats | None
        ) -> tuple[jax.Array, Metrics]:
            both = _stacked(without_unmeasured(batch))
            A = recon.forward_model(params, forward_model(both, both.mask, center_fraction))
            if self.learn == "motion":
                zero_filled = jax.lax.stop_gradient(A.adjoint(both.kspace))
                images = jnp.abs(recon.normalisation(zero_filled).apply(zero_filled))
                fixed, moving = jnp.split(images, 2)
                registration = self.motion.find(params, fixed, moving, batch.velocity).loss
                return registration, {"registration": registration}
            kspace, predicted = predictor(recon, params, A, _twice(probe))(both.kspace)
            weight = both.mask * inverse_density(problem, both.kspace) if self.weighted else both.mask
            sample = Sample(both.kspace, both.mask, both.kspace, weight, self.loss)
            scale = scale_of(predicted)
            phase = smooth_phase(A.adjoint(both.kspace))
            object_ = jnp.conj(phase) * predicted.image
            fixed, moving = jnp.split(constant(_magnitude(object_ / scale)), 2)
            there, back, registration = self.motion.find(params, fixed, moving, batch.velocity)
            first, second = jnp.split(object_, 2)
            others, motions = jnp.concatenate([second, first]), constant(jnp.concatenate([there, back]))
            moved = phase * jax.vmap(move_image)(others, motions)
            metrics = {
                "data": data_loss(sample, everywhere(A).forward(moved), scale),
                "consistency": data_loss(sample, kspace, scale),
                "registration": registration,
            }
            every_key = jnp.concatenate([folded(keys, 1), folded(keys, 2)])
            penalty, more = penalties(recon, self.jacobian, params, predicted.found, every_key)
            value = metrics["data"] + self.weight * metrics["consistency"] + registration
            return value + penalty, metrics | more

        return objective


def _stacked(batch: MeasuredBatch) -> MeasuredBatch:
    """Return a batch of twice the size, first acquisitions before second ones."""
    if batch.second is None:
        raise ValueError("MovedPair needs a second acquisition of every object, and the batch has none")
    kspace, mask = (jnp.concatenate(parts) for parts in zip((batch.kspace, batch.mask), batch.second))
    return replace(batch, kspace=kspace, mask=mask, second=None)


def _twice(probe: Stats | None) -> Stats | None:
    """Return the probe of a batch of twice the size. Its gradient is the mean over the two acquisitions."""
    return jax.tree.map(lambda leaf: jnp.concatenate([leaf, leaf]) / 2, probe)


def _magnitude(image: jax.Array) -> jax.Array:
    """Return ``|x|`` with the gradient 0 at 0."""
    power = image.real**2 + image.imag**2
    return jnp.sqrt(jnp.where(power > 0, power, 1)) * (power > 0)
