"""Learning from noisy samples of known noise level: recorruption (R2R), and Stein's unbiased risk estimate (SURE)."""

from dataclasses import dataclass, field
from functools import partial

import jax

from deqjax.data import MeasuredBatch
from deqjax.jacobian_penalty import JacobianPenalty
from deqjax.objectives.measurements import (
    Sample,
    inverse_density,
    measurement_objective,
    noise_like,
    predictor,
    scale_of,
    stein,
)
from deqjax.objectives.supervised import Problem
from deqjax.reconstruct import Reconstructor
from deqjax.types import ForwardModel, ObjectiveFunction, Params


@dataclass(frozen=True)
class R2R:
    """Recorrupt the samples: reconstruct from noisier samples, and compare with others that have independent noise.

    ``y_1 = y + sqrt(a / (1 - a)) sigma n`` and ``y_2 = (y - (1 - a) y_1) / a`` have independent noise, so that the mean
    of ``|M F R(y_1) - y_2|^2`` is the squared error on the sampled points plus a constant. It takes one solve and no
    divergence. The noise must be Gaussian and its level known. Lines that were not measured are not trained: combine it
    with :class:`MultiOperatorImaging`, or use :class:`Split` or :class:`Pair`. At inference, y is the input.

    Source: T. Pang et al., "Recorrupted-to-Recorrupted: unsupervised deep learning for image denoising", CVPR 2021; in
    this form, J. Tachella et al., DeepInverse, ``deepinv/loss/r2r.py``.

    Attributes:
      fraction: a, in (0, 1); a small one adds little noise to the input and much to the target.
      weighted: whether the squared residual has the weights ``1 / P``.
      jacobian: the penalty that keeps the map contracting.

    Raises:
      ValueError: the fraction is outside (0, 1).

    >>> R2R().acquisitions
    1
    """

    fraction: float = 0.2
    weighted: bool = False
    jacobian: JacobianPenalty = field(default_factory=JacobianPenalty)
    acquisitions = 1

    def __post_init__(self) -> None:
        if not 0 < self.fraction < 1:
            raise ValueError(f"fraction must lie in (0, 1); it is {self.fraction}")

    def sample(self, problem: Problem, batch: MeasuredBatch, keys: jax.Array) -> Sample:
        """Draw the two recorrupted measurements."""
        a, kspace = self.fraction, batch.kspace
        noisier = kspace + (a / (1 - a)) ** 0.5 * noise_like(keys, kspace, batch.mask, batch.sigma)
        return Sample(noisier, batch.mask, (kspace - (1 - a) * noisier) / a, _weight(self.weighted, problem, batch))

    def bind(self, problem: Problem) -> ObjectiveFunction:
        """Make the function of the parameters."""
        return measurement_objective(problem, self, self.jacobian)


@dataclass(frozen=True)
class SURE:
    """Stein's unbiased estimate of the squared error, from noisy samples alone; its value estimates the error.

    With ``h(y) = F S R(y)``, noise of variance sigma^2 of each complex sample, and weights w on the sampled points,

        ``E sum w |h(y) - y_true|^2 = E[sum w |h(y) - y|^2 - sigma^2 sum w + 2 sigma^2 Re b^H w (dh/dy) b]``,

    where b is complex noise of unit variance. The derivative is one product in forward mode through the fixed point,
    which is one more linear solve; the gradient of it is exact too. Everything is over the number of pixels.

    With ``weighted``, w is ``1 / P`` (ENSURE): the mean over masks then is the mean squared error of the image, as far
    as the error of a line does not depend on whether it was sampled. Without it, lines that were not measured are not
    trained: see :class:`R2R`.

    Sources: C. Stein, "Estimation of the mean of a multivariate normal distribution", Ann. Statist. 9:1135, 1981; S.
    Ramani, T. Blu, M. Unser, "Monte-Carlo SURE", IEEE Trans. Image Process. 17:1540, 2008 (the probe b); H. K.
    Aggarwal, A. Pramanik, M. John, M. Jacob, "ENSURE: a general approach for unsupervised training of deep image
    reconstruction algorithms", IEEE Trans. Med. Imaging 42:1133, 2023.

    Attributes:
      weighted: see above.
      jacobian: the penalty that keeps the map contracting.

    >>> SURE(weighted=True).acquisitions
    1
    """

    weighted: bool = False
    jacobian: JacobianPenalty = field(default_factory=JacobianPenalty)
    acquisitions = 1

    def sample(self, problem: Problem, batch: MeasuredBatch, _: jax.Array) -> Sample:
        """Take the samples as the input and as the target."""
        weight = _weight(self.weighted, problem, batch)
        return Sample(batch.kspace, batch.mask, batch.kspace, weight, variance=batch.sigma**2)

    def bind(self, problem: Problem) -> ObjectiveFunction:
        """Make the function of the parameters."""
        return measurement_objective(problem, self, self.jacobian)


@partial(jax.jit, static_argnums=0)
def estimate_error(
    recon: Reconstructor,
    params: Params,
    A: ForwardModel,
    kspace: jax.Array,
    sigma: jax.Array,
    weight: jax.Array,
    keys: jax.Array,
) -> jax.Array:
    """Estimate the squared error of reconstructions without their targets, by :class:`SURE`.

    Args:
      recon: the method.
      params: its parameters.
      A: the forward model of a batch.
      kspace: (batch, [coil,] y, x), zero where nothing was sampled.
      sigma: (batch,), the standard deviation of the complex noise in the k-space.
      weight: (batch, y or 1, x): the mask, for the error on the sampled points; the mask over the sampling density, for
        the error of the image.
      keys: one JAX key per image.

    Returns:
      (batch,): ``sum w |M F S R(y) - y_true|^2 / (y x)``, in the squared units of the k-space. The estimate is random
      and may be negative.
    """
    sample = Sample(kspace, weight, kspace, weight, variance=sigma**2)
    errors, predicted = stein(sample, predictor(recon, params, recon.forward_model(params, A)), keys)
    return errors * scale_of(predicted)[:, 0, 0] ** 2


def _weight(weighted: bool, problem: Problem, batch: MeasuredBatch) -> jax.Array:
    return batch.mask * inverse_density(problem, batch.kspace) if weighted else batch.mask
