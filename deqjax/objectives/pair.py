"""Learning from two acquisitions of each object: reconstruct from one, compare with the other."""

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp

from deqjax.data import MeasuredBatch
from deqjax.jacobian_penalty import JacobianPenalty
from deqjax.objectives.measurements import KspaceLoss, Sample, inverse_density, measurement_objective
from deqjax.objectives.supervised import Problem
from deqjax.types import ObjectiveFunction


@dataclass(frozen=True)
class Pair:
    """Reconstruct from one acquisition and compare with a second one of the same object, with noise of its own.

    With the weights ``w = 1 / P`` on the squared residual, ``E[w M_2] = 1``: the mean of ``sum w M_2 |F x - y_2|^2``
    over second masks and noise is the fully sampled squared error plus a constant. P is the density of the sampling
    pattern; w is at most 50.

    Sources: J. Lehtinen et al., "Noise2Noise: learning image restoration without clean data", ICML 2018; W. Gan et al.,
    "Self-supervised deep equilibrium models with theoretical guarantees and applications to MRI reconstruction", IEEE
    Trans. Comput. Imaging 9:796, 2023, with a gradient without the inverse Jacobian. Here the gradient is that of the
    adjoint of the method, which is exact by default.

    Attributes:
      weighted: whether the weights are ``1 / P``, and else 1.
      both_orders: whether the two acquisitions are exchanged at random.
      loss: ``l1_l2`` or ``l2``; the theorem is about ``l2``.
      jacobian: the penalty that keeps the map contracting.

    >>> Pair().acquisitions
    2
    """

    weighted: bool = True
    both_orders: bool = True
    loss: KspaceLoss = "l1_l2"
    jacobian: JacobianPenalty = field(default_factory=JacobianPenalty)
    acquisitions = 2

    def sample(self, problem: Problem, batch: MeasuredBatch, keys: jax.Array) -> Sample:
        """Choose the acquisition that is the input."""
        if batch.second is None:
            raise ValueError("Pair needs a second acquisition of every object, and the batch has none")
        first, other = (batch.kspace, batch.mask), batch.second
        if self.both_orders:
            swap = jax.vmap(jax.random.bernoulli)(keys)

            def chosen(here: jax.Array, there: jax.Array) -> jax.Array:
                return jnp.where(swap.reshape(-1, *[1] * (here.ndim - 1)), there, here)

            first, other = jax.tree.map(chosen, first, other), jax.tree.map(chosen, other, first)
        kspace, mask = other
        weight = mask * inverse_density(problem, kspace) if self.weighted else mask
        return Sample(*first, kspace, weight, self.loss)

    def bind(self, problem: Problem) -> ObjectiveFunction:
        """Make the function of the parameters."""
        return measurement_objective(problem, self, self.jacobian)
