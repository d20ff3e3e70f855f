"""Half-quadratic splitting whose denoiser has features at coarser resolutions in the state."""

from dataclasses import dataclass

import jax

from deqjax.maps.parameters import check_images, init_net, init_positive, positive
from deqjax.pytree import Parts
from deqjax.types import MapArgs, MultiScaleNet, Params


@dataclass(frozen=True)
class MultiScaleHalfQuadratic:
    """Half-quadratic splitting with memory: the image and features at coarser resolutions are solved together.

    ``(z, h+) = D(x, h)``, ``x+ = (A^H A + penalty I)^-1 (A^H y + penalty z)``. At the fixed point the features h are
    those that the denoiser computes from the image and from themselves, which is a network of infinite depth at every
    resolution. The second formula is that of :class:`~deqjax.maps.HalfQuadratic`.

    The state is :class:`~deqjax.pytree.Parts`: a solver scales the image and each array of features to a similar size,
    and an image has converged when all of its parts have.

    Source: S. Bai, V. Koltun, J. Z. Kolter, "Multiscale deep equilibrium models", NeurIPS 2020, section 3.1.

    Attributes:
      net: the denoiser D, for example :class:`deqjax.nets.MultiScaleUNet`.
      penalty: the weight of the denoiser relative to the data, > 0, for a forward model of norm 1. If it is learned,
        this is its initial value.
      learn_penalty: whether the penalty is learned. It is then the exponential of a parameter.
      cg_steps: the number of conjugate gradient steps if the forward model has no closed form.

    Raises:
      ValueError: the net has no features to keep.

    >>> import deqjax as dj
    >>> import jax.numpy as jnp
    >>> hqs = MultiScaleHalfQuadratic(dj.nets.MultiScaleUNet(levels=2, features=2))
    >>> A = dj.physics.MaskedFourier(jnp.ones((1, 8)))
    >>> args = MapArgs(hqs.init(jax.random.key(0)), A, jnp.ones((1, 8, 8), complex))
    >>> jax.tree.map(jnp.shape, hqs(hqs.start(args), args).values)
    ((1, 8, 8), (1, 4, 4, 4))
    """

    net: MultiScaleNet
    penalty: float = 0.1
    learn_penalty: bool = False
    cg_steps: int = 10

    def __post_init__(self) -> None:
        if not isinstance(self.net, MultiScaleNet):
            raise ValueError(
                f"MultiScaleHalfQuadratic needs a net with features at several resolutions, such as MultiScaleUNet; "
                f"{type(self.net).__name__} is for HalfQuadratic"
            )

    def init(self, key: jax.Array) -> Params:
        return init_net(self.net, key) | init_positive("penalty", self.penalty, self.learn_penalty)

    def start(self, args: MapArgs) -> Parts:
        check_images(self.net, args.zero_filled)
        return Parts((args.zero_filled, *self.net.hidden(args.zero_filled)))

    def __call__(self, state: Parts, args: MapArgs) -> Parts:
        image, *hidden = state.values
        denoised, following = self.net.apply_step({"params": args.params["net"]}, image, tuple(hidden))
        penalty = positive(args.params, "penalty", self.penalty)
        right_side = args.zero_filled + penalty * denoised
        return Parts((args.A.regularised_inverse(right_side, penalty, self.cg_steps), *following))

    def image(self, state: Parts) -> jax.Array:
        return state.values[0]
