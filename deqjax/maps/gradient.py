"""DE-Grad: gradient descent on the data term and a learned regularizer."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from deqjax.maps.parameters import apply_net, init_net, init_positive, net_bound, normal_bound, positive
from deqjax.types import MapArgs, Net, Params


@dataclass(frozen=True)
class Gradient:
    """DE-Grad, ``f(x) = x - step_size (A^H (A x - y) + x - D(x))``.

    The learned gradient of the regularizer is ``x - D(x)`` with a denoiser D, as in regularisation by denoising. A
    denoiser that was trained on its own can therefore be used without a change of sign.

    With ``||A^H A|| <= a``, the Lipschitz constant of f is at most ``max(|1 - step_size|, |1 - step_size (1 + a)|) +
    step_size Lip(D)``: the linear part ``(1 - step_size) I - step_size A^H A`` is symmetric, and its eigenvalues are
    between these two numbers. For a = 1 and step sizes up to 2/3 it is ``1 - step_size (1 - Lip(D))``.

    Sources: D. Gilton, G. Ongie, R. Willett, "Deep equilibrium architectures for inverse problems in imaging", IEEE
    Trans. Comput. Imaging 7:1123, 2021, section III.A (DE-Grad); Y. Romano, M. Elad, P. Milanfar, "The little engine
    that could: regularization by denoising", SIAM J. Imaging Sci. 10:1804, 2017, eq. 14.

    Attributes:
      net: the denoiser D.
      step_size: > 0. If it is learned, this is its initial value.
      learn_step_size: whether the step size is learned. It is then the exponential of a parameter.

    >>> import deqjax as dj
    >>> de_grad = Gradient(dj.nets.DnCNN(layers=2, features=4))
    >>> A = dj.physics.MaskedFourier(jnp.ones((1, 8)))
    >>> args = MapArgs(de_grad.init(jax.random.key(0)), A, jnp.ones((1, 8, 8), complex))
    >>> de_grad(de_grad.start(args), args).shape
    (1, 8, 8)
    """

    net: Net
    step_size: float = 0.5
    learn_step_size: bool = False

    def init(self, key: jax.Array) -> Params:
        return init_net(self.net, key) | init_positive("step_size", self.step_size, self.learn_step_size)

    def start(self, args: MapArgs) -> jax.Array:
        return args.zero_filled

    def __call__(self, image: jax.Array, args: MapArgs) -> jax.Array:
        step_size = positive(args.params, "step_size", self.step_size)
        regularizer_gradient = image - apply_net(self.net, args.params, image)
        return image - step_size * (args.A.normal(image) - args.zero_filled + regularizer_gradient)

    def lipschitz(self, args: MapArgs) -> jax.Array:
        step_size = positive(args.params, "step_size", self.step_size)
        largest = jnp.abs(1 - step_size * (1 + normal_bound(args.A)))
        linear = jnp.maximum(jnp.abs(1 - step_size), largest)
        return linear + step_size * net_bound(self.net, args.params)

    def enclose(self, image: jax.Array, args: MapArgs) -> tuple[jax.Array, jax.Array]:
        return self(image, args), jnp.zeros(image.shape[0], image.real.dtype)

    def image(self, state: jax.Array) -> jax.Array:
        return state
