"""The words that types are made of: what a forward model, a net, an iteration map and a solver must offer.

Shapes: ``image`` (y, x) complex; ``kspace`` (y, x), or (coil, y, x) with coils; every function of images also takes
one more leading ``batch`` axis. ``mask`` broadcasts against (y, x); ``smaps`` is (coil, y, x). Volumes (z, y, x) and
series (t, y, x) are images of three axes.
"""

from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax

Params = dict[str, Any]
"""Parameters: a plain nested dict of arrays that is passed and never stored."""

State = Any
"""What is iterated: one image, or a pytree of several variables, every leaf with a leading batch axis."""


@runtime_checkable
class ForwardModel(Protocol):
    """A linear model A of the measurement, from an image to k-space, with ``||A^H A|| <= 1``; an operand."""

    @property
    def axes(self) -> str:
        """The axes of one image, one letter for each: "yx", "zyx" (volumes) or "tyx" (series of frames)."""
        ...

    def forward(self, image: jax.Array) -> jax.Array:
        """A x."""
        ...

    def adjoint(self, kspace: jax.Array) -> jax.Array:
        """A^H y."""
        ...

    def normal(self, image: jax.Array) -> jax.Array:
        """A^H A x."""
        ...

    def regularised_inverse(self, image: jax.Array, penalty: jax.Array | float, steps: int) -> jax.Array:
        """(A^H A + penalty I)^-1 x, by so many steps where there is no closed form."""
        ...


class Net(Protocol):
    """A learned image-to-image function with parameters outside (a linen module is one)."""

    def init(self, key: jax.Array, image: jax.Array) -> Params: ...

    def apply(self, params: Params, image: jax.Array) -> jax.Array: ...


class Prior(Protocol):
    """A classical regulariser ``g(x) = ||K x||``, a sum of magnitudes: a setting without arrays.

    K takes images with any leading axes to a pytree of arrays with the same leading axes; its adjoint is that of JAX.
    """

    @property
    def norm_squared(self) -> float:
        """At least the largest eigenvalue of K^H K."""
        ...

    def analysis(self, image: jax.Array) -> Any:
        """K x."""
        ...

    def project(self, dual: Any, radius: jax.Array | float) -> Any:
        """The nearest dual variable whose magnitudes are at most ``radius``."""
        ...

    def value(self, image: jax.Array) -> jax.Array:
        """g(x), one number an image."""
        ...


class MapArgs(NamedTuple):
    """Everything an iteration map needs beside its state; nothing is captured, so gradients reach all of it."""

    params: Params
    A: ForwardModel
    zero_filled: jax.Array
    """A^H y, computed once at the door: a map never needs the k-space itself."""


class IterationMap(Protocol):
    """One step x -> f(x): a setting, hashable, without arrays."""

    def init(self, key: jax.Array) -> Params: ...

    def start(self, args: MapArgs) -> State: ...

    def __call__(self, state: State, args: MapArgs) -> State: ...

    def image(self, state: State) -> jax.Array: ...


class Solver(Protocol):
    """A rule that turns x and f(x) into the next x, on one flat real vector; it never calls f."""

    @property
    def max_steps(self) -> int: ...

    @property
    def rtol(self) -> float: ...

    def init(self, x: jax.Array) -> Any: ...

    def update(self, x: jax.Array, fx: jax.Array, step: jax.Array, state: Any) -> tuple[jax.Array, Any]: ...


class Mask(Protocol):
    """A sampling pattern, made on the host: ``mask(shape, seed)`` broadcasts against (y, x)."""

    def __call__(
        self, shape: tuple[int, ...], seed: "int | tuple[int, ...] | str", padding: tuple[int, int] | None = None
    ) -> Any: ...


class Loss(Protocol):
    """What training minimises: ``loss(image, target, params)`` with ``params = loss.init()``."""

    def init(self) -> Params: ...

    def __call__(self, image: jax.Array, target: jax.Array, params: Params | None = None) -> jax.Array: ...
