"""DE-Prox: a gradient step on the data term, followed by a learned denoiser instead of a proximal operator."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from deqjax.maps.parameters import apply_net, init_net, init_positive, net_bound, normal_bound, positive
from deqjax.types import MapArgs, Net, Params


@dataclass(frozen=True)
class ProximalGradient:
    """DE-Prox, ``f(x) = R(x - step_size A^H (A x - y))``.

    With ``||A^H A|| <= 1`` the gradient step is nonexpansive for step sizes up to 2, so that f contracts where R does.
    A bound on the layers of ``R = I + N`` does not imply that R contracts: if N is 1-Lipschitz, R is up to 2-Lipschitz.
    The ``Stats`` report whether the iteration converged.

    Where R has a proved bound and ``||A^H A|| <= a``, the Lipschitz constant of f is at most ``max(1, |1 - step_size
    a|) Lip(R)``: the eigenvalues of ``I - step_size A^H A`` are between ``1 - step_size a`` and 1.

    Source: D. Gilton, G. Ongie, R. Willett, "Deep equilibrium architectures for inverse problems in imaging", IEEE
    Trans. Comput. Imaging 7:1123, 2021, section III.A (DE-Prox).

    Attributes:
      net: the denoiser R.
      step_size: > 0. If it is learned, this is its initial value.
      learn_step_size: whether the step size is learned. It is then the exponential of a parameter.

    >>> import deqjax as dj
    >>> de_prox = ProximalGradient(dj.nets.DnCNN(layers=2, features=4))
    >>> A = dj.physics.MaskedFourier(jnp.ones((1, 8)))
    >>> args = MapArgs(de_prox.init(jax.random.key(0)), A, jnp.ones((1, 8, 8), complex))
    >>> de_prox(de_prox.start(args), args).shape
    (1, 8, 8)
    """

    net: Net
    step_size: float = 1.0
    learn_step_size: bool = False

    def init(self, key: jax.Array) -> Params:
        return init_net(self.net, key) | init_positive("step_size", self.step_size, self.learn_step_size)

    def start(self, args: MapArgs) -> jax.Array:
        return args.zero_filled

    def __call__(self, image: jax.Array, args: MapArgs) -> jax.Array:
        step_size = positive(args.params, "step_size", self.step_size)
        moved = image - step_size * (args.A.normal(image) - args.zero_filled)
        return apply_net(self.net, args.params, moved)

    def lipschitz(self, args: MapArgs) -> jax.Array:
        step_size = positive(args.params, "step_size", self.step_size)
        linear = jnp.maximum(1, jnp.abs(1 - step_size * normal_bound(args.A)))
        return linear * net_bound(self.net, args.params)

    def enclose(self, image: jax.Array, args: MapArgs) -> tuple[jax.Array, jax.Array]:
        return self(image, args), jnp.zeros(image.shape[0], image.real.dtype)

    def image(self, state: jax.Array) -> jax.Array:
        return state
