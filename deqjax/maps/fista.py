"""FISTA: proximal gradient steps with momentum, for a sparsity that has a closed form."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from deqjax.maps.parameters import init_positive, positive
from deqjax.maps.primal_dual import adjoint, check_prior
from deqjax.types import MapArgs, Params, Prior

State = tuple[jax.Array, jax.Array, jax.Array]


@dataclass(frozen=True)
class FISTA:
    """The minimiser of ``1/2 ||A x - y||^2 + weight ||K x||`` with an orthonormal K, by accelerated proximal gradient.

    ``x+ = prox(v - step_size (A^H A v - A^H y))`` with ``prox(z) = z - K^H P(K z)``, where P clips magnitudes to
    ``step_size weight``; ``t+ = (1 + sqrt(1 + 4 t^2)) / 2``, ``v+ = x+ + (t - 1) / t+ (x+ - x)``. The state is
    (x, v, 1 / t), so that it has a fixed point. The weight is relative to the scale of the data
    (:class:`deqjax.EnergyScale`). For total variation, whose proximal operator has no closed form, take
    :class:`PrimalDual`.

    Source: A. Beck, M. Teboulle, "A fast iterative shrinkage-thresholding algorithm for linear inverse problems", SIAM
    J. Imaging Sci. 2:183, 2009, eqs. 4.1 to 4.3.

    Attributes:
      prior: as many coefficients as pixels: ``deqjax.priors.Wavelet()`` with one shift, on sizes that its levels halve.
      weight: > 0; where it is learned, its first value.
      learn_weight: train it, as the exponential of a parameter.
      step_size: in (0, 1], as ``||A^H A|| <= 1``.

    Raises:
      ValueError: a step size out of range; on a call, a prior that is not orthonormal on such images.

    >>> import deqjax as dj
    >>> fista = FISTA(dj.priors.Wavelet(levels=2), weight=0.01)
    >>> A = dj.physics.MaskedFourier(jnp.ones((1, 8)))
    >>> recon = dj.Reconstructor(fista, dj.solvers.Picard())
    >>> bool(recon({}, A, A.forward(jnp.ones((8, 8), complex)))[1].converged)
    True
    """

    prior: Prior
    weight: float = 0.005
    learn_weight: bool = False
    step_size: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.step_size <= 1:
            raise ValueError(f"FISTA needs 0 < step_size <= 1, not {self.step_size}")

    def init(self, key: jax.Array) -> Params:
        return init_positive("weight", self.weight, self.learn_weight)

    def start(self, args: MapArgs) -> State:
        image = args.zero_filled
        check_prior(self.prior, image)
        coefficients = jax.eval_shape(self.prior.analysis, image)
        if sum(leaf.size for leaf in jax.tree.leaves(coefficients)) != image.size:
            raise ValueError(
                f"FISTA needs an orthonormal prior, and {self.prior} is none on images of shape {image.shape[1:]}: "
                "take maps.PrimalDual, or Wavelet with one shift and a size that its levels halve"
            )
        return image, image, jnp.ones(image.shape[0], image.real.dtype)

    def __call__(self, state: State, args: MapArgs) -> State:
        image, ahead, inverse = state
        moved = ahead - self.step_size * (args.A.normal(ahead) - args.zero_filled)
        radius = self.step_size * positive(args.params, "weight", self.weight)
        clipped = self.prior.project(self.prior.analysis(moved), radius)
        found = moved - adjoint(self.prior.analysis, moved, clipped)
        following = 2 * inverse / (inverse + jnp.sqrt(inverse**2 + 4))
        momentum = (1 / inverse - 1) * following
        return found, found + momentum.reshape(-1, *[1] * (image.ndim - 1)) * (found - image), following

    def image(self, state: State) -> jax.Array:
        return state[0]
