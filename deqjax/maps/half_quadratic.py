"""Half-quadratic splitting: denoising, followed by data consistency."""

from dataclasses import dataclass

import jax

from deqjax.maps.parameters import apply_net, init_net, init_positive, positive
from deqjax.types import MapArgs, Net, Params


@dataclass(frozen=True)
class HalfQuadratic:
    """Half-quadratic splitting, ``f(x) = (A^H A + penalty I)^-1 (A^H y + penalty D(x))``.

    The second step is ``argmin_z ||A z - y||^2 + penalty ||z - D(x)||^2``. It has a closed form for a single coil. For
    several coils it takes a fixed number of conjugate gradient steps.

    Sources: D. Geman and C. Yang, "Nonlinear image recovery with half-quadratic regularization", IEEE Trans. Image
    Process. 4:932, 1995; with a learned denoiser, H. K. Aggarwal, M. P. Mani, M. Jacob, "MoDL: model-based deep
    learning architecture for inverse problems", IEEE Trans. Med. Imaging 38:394, 2019, eq. 10.

    Attributes:
      net: the denoiser D.
      penalty: the weight of the denoiser relative to the data, > 0, for a forward model of norm 1. If it is learned,
        this is its initial value.
      learn_penalty: whether the penalty is learned. It is then the exponential of a parameter.
      cg_steps: the number of conjugate gradient steps if the forward model has no closed form.

    >>> import jax.numpy as jnp, deqjax as dj
    >>> hqs = HalfQuadratic(dj.nets.DnCNN(layers=2, features=4))
    >>> A = dj.physics.MaskedFourier(jnp.ones((1, 8)))
    >>> args = MapArgs(hqs.init(jax.random.key(0)), A, jnp.ones((1, 8, 8), complex))
    >>> hqs(hqs.start(args), args).shape
    (1, 8, 8)
    """

    net: Net
    penalty: float = 0.1
    learn_penalty: bool = False
    cg_steps: int = 10

    def init(self, key: jax.Array) -> Params:
        return init_net(self.net, key) | init_positive("penalty", self.penalty, self.learn_penalty)

    def start(self, args: MapArgs) -> jax.Array:
        return args.zero_filled

    def __call__(self, image: jax.Array, args: MapArgs) -> jax.Array:
        penalty = positive(args.params, "penalty", self.penalty)
        denoised = apply_net(self.net, args.params, image)
        return args.A.regularised_inverse(args.zero_filled + penalty * denoised, penalty, self.cg_steps)

    def image(self, state: jax.Array) -> jax.Array:
        return state
