"""Classical reconstruction methods by name, as fixed points with sensible settings and without parameters."""

from collections.abc import Callable
from dataclasses import dataclass

import jax

from deqjax.maps import PrimalDual
from deqjax.priors import TotalVariation, Wavelet
from deqjax.reconstruct import Reconstructor
from deqjax.solvers import Anderson, Picard
from deqjax.types import MapArgs, Params


@dataclass(frozen=True)
class ZeroFilled:
    """The zero-filled image, ``f(x) = A^H y``: the fixed point is where the solve starts.

    >>> ZeroFilled().init(jax.random.key(0))
    {}
    """

    def init(self, key: jax.Array) -> Params:
        return {}

    def start(self, args: MapArgs) -> jax.Array:
        return args.zero_filled

    def __call__(self, image: jax.Array, args: MapArgs) -> jax.Array:
        return args.zero_filled

    def image(self, state: jax.Array) -> jax.Array:
        return state


@dataclass(frozen=True)
class LeastSquares:
    """Regularised least squares, ``min ||A x - y||^2 + penalty ||x||^2``, by iterative refinement.

    ``f(x) = x + C(A^H y - (A^H A + penalty I) x)``, where C is ``cg_steps`` steps of conjugate gradients for the
    inverse of the matrix. The relative residual is therefore that of the equation, up to the accuracy of C.

    Source: K. P. Pruessmann et al., "Advances in sensitivity encoding with arbitrary k-space trajectories", Magn.
    Reson. Med. 46:638, 2001, which solves SENSE by conjugate gradients.

    Attributes:
      penalty: > 0, for a forward model of norm 1.
      cg_steps: the number of conjugate gradient steps in an evaluation.

    >>> LeastSquares(penalty=0.0)
    Traceback (most recent call last):
    ValueError: LeastSquares needs penalty > 0 and cg_steps >= 1, not 0.0 and 10
    """

    penalty: float = 0.01
    cg_steps: int = 10

    def __post_init__(self) -> None:
        if not self.penalty > 0 or self.cg_steps < 1:
            raise ValueError(
                f"LeastSquares needs penalty > 0 and cg_steps >= 1, not {self.penalty} and {self.cg_steps}"
            )

    def init(self, key: jax.Array) -> Params:
        return {}

    def start(self, args: MapArgs) -> jax.Array:
        return args.zero_filled

    def __call__(self, image: jax.Array, args: MapArgs) -> jax.Array:
        residual = args.zero_filled - args.A.normal(image) - self.penalty * image
        return image + args.A.regularised_inverse(residual, self.penalty, self.cg_steps)

    def image(self, state: jax.Array) -> jax.Array:
        return state


def _prior(prior: TotalVariation | Wavelet, weight: float) -> Reconstructor:
    return Reconstructor(PrimalDual(prior, weight=weight), solver=Anderson(max_steps=300, rtol=1e-3))


METHODS: dict[str, Callable[[], Reconstructor]] = {
    "zero-filled": lambda: Reconstructor(ZeroFilled(), solver=Picard(max_steps=1)),
    "cg-sense": lambda: Reconstructor(LeastSquares(), solver=Picard(max_steps=20, rtol=1e-3)),
    "total-variation": lambda: _prior(TotalVariation(), 0.02),
    "l1-wavelet": lambda: _prior(Wavelet(shifts=(0, 1, 2, 3)), 0.02),
}
"""The methods by name. The weights of the priors are relative to the scale of the image. 0.02 is the best one for total
variation on a measured slice with 8 coils (`benchmarks/multi_coil.py`), and for wavelets on slices with one coil
(`docs/models.md`); the penalty of CG-SENSE is the best one on the same slice with 8 coils."""


def classical_method(name: str) -> Reconstructor:
    """Make a classical method by its name; it has no parameters, so that they are ``{}``.

    Raises:
      ValueError: there is no method of this name.

    >>> import jax.numpy as jnp, deqjax as dj
    >>> A = dj.physics.MaskedFourier(jnp.array([[1.0, 0.0, 1.0, 1.0]]))
    >>> kspace = A.forward(jnp.ones((4, 4), complex))
    >>> image, stats = classical_method("zero-filled")({}, A, kspace)
    >>> bool(jnp.allclose(image, A.adjoint(kspace), atol=1e-6)), int(stats.num_steps)
    (True, 1)
    """
    if name not in METHODS:
        raise ValueError(f"{name!r} is no classical method; the methods are {', '.join(METHODS)}")
    return METHODS[name]()
