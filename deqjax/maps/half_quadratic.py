"""Half-quadratic splitting: denoising, followed by data consistency."""

from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp

from deqjax.maps.parameters import apply_net, init_net, init_positive, net_bound, positive
from deqjax.types import MapArgs, Net, Params

EXACT_STEPS = 100
"""The number of conjugate gradient steps with which :meth:`HalfQuadratic.enclose` approximates the inverse."""


@dataclass(frozen=True)
class HalfQuadratic:
    """Half-quadratic splitting, ``f(x) = (A^H A + penalty I)^-1 (A^H y + penalty D(x))``.

    The second step is ``argmin_z ||A z - y||^2 + penalty ||z - D(x)||^2``. It has a closed form for a single coil. For
    several coils it takes a fixed number of conjugate gradient steps.

    For every linear A, ``||penalty (A^H A + penalty I)^-1|| <= 1``, because ``A^H A`` has no negative eigenvalue. With
    the exact inverse, the Lipschitz constant of f is therefore at most that of D, for every mask, coil and size: f
    contracts where the net has a bound below 1 (``LipschitzDnCNN``, ``ConvexPotential``, ``ConvexRidge``).

    Monotone operator learning is this map with a net of bound ``1 - m``: then ``F = I - D`` is m-monotone, ``Re <F(u) -
    F(v), u - v> >= m ||u - v||^2``, the fixed point solves ``1/penalty A^H (A x - y) + F(x) = 0``, and f contracts with
    ``1 - m``. Without an anchor and in fixed units, a change e of the measurement changes the fixed point by at most
    ``||e|| / (2 sqrt(penalty) m)``.

    Sources: D. Geman and C. Yang, "Nonlinear image recovery with half-quadratic regularization", IEEE Trans. Image
    Process. 4:932, 1995; with a learned denoiser, H. K. Aggarwal, M. P. Mani, M. Jacob, "MoDL: model-based deep
    learning architecture for inverse problems", IEEE Trans. Med. Imaging 38:394, 2019, eq. 10; A. Pramanik, M. B.
    Zimmerman, M. Jacob, "Memory-efficient model-based deep learning with convergence and robustness guarantees", IEEE
    Trans. Comput. Imaging 9:260, 2023 (monotone operator learning, here with the step size 1).

    Attributes:
      net: the denoiser D.
      penalty: the weight of the denoiser relative to the data, > 0, for a forward model of norm 1. If it is learned,
        this is its initial value.
      learn_penalty: whether the penalty is learned. It is then the exponential of a parameter.
      cg_steps: the number of conjugate gradient steps if the forward model has no closed form.
      anchor: with an anchor above 0 the denoiser is ``D(x) = net(x) + anchor A^H y``. A net of bound rho shrinks the
        image; ``anchor = 1 - rho`` makes D an average of ``net(x) / rho`` and of the zero-filled image. It is constant
        in x, so that the Lipschitz constant remains that of the net.
      anchor_at: the image that the anchor multiplies, "zero_filled", or "start" for the image of the start net of the
        method, which then changes the fixed point. It is constant in x too, but the bound on the effect of a change of
        the measurement does not hold then.

    >>> import deqjax as dj
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
    anchor: float = 0.0
    anchor_at: Literal["zero_filled", "start"] = "zero_filled"

    def init(self, key: jax.Array) -> Params:
        return init_net(self.net, key) | init_positive("penalty", self.penalty, self.learn_penalty)

    def start(self, args: MapArgs) -> jax.Array:
        return args.zero_filled

    def __call__(self, image: jax.Array, args: MapArgs) -> jax.Array:
        penalty = positive(args.params, "penalty", self.penalty)
        return args.A.regularised_inverse(self._right_side(image, args, penalty), penalty, self.cg_steps)

    def _right_side(self, image: jax.Array, args: MapArgs, penalty: jax.Array | float) -> jax.Array:
        denoised = apply_net(self.net, args.params, image)
        if self.anchor:
            anchor = args.zero_filled if self.anchor_at == "zero_filled" else args.start
            if anchor is None:
                raise ValueError(
                    'anchor_at = "start" needs a method with a start net: give it one, or use "zero_filled"'
                )
            denoised = denoised + self.anchor * anchor
        return args.zero_filled + penalty * denoised

    def lipschitz(self, args: MapArgs) -> jax.Array:
        return net_bound(self.net, args.params)

    def enclose(self, image: jax.Array, args: MapArgs) -> tuple[jax.Array, jax.Array]:
        """Return z close to f(x), and ``||(A^H A + penalty) z - b|| / penalty`` with ``b = A^H y + penalty D(x)``.

        The norm of the inverse is at most ``1 / penalty``, so that this bounds ``||z - f(x)||``.
        """
        penalty = positive(args.params, "penalty", self.penalty)
        right_side = self._right_side(image, args, penalty)
        z = args.A.regularised_inverse(right_side, penalty, max(self.cg_steps, EXACT_STEPS))
        missing = args.A.normal(z) + penalty * z - right_side
        return z, jnp.linalg.norm(missing.reshape(missing.shape[0], -1), axis=1) / penalty

    def image(self, state: jax.Array) -> jax.Array:
        return state
