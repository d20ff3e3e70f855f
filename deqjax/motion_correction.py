"""Motion-corrected reconstruction of a series: the image and the motion are two fixed points, solved in turn."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from deqjax.classical_methods import classical_method
from deqjax.maps import PrimalDual
from deqjax.objectives.motion import DemonsMotion, Motion, move_image
from deqjax.physics import smooth_phase
from deqjax.physics.linear_solvers import conjugate_gradient, largest_eigenvalue
from deqjax.physics.phase import PhaseModulated
from deqjax.priors import TotalVariation
from deqjax.pytree import operand
from deqjax.reconstruct import Reconstructor
from deqjax.solvers import Anderson, Stats
from deqjax.types import ForwardModel


@operand
class MovingObject:
    """The forward model of one image that moves from frame to frame, ``scale A (x o phi_1, ..., x o phi_T)``.

    Attributes:
      A: the forward model of the series, with the axes "tyx".
      displacement: from each frame to the image, (t, y, x, 2), in pixels along y and x.
      scale: makes the norm 1, up to the accuracy of an estimate; see :func:`moving_object`.

    >>> from deqjax.physics import MaskedFourier
    >>> A = MovingObject(MaskedFourier(jnp.ones((2, 1, 8)), "tyx"), jnp.zeros((2, 8, 8, 2)), jnp.ones(()))
    >>> A.forward(jnp.ones((8, 8), complex)).shape
    (2, 8, 8)
    """

    A: ForwardModel
    displacement: jax.Array
    scale: jax.Array

    @property
    def axes(self) -> str:
        return "yx"

    def frames(self, image: jax.Array) -> jax.Array:
        """Move the image to every frame, ([batch,] y, x) to ([batch,] t, y, x)."""
        if image.ndim == 3:
            return jax.lax.map(self.frames, image)
        return jax.lax.map(lambda displacement: move_image(image, displacement), self.displacement)

    def forward(self, image: jax.Array) -> jax.Array:
        """A x."""
        return self.scale * self.A.forward(self.frames(image))

    def adjoint(self, kspace: jax.Array) -> jax.Array:
        """A^H y. The matrix of the motion is real, so that its adjoint is its transpose."""
        frames = self.scale * self.A.adjoint(kspace)
        image = jnp.zeros((*frames.shape[:-3], *frames.shape[-2:]), frames.dtype)
        return jax.vjp(self.frames, image)[1](frames)[0]

    def normal(self, image: jax.Array) -> jax.Array:
        """A^H A x."""
        return self.adjoint(self.forward(image))

    def regularised_inverse(self, image: jax.Array, penalty: jax.Array | float, steps: int = 10) -> jax.Array:
        """(A^H A + penalty I)^-1 x, by conjugate gradients; penalty > 0."""
        return conjugate_gradient(lambda z: self.normal(z) + penalty * z, image, steps)


class Series(NamedTuple):
    """A motion-corrected series."""

    frames: jax.Array
    """(t, y, x) complex, in the units of the k-space."""

    image: jax.Array
    """The object at the reference, (y, x) complex, without its smooth phase."""

    displacement: jax.Array
    """From each frame to the reference, (t, y, x, 2), in pixels along y and x."""

    stats: tuple[Stats, ...]
    """How the solves for the image went, one for each round."""


def reconstruct_series(
    A: ForwardModel,
    kspace: jax.Array,
    motion: Motion | None = None,
    *,
    reference: int = 0,
    rounds: int = 2,
    weight: float = 0.002,
    method: Reconstructor | None = None,
) -> Series:
    """Reconstruct a series of frames of an object that moves, by solving for the image and the motion in turn.

    The frames are first reconstructed one by one. Each round (1) finds the motion from every frame to the reference,
    (2) reconstructs one image x from the data of all frames, ``min |A (x o phi_1, ..., x o phi_T) - y|^2 + weight
    TV(x)``, and (3) takes as frames the moved images plus a reconstruction of what they leave of the data, so that
    changes that are no motion appear too. The smooth phase of the mean over the frames does not move.

    Source: H. Jung, J. C. Ye, "Motion estimated and compensated compressed sensing dynamic magnetic resonance imaging:
    what we can learn from video compression techniques", Int. J. Imaging Syst. Technol. 20:81, 2010, for step 3; F.
    Odille et al., "Generalized reconstruction by inversion of coupled systems (GRICS) applied to free-breathing MRI",
    Magn. Reson. Med. 60:146, 2008, for the alternation.

    Args:
      A: the forward model, with the axes "tyx"; the frames should have different masks.
      kspace: ([coil,] t, y, x) complex.
      motion: how the motion is found, nothing of it learned; `DemonsMotion` by default.
      reference: the number of the reference frame.
      rounds: the number of rounds, at least 1.
      weight: of the total variation of the image, relative to its scale.
      method: the classical method for frames and remainders; total variation of each frame by default.

    Raises:
      ValueError: A is no model of a series, or there is no such frame or no round.

    >>> from deqjax.physics import MaskedFourier
    >>> reconstruct_series(MaskedFourier(jnp.ones((1, 8))), jnp.ones((8, 8), complex))
    Traceback (most recent call last):
    ValueError: reconstruct_series needs a forward model with the axes "tyx"; those of MaskedFourier are "yx"
    """
    if A.axes != "tyx":
        raise ValueError(
            f'reconstruct_series needs a forward model with the axes "tyx"; those of {type(A).__name__} are "{A.axes}"'
        )
    method = classical_method("total-variation") if method is None else method
    motion = DemonsMotion() if motion is None else motion
    solver = Anderson(max_steps=300, rtol=1e-4)  # with 1e-3 it stops long before the lines are filled in
    joint = Reconstructor(PrimalDual(TotalVariation(), weight=weight), solver=solver)
    zero_filled = A.adjoint(kspace)
    if rounds < 1 or not 0 <= reference < len(zero_filled):
        raise ValueError(f"need rounds >= 1 and the number of a frame; got {rounds} and {reference}")
    phase = smooth_phase(jnp.mean(zero_filled, axis=0, keepdims=True))
    still, stats = PhaseModulated(A, phase), []
    frames, _ = method({}, still, kspace)
    for _ in range(rounds):
        displacement = find_motion(motion, frames, reference)
        moving = moving_object(still, displacement)
        image, found = joint({}, moving, moving.scale * kspace)
        stats.append(found)
        moved = moving.frames(image)
        remainder, _ = method({}, still, kspace - still.forward(moved))
        frames = moved + remainder
    return Series(phase * frames, image, displacement, tuple(stats))


def find_motion(motion: Motion, frames: jax.Array, reference: int) -> jax.Array:
    """Find the displacement from every frame (t, y, x) to one of them, (t, y, x, 2), in pixels."""
    shown = jnp.abs(frames)
    power = shown[reference] ** 2
    shown = shown * jnp.sqrt(jnp.sum(power) / jnp.maximum(jnp.sum(power**2), jnp.finfo(shown.dtype).tiny))
    find = jax.jit(lambda fixed, moving: motion.find({}, fixed, moving, None).there)
    return find(shown, jnp.broadcast_to(shown[reference], shown.shape)).at[reference].set(0)


def moving_object(A: ForwardModel, displacement: jax.Array) -> MovingObject:
    """Make the forward model of a moving object, with the scale that gives it a norm of about 1."""
    model = MovingObject(A, displacement, jnp.ones(()))
    norm = jax.jit(lambda model: largest_eigenvalue(model, jax.random.key(0), displacement.shape[1:3], steps=10))(model)
    return MovingObject(A, displacement, 1 / jnp.sqrt(1.1 * norm))
