"""FISTA: proximal gradient steps with momentum, for a prior whose proximal operator has a closed form."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from deqjax.maps.parameters import init_positive, positive
from deqjax.maps.primal_dual import adjoint, check_prior
from deqjax.types import MapArgs, Params, Prior

State = tuple[jax.Array, jax.Array, jax.Array]


@dataclass(frozen=True)
class FISTA:
    """Accelerated proximal gradient for ``min 1/2 ||A x - y||^2 + weight ||K x||`` with an orthonormal K.

    ``x+ = prox(v - step_size (A^H A v - A^H y))`` with ``prox(z) = z - K^H P(K z)``, where P clips magnitudes to
    ``step_size weight``; ``t+ = (1 + sqrt(1 + 4 t^2)) / 2``, ``v+ = x+ + (t - 1) / t+ (x+ - x)``. The state is
    (x, v, 1 / t), so that the iteration has a fixed point. The weight is relative to the scale of the data
    (:class:`deqjax.EnergyScale`). The proximal operator of total variation has no closed form; use :class:`PrimalDual`
    for it.

    Source: A. Beck, M. Teboulle, "A fast iterative shrinkage-thresholding algorithm for linear inverse problems", SIAM
    J. Imaging Sci. 2:183, 2009, eqs. 4.1 to 4.3.

    Attributes:
      prior: an orthonormal transform, which has as many coefficients as pixels: ``deqjax.priors.Wavelet()`` with one
        shift, for images whose size is divisible by 2 to the number of levels.
      weight: > 0. If it is learned, this is its initial value.
      learn_weight: whether the weight is learned. It is then the exponential of a parameter.
      step_size: in (0, 1], because ``||A^H A|| <= 1``.

    Raises:
      ValueError: the step size is out of range. ``start`` raises it if the prior is not orthonormal for the images.

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
            raise ValueError(f"FISTA needs 0 < step_size <= 1; it is {self.step_size}")

    def init(self, key: jax.Array) -> Params:
        return init_positive("weight", self.weight, self.learn_weight)

    def start(self, args: MapArgs) -> State:
        image = args.zero_filled
        check_prior(self.prior, image)
        coefficients = jax.eval_shape(self.prior.analysis, image)
        if sum(leaf.size for leaf in jax.tree.leaves(coefficients)) != image.size:
            raise ValueError(
                f"FISTA needs an orthonormal prior, and {self.prior} is not orthonormal for images of shape "
                f"{image.shape[1:]}: use maps.PrimalDual, or Wavelet with one shift and an image size that is "
                "divisible by 2 to the number of levels"
            )
        return image, image, jnp.ones(image.shape[0], image.real.dtype)

    def __call__(self, state: State, args: MapArgs) -> State:
        image, extrapolated, inverse = state
        moved = extrapolated - self.step_size * (args.A.normal(extrapolated) - args.zero_filled)
        radius = self.step_size * positive(args.params, "weight", self.weight)
        clipped = self.prior.project(self.prior.analysis(moved), radius)
        new_image = moved - adjoint(self.prior.analysis, moved, clipped)
        new_inverse = 2 * inverse / (inverse + jnp.sqrt(inverse**2 + 4))
        momentum = (1 / inverse - 1) * new_inverse
        momentum = momentum.reshape(-1, *[1] * (image.ndim - 1))
        return new_image, new_image + momentum * (new_image - image), new_inverse

    def image(self, state: State) -> jax.Array:
        return state[0]
