"""The protocols of the package: what a forward model, a net, a map, a solver and every other choice must provide.

Shapes: ``image`` (y, x) complex; ``kspace`` (y, x), or (coil, y, x) with coils. Every function of images also accepts
one more leading ``batch`` axis. ``mask`` broadcasts against (y, x); ``smaps`` is (coil, y, x). Volumes (z, y, x) and
series (t, y, x) are images with three axes.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax

Params = dict[str, Any]
"""Learned parameters: a plain nested dict of arrays. It is passed as an argument and never stored in an object."""

State = Any
"""The iterate: one image, or a pytree of several variables. Every leaf has a leading batch axis."""

Transpose = Callable[[State], State]
"""The product with the transposed Jacobian of a map at the solution, ``w -> (df/dx)^T w``.

In forward mode it is the product with the Jacobian itself.
"""

Metrics = dict[str, jax.Array]
"""Scalars that a training step reports, by name."""


@runtime_checkable
class ForwardModel(Protocol):
    """A linear operator from images to k-space with ``||A^H A|| <= 1``: an operand, a pytree of arrays."""

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
        """(A^H A + penalty I)^-1 x, by ``steps`` steps of conjugate gradients if there is no closed form."""
        ...


@runtime_checkable
class Net(Protocol):
    """A learned function from images to images whose parameters are passed in; a Flax linen module is one."""

    def init(self, key: jax.Array, image: jax.Array, /) -> Mapping[str, Any]:
        """Make fresh parameters, ``{"params": ...}``, for images of the type and the number of axes of ``image``."""
        ...

    def apply(self, params: Any, image: jax.Array, /) -> Any:
        """Return the images that the net computes. They have the shape and the type of ``image``."""
        ...


@runtime_checkable
class MultiScaleNet(Net, Protocol):
    """A net that computes features at several resolutions together with the image."""

    def hidden(self, image: jax.Array) -> tuple[jax.Array, ...]:
        """Make the first features for images (batch, y, x): real arrays with a leading batch axis."""
        ...

    def apply_step(
        self, params: Any, image: jax.Array, hidden: tuple[jax.Array, ...]
    ) -> tuple[jax.Array, tuple[jax.Array, ...]]:
        """Compute the next images and the next features.

        Args:
          params: as in :meth:`Net.apply`.
          image: complex, (batch, y, x).
          hidden: the features.
        """
        ...


@runtime_checkable
class Bounded(Protocol):
    """A net with a proved bound on its Lipschitz constant."""

    def lipschitz(self, params: Any) -> jax.Array:
        """Return L with ``||D(u) - D(v)|| <= L ||u - v||`` for all images of every size; infinity if none is proved.

        Args:
          params: as in :meth:`Net.apply`.
        """
        ...


@runtime_checkable
class BoundedModel(Protocol):
    """A forward model with a proved bound on its norm."""

    def normal_bound(self) -> jax.Array | float:
        """Return an upper bound on ``||A^H A||``."""
        ...


@runtime_checkable
class Prior(Protocol):
    """A classical regularizer ``g(x) = ||K x||``, a sum of magnitudes: a setting without arrays.

    K is linear. It maps images with any leading axes to a pytree of arrays with the same leading axes. JAX derives its
    adjoint.
    """

    @property
    def norm_squared(self) -> float:
        """An upper bound on the largest eigenvalue of K^H K."""
        ...

    def analysis(self, image: jax.Array) -> Any:
        """K x."""
        ...

    def project(self, dual: Any, radius: jax.Array | float) -> Any:
        """The nearest dual variable whose magnitudes are at most ``radius``."""
        ...

    def value(self, image: jax.Array) -> jax.Array:
        """g(x), one value for each image."""
        ...


class MapArgs(NamedTuple):
    """The arguments of an iteration map other than its state.

    A map captures no array: everything it uses is here, so that gradients reach all of it.
    """

    params: Params
    A: ForwardModel
    zero_filled: jax.Array
    """A^H y, computed once before the solve. A map never needs the k-space itself."""
    start: jax.Array | None = None
    """The image that the start net of the method computes, for an :class:`AnchoredMap` that asks for it."""


@runtime_checkable
class IterationMap(Protocol):
    """One step x -> f(x) of an iteration: a hashable setting without arrays."""

    def init(self, key: jax.Array) -> Params:
        """Make fresh parameters."""
        ...

    def start(self, args: MapArgs) -> State:
        """Make the first state from ``args.zero_filled``."""
        ...

    def __call__(self, state: State, args: MapArgs, /) -> State:
        """Compute f(x)."""
        ...

    def image(self, state: State) -> jax.Array:
        """Take the image out of a state."""
        ...


@runtime_checkable
class BoundedMap(IterationMap, Protocol):
    """An iteration map whose state is the image and whose Lipschitz constant has a proved bound."""

    def lipschitz(self, args: MapArgs) -> jax.Array:
        """Return L with ``||f(u) - f(v)|| <= L ||u - v||`` in exact arithmetic; infinity if none is proved."""
        ...

    def enclose(self, image: jax.Array, args: MapArgs) -> tuple[jax.Array, jax.Array]:
        """Return z and, for each image, a bound on ``||z - f(x)||`` that holds without rounding.

        The bound is 0 where z is f(x) itself. Here f has no approximate inverse: it is the map of which
        :meth:`lipschitz` tells the constant.
        """
        ...


@runtime_checkable
class AnchoredMap(IterationMap, Protocol):
    """An iteration map that draws its fixed point to an image that does not depend on the state."""

    @property
    def anchor_at(self) -> str:
        """Which image: "zero_filled", or "start" for :attr:`MapArgs.start`."""
        ...


@runtime_checkable
class DenoiserMap(IterationMap, Protocol):
    """An iteration map with a network that removes noise from images and can be trained on its own."""

    @property
    def net(self) -> Net: ...


@runtime_checkable
class Solver(Protocol):
    """A rule that computes the next x from x and f(x), on one flat real vector. A solver never calls f."""

    @property
    def max_steps(self) -> int:
        """The largest number of evaluations of f."""
        ...

    @property
    def rtol(self) -> float:
        """The relative residual at which an image stops."""
        ...

    def init(self, x: jax.Array) -> Any:
        """Make the state of the solver for a first x."""
        ...

    def update(self, x: jax.Array, fx: jax.Array, step: jax.Array, state: Any) -> tuple[jax.Array, Any]:
        """Compute the next x and the next state of the solver."""
        ...


@runtime_checkable
class Adjoint(Protocol):
    """A way to differentiate a fixed point: it finds w with ``w = v + M w``, exactly or approximately.

    In reverse mode M is ``(df/dx)^T``, and in forward mode it is ``df/dx``.
    """

    @property
    def tolerance(self) -> float:
        """The relative residual of that equation up to which the backward solve is reported as converged."""
        ...

    def find(self, product: Transpose, v: State) -> tuple[State, jax.Array, jax.Array]:
        """Return w, and for each image the number of products with M and an estimate of the relative error of w.

        The estimate is NaN where it was not made, and infinite where w is not to be used.
        """
        ...


class Units(Protocol):
    """A change of units of images: what a normalisation finds."""

    def apply(self, image: jax.Array) -> jax.Array: ...

    def undo(self, image: jax.Array) -> jax.Array: ...

    def forward_model(self, A: ForwardModel) -> ForwardModel: ...


@runtime_checkable
class Normalisation(Protocol):
    """A setting that finds units from a zero-filled image, and the units of the target in training.

    ``dimensions`` is the number of trailing axes that belong to one image: 3 for volumes and series.
    """

    def __call__(self, zero_filled: jax.Array, dimensions: int = 2) -> Units: ...

    def of_target(self, target: jax.Array, units: Any) -> Units: ...


@runtime_checkable
class Mask(Protocol):
    """A sampling pattern of k-space, a setting: ``mask(shape, seed)`` returns an array, computed on the host."""

    @property
    def calibration_fraction(self) -> float | None:
        """The size of the centre that every mask of the pattern samples fully, as a fraction of the lines along x.

        Every mask samples the ``round(X * calibration_fraction)`` central lines along x, which start at line
        ``(X - n + 1) // 2``, where n is their number. A pattern of points (y, x) samples the square of this fraction of
        both axes instead. Where a pattern draws one of several centre fractions, it is the smallest. It is None for a
        pattern without a fully sampled centre.
        """
        ...

    def __call__(
        self, shape: tuple[int, ...], seed: "int | tuple[int, ...] | str", padding: tuple[int, int] | None = None
    ) -> Any:
        """Return a float32 mask of zeros and ones that broadcasts against (y, x), or against (t, y, x) for a cine.

        Args:
            shape: of the k-space, (..., y, x); only the last two axes count.
            seed: an int, a tuple of ints, or a file name; the same seed gives the same mask on every machine.
            padding: (left, right), the sampled part ``left <= x < right`` of a partly acquired k-space; the mask is
                zero outside it. None is all of k-space.

        Raises:
            ValueError: The shape, the seed or the padding is invalid, or the shape does not allow the acceleration.
        """
        ...


@runtime_checkable
class Loss(Protocol):
    """A measure of the difference between images: ``loss(image, target, params)`` with ``params = loss.init()``."""

    def init(self) -> Params: ...

    def __call__(self, image: jax.Array, target: jax.Array, params: Params | None = None) -> jax.Array: ...


@runtime_checkable
class Objective(Protocol):
    """What a phase of training minimises: a setting, chosen in TOML like a solver."""

    def bind(self, problem: Any) -> "ObjectiveFunction":
        """Make the function that a training step differentiates.

        Args:
          problem: what is trained. For a reconstruction it is a :class:`deqjax.objectives.Problem`.

        Raises:
          ValueError: the objective cannot be used with this problem.
        """
        ...


@runtime_checkable
class LearningObjective(Objective, Protocol):
    """An objective that learns more than the parameters of the method."""

    def init(self, key: jax.Array) -> Params:
        """Make its parameters: parts that the method does not have."""
        ...


@runtime_checkable
class MeasuredObjective(Objective, Protocol):
    """An objective without targets, which is trained on :class:`deqjax.data.MeasuredBatch`."""

    @property
    def acquisitions(self) -> int:
        """The number of acquisitions of every object that it needs, 1 or 2."""
        ...


@runtime_checkable
class Sampler(Protocol):
    """What of a measurement a reconstruction sees, and with what the result is compared: a setting."""

    @property
    def acquisitions(self) -> int:
        """The number of acquisitions of every object that it needs, 1 or 2."""
        ...

    def sample(self, problem: Any, batch: Any, keys: jax.Array, /) -> Any:
        """Return the :class:`deqjax.objectives.Sample` of a :class:`deqjax.data.MeasuredBatch`.

        Args:
          problem: the :class:`deqjax.objectives.Problem`.
          batch: the acquisitions; k-space outside the masks is 0.
          keys: one JAX key per image, (batch,).
        """
        ...


ObjectiveFunction = Callable[[Params, Params, Any, jax.Array, Any], tuple[jax.Array, Metrics]]
"""``(method parameters, loss parameters, batch, one JAX key per image, probe) -> (scalar, metrics)``.

The probe comes from :func:`deqjax.backward_probe`; its gradient reports how the backward solve went.
"""
