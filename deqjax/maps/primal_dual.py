"""Primal-dual splitting for total variation, wavelets and every other prior that is a sum of magnitudes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from deqjax.maps.parameters import init_positive, positive
from deqjax.types import MapArgs, Params, Prior


@dataclass(frozen=True)
class PrimalDual:
    """Primal-dual splitting for ``min 1/2 ||A x - y||^2 + weight ||K x||``, with the image x and the dual variable u.

    ``x+ = x - step_size (A^H A x - A^H y + K^H u)``, then ``u+ = P(u + dual_step K (2 x+ - x))``, where P clips
    magnitudes to ``weight``. With ``dual_step = (1 / step_size - 1/2) / ||K||^2`` and ``||A^H A|| <= 1`` the iteration
    converges for every step size below 2. The weight is relative to the scale of the data
    (:class:`deqjax.EnergyScale`). It can be learned, because the fixed point is differentiable with respect to it.

    Where the dual variable is not unique, the Jacobian of the map has the eigenvalue 1, and :class:`deqjax.Implicit`
    refuses the gradient although it is right: set its ``nan_above`` to ``inf``.

    Sources: L. Condat, "A primal-dual splitting method for convex optimization involving Lipschitzian, proximable and
    linear composite terms", J. Optim. Theory Appl. 158:460, 2013, algorithm 3.1 and theorem 3.1; B. C. Vu, Adv.
    Comput. Math. 38:667, 2013.

    Attributes:
      prior: K and its norm, for example ``deqjax.priors.TotalVariation()``.
      weight: > 0. If it is learned, this is its initial value.
      learn_weight: whether the weight is learned. It is then the exponential of a parameter.
      step_size: the step size of the image, in (0, 2). Anderson reaches 1e-4 with 0.5 in half the number of steps that
        it needs with 1.

    Raises:
      ValueError: the step size is out of range. ``start`` raises it if the prior has too many dimensions.

    >>> import deqjax as dj
    >>> tv = PrimalDual(dj.priors.TotalVariation(), weight=0.01)
    >>> A = dj.physics.MaskedFourier(jnp.ones((1, 8)))
    >>> image, stats = dj.Reconstructor(tv)({}, A, A.forward(jnp.ones((8, 8), complex)))
    >>> bool(stats.converged), bool(jnp.allclose(image, 1, atol=1e-3))
    (True, True)
    """

    prior: Prior
    weight: float = 0.005
    learn_weight: bool = False
    step_size: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.step_size < 2:
            raise ValueError(f"PrimalDual needs 0 < step_size < 2; it is {self.step_size}")

    def init(self, key: jax.Array) -> Params:
        return init_positive("weight", self.weight, self.learn_weight)

    def start(self, args: MapArgs) -> tuple[jax.Array, jax.Array]:
        check_prior(self.prior, args.zero_filled)
        zeros = jax.tree.map(jnp.zeros_like, self.prior.analysis(args.zero_filled))
        return args.zero_filled, zeros

    def __call__(self, state: tuple[jax.Array, jax.Array], args: MapArgs) -> tuple[jax.Array, jax.Array]:
        image, dual = state
        dual_step = (1 / self.step_size - 0.5) / self.prior.norm_squared
        gradient = args.A.normal(image) - args.zero_filled + adjoint(self.prior.analysis, image, dual)
        moved = image - self.step_size * gradient
        ascent = jax.tree.map(lambda u, c: u + dual_step * c, dual, self.prior.analysis(2 * moved - image))
        return moved, self.prior.project(ascent, positive(args.params, "weight", self.weight))

    def image(self, state: tuple[jax.Array, jax.Array]) -> jax.Array:
        return state[0]


def check_prior(prior: Prior, image: jax.Array) -> None:
    """Raise a ValueError if a prior would treat the batch axis as an axis of the image.

    >>> import deqjax as dj
    >>> check_prior(dj.priors.TotalVariation(dimensions=3), jnp.zeros((2, 8, 8)))
    Traceback (most recent call last):
    ValueError: TotalVariation(dimensions=3, isotropic=True) needs images of more axes than (8, 8): set its dimensions
    """
    if jax.eval_shape(prior.value, image).shape[:1] != image.shape[:1]:
        raise ValueError(f"{prior} needs images of more axes than {image.shape[1:]}: set its dimensions")


def adjoint(linear: Callable[[jax.Array], Any], image: jax.Array, value: Any) -> jax.Array:
    """Apply the adjoint of a linear function of images, ``K^H u = conj(K^T conj(u))``, where JAX derives K^T.

    Args:
      linear: K.
      image: has the shape and the type of the argument of K.
      value: u, which has the structure of the result of K.

    >>> double = lambda x: 2j * x
    >>> adjoint(double, jnp.ones(1, complex), jnp.ones(1, complex))
    Array([0.-2.j], dtype=complex64)
    """
    (transposed,) = jax.linear_transpose(linear, image)(jax.tree.map(jnp.conj, value))
    return jnp.conj(transposed)
