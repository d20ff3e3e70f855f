"""How the motion between two reconstructions is found, for :class:`deqjax.objectives.MovedPair`.

Displacements are in pixels along y and x. That from the first image to the second, u, has ``first(p) = second(p +
u(p))``. One velocity gives both directions: its flow and the flow of its negative.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp

from deqjax.data.motion import SQUARINGS
from deqjax.types import Params

if TYPE_CHECKING:
    from deqjax.registration.types import Network

# Registration takes a second to import, and reads trained networks with parts of higher layers: it is imported by use.


class FoundMotion(NamedTuple):
    """The motion between a batch of first and second images."""

    there: jax.Array
    """The displacement u from the first to the second image, (batch, y, x, 2) in pixels along y and x."""

    back: jax.Array
    """The displacement of the inverse."""

    loss: jax.Array
    """What is minimised to learn how to find it; 0 if nothing is learned."""


@runtime_checkable
class Motion(Protocol):
    """How the motion between two images is found: a setting."""

    def init(self, key: jax.Array) -> Params:
        """Make the parameters that are learned, ``{"network": ...}``, or ``{}``."""
        ...

    def find(self, params: Params, fixed: jax.Array, moving: jax.Array, known: jax.Array | None, /) -> FoundMotion:
        """Find the motion. This runs inside ``jit``.

        Args:
          params: all parameters of the training, those of :meth:`init` among them.
          fixed: the magnitudes of the first images, (batch, y, x), over their scale.
          moving: those of the second images.
          known: the velocity of simulated motion, (batch, y, x, 2) in pixels; None if the motion is not known.
        """
        ...


@dataclass(frozen=True)
class NoMotion:
    """The images stay where they are: what happens if motion is ignored.

    >>> NoMotion().find({}, jnp.ones((1, 4, 4)), jnp.ones((1, 4, 4)), None).there.shape
    (1, 4, 4, 2)
    """

    def init(self, key: jax.Array) -> Params:
        return {}

    def find(self, params: Params, fixed: jax.Array, moving: jax.Array, known: jax.Array | None) -> FoundMotion:
        still = jnp.zeros((*fixed.shape, 2))
        return FoundMotion(still, still, jnp.zeros(()))


@dataclass(frozen=True)
class KnownMotion:
    """The true motion of simulated pairs, for studies: what registration can reach at best.

    >>> KnownMotion().init(jax.random.key(0))
    {}
    """

    def init(self, key: jax.Array) -> Params:
        return {}

    def find(self, params: Params, fixed: jax.Array, moving: jax.Array, known: jax.Array | None) -> FoundMotion:
        if known is None:
            raise ValueError("KnownMotion needs pairs with simulated motion: set data.motion, or choose another motion")
        there, back = jax.vmap(both_ways)(known)
        return FoundMotion(there, back, jnp.zeros(()))


@dataclass(frozen=True)
class DemonsMotion:
    """Symmetric demons from coarse to fine, each level a fixed point; nothing is learned.

    The Gaussian becomes narrower from level to level: a wide one finds large displacements safely, but it also shrinks
    them. `Anderson` solves the levels; on a few pairs, `Broyden` ends far from the motion.

    Attributes:
      smoothing: for each level, the standard deviation of the Gaussian that smooths the velocity, in pixels.
      weight: see :func:`deqjax.registration.demons`.
      levels: the pixel sizes of the levels in pixels of the image, from coarse to fine. The motion is found on the last
        level.
      max_steps: the largest number of evaluations on a level.

    Raises:
      ValueError: there is not one smoothing for each level.

    >>> DemonsMotion().init(jax.random.key(0))
    {}
    """

    smoothing: tuple[float, ...] = (8.0, 4.0, 3.0)
    weight: float = 0.1
    levels: tuple[int, ...] = (8, 4, 2)
    max_steps: int = 40

    def __post_init__(self) -> None:
        if not self.levels or len(self.smoothing) != len(self.levels):
            raise ValueError(f"need one smoothing for each level; got {self.smoothing} for the levels {self.levels}")

    def init(self, key: jax.Array) -> Params:
        return {}

    def find(self, params: Params, fixed: jax.Array, moving: jax.Array, known: jax.Array | None) -> FoundMotion:
        from deqjax.registration import demons
        from deqjax.registration.pyramid import shrink
        from deqjax.registration.transforms.dense import upsample
        from deqjax.solvers import Anderson

        grid = pixel_grid(fixed.shape[1:])
        solver = Anderson(history=3, max_steps=self.max_steps, rtol=1e-3)

        def register(images: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            velocity, previous = jnp.zeros((1, 1, 2)), self.levels[0]
            for size, smoothing in zip(self.levels, self.smoothing):
                (first, level), (second, _) = (shrink(image, grid, (size, size)) for image in images)
                start = upsample(velocity, jnp.zeros((*level.shape, 2)), (previous / size,) * 2)
                found, _ = demons(
                    first, second, smoothing, self.weight, grid=level, start=start, squarings=SQUARINGS, solver=solver
                )
                velocity, previous = found.velocity, size
            return found.displacement(grid), found.inverse().displacement(grid)

        there, back = jax.lax.map(register, (fixed, moving))
        return FoundMotion(there, back, jnp.zeros(()))


@dataclass(frozen=True)
class NetworkMotion:
    """A network that computes a velocity, trained in the same run: its parameters are the part ``"network"``.

    Its loss is the mean over both directions of ``1 - NCC`` in local windows, plus ``smoothness |grad v|^2``, see
    :class:`deqjax.registration.Unsupervised`.

    Attributes:
      model: the name or the folder of a registration model, whose network and parameters are the start; empty for a
        fresh :class:`deqjax.registration.VoxelMorph`.
      window: the side of the local windows, in pixels. They are Gaussian, of the standard deviation of such a square.
      smoothness: the weight of the squared derivatives of the velocity, of which the four components are added.

    Raises:
      ValueError: the window or the smoothness is not positive.

    >>> NetworkMotion(window=0)
    Traceback (most recent call last):
    ValueError: need window > 1 and smoothness >= 0; got 0, 1.5
    """

    model: str = ""
    window: float = 9.0
    smoothness: float = 1.5

    def __post_init__(self) -> None:
        if not (self.window > 1 and self.smoothness >= 0):
            raise ValueError(f"need window > 1 and smoothness >= 0; got {self.window}, {self.smoothness}")

    def network(self) -> "Network":
        """Return the network."""
        from deqjax.registration import VoxelMorph, load_network

        with jax.ensure_compile_time_eval():  # it is read inside jit too
            return load_network(self.model).network if self.model else VoxelMorph()

    def init(self, key: jax.Array) -> Params:
        from deqjax.registration import load_network

        if self.model:
            return {"network": load_network(self.model).parameters}
        image = jnp.zeros((32, 32))
        return {"network": self.network().init(key, image, image, pixel_grid(image.shape))}

    def find(self, params: Params, fixed: jax.Array, moving: jax.Array, known: jax.Array | None) -> FoundMotion:
        from deqjax.registration import Unsupervised
        from deqjax.registration.learning import PairBatch, RegistrationProblem
        from deqjax.registration.regularizers import Diffusion
        from deqjax.registration.similarities import LocalNCC
        from deqjax.registration.transforms import VelocityMap

        grid, network = pixel_grid(fixed.shape[1:]), self.network()

        def both(fixed: jax.Array, moving: jax.Array) -> tuple[jax.Array, jax.Array]:
            found = network.apply(params["network"], fixed, moving, grid)
            if not isinstance(found, VelocityMap):
                raise ValueError(f"{self.model}: the network computes no velocity, whose inverse is needed")
            return found.displacement(grid), found.inverse().displacement(grid)

        similarity = LocalNCC(width=((self.window**2 - 1) / 12) ** 0.5)
        objective = Unsupervised(similarity, Diffusion(self.smoothness), bidirectional=True)
        pairs, problem = PairBatch(fixed, moving), RegistrationProblem(network, grid)
        loss, _ = objective.bind(problem)(params, {}, pairs, None, None)  # type: ignore[arg-type]
        there, back = jax.vmap(both)(fixed, moving)
        return FoundMotion(there, back, loss)


def both_ways(velocity: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return the displacements of the flow of a velocity (y, x, 2) in pixels, and of its inverse.

    >>> there, back = both_ways(jnp.full((4, 4, 2), 0.5))
    >>> there[0, 0].round(4), back[0, 0].round(4)
    (Array([0.5, 0.5], dtype=float32), Array([-0.5, -0.5], dtype=float32))
    """
    from deqjax.registration.transforms import VelocityMap

    grid = pixel_grid(velocity.shape[:2])
    return tuple(VelocityMap(sign * velocity, grid, SQUARINGS).displacement(grid) for sign in (1, -1))  # type: ignore


def pixel_grid(shape: tuple[int, ...]) -> Any:
    """Return the grid of an image with pixels of 1, so that displacements are in pixels; it is known inside ``jit``."""
    from deqjax.registration.grid import Grid

    with jax.ensure_compile_time_eval():
        return Grid.of(shape)


def move_image(image: jax.Array, displacement: jax.Array) -> jax.Array:
    """Return ``x(p + u(p))`` of an image (y, x) by cubic B-splines; the border of the image is repeated.

    A pixel whose displacement is 0 keeps its value, bit for bit.

    Args:
      image: real or complex. Take the phase off first: interpolation between pixels of different phase loses signal.
      displacement: u, (y, x, 2), in pixels.

    >>> image = jnp.arange(6.0).reshape(1, 6)
    >>> move_image(image, jnp.full((1, 6, 2), 0.5).at[0, 0].set(0))[0, :4].round(1)
    Array([0. , 1.5, 2.5, 3.5], dtype=float32)
    """
    from deqjax.registration.interpolation import interpolate

    places = pixel_grid(image.shape).points() + displacement
    return jnp.where(jnp.any(displacement != 0, axis=-1), interpolate(image, places, order=3), image)
