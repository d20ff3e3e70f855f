"""DE-ADMM: the alternating direction method of multipliers with a denoiser."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from deqjax.maps.parameters import apply_net, init_net, init_positive, positive
from deqjax.types import MapArgs, Net, Params


@dataclass(frozen=True)
class ADMM:
    """DE-ADMM, an iteration on the pair of the image z and the dual variable u.

    ``x = (A^H A + penalty I)^-1 (A^H y + penalty (z - u))``, ``z+ = D(x + u)``, ``u+ = u + x - z+``.

    At the fixed point x = z, and the data term and the denoiser balance: ``A^H (A x - y) + penalty u = 0`` and
    ``x = D(x + u)``. With a denoiser that was trained on its own, this is plug-and-play ADMM.

    Sources: D. Gilton, G. Ongie, R. Willett, "Deep equilibrium architectures for inverse problems in imaging", IEEE
    Trans. Comput. Imaging 7:1123, 2021, section III.A (DE-ADMM); S. H. Chan, X. Wang, O. A. Elgendy, "Plug-and-play
    ADMM for image restoration", IEEE Trans. Comput. Imaging 3:84, 2017, algorithm 1.

    Attributes:
      net: the denoiser D.
      penalty: the weight of the denoiser relative to the data, > 0, for a forward model of norm 1. If it is learned,
        this is its initial value.
      learn_penalty: whether the penalty is learned. It is then the exponential of a parameter.
      cg_steps: the number of conjugate gradient steps if the forward model has no closed form.

    >>> import deqjax as dj
    >>> admm = ADMM(dj.nets.DnCNN(layers=2, features=4))
    >>> A = dj.physics.MaskedFourier(jnp.ones((1, 8)))
    >>> args = MapArgs(admm.init(jax.random.key(0)), A, jnp.ones((1, 8, 8), complex))
    >>> [part.shape for part in admm(admm.start(args), args)]
    [(1, 8, 8), (1, 8, 8)]
    """

    net: Net
    penalty: float = 0.1
    learn_penalty: bool = False
    cg_steps: int = 10

    def init(self, key: jax.Array) -> Params:
        return init_net(self.net, key) | init_positive("penalty", self.penalty, self.learn_penalty)

    def start(self, args: MapArgs) -> tuple[jax.Array, jax.Array]:
        return args.zero_filled, jnp.zeros_like(args.zero_filled)

    def __call__(self, state: tuple[jax.Array, jax.Array], args: MapArgs) -> tuple[jax.Array, jax.Array]:
        image, dual = state
        penalty = positive(args.params, "penalty", self.penalty)
        consistent = args.A.regularised_inverse(args.zero_filled + penalty * (image - dual), penalty, self.cg_steps)
        denoised = apply_net(self.net, args.params, consistent + dual)
        return denoised, dual + consistent - denoised

    def image(self, state: tuple[jax.Array, jax.Array]) -> jax.Array:
        return state[0]
