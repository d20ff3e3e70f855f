"""Motion-corrected reconstruction of a series: the frames and the motion are fixed points, solved in turn."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from deqjax.classical_methods import classical_method
from deqjax.objectives.motion import DemonsMotion, Motion, move_image
from deqjax.physics import MaskedFourier, fft2c, smooth_phase
from deqjax.physics.phase import PhaseModulated
from deqjax.reconstruct import Reconstructor
from deqjax.solvers import Stats
from deqjax.types import ForwardModel

OWN_SHARE = 0.2
"""The weight of a frame in its own prediction; what it measured comes back with the remainder."""


class Series(NamedTuple):
    """A motion-corrected series."""

    frames: jax.Array
    """(t, y, x) complex, in the units of the k-space."""

    displacement: jax.Array
    """From each frame to the frame before it and to the one after it, (2, t, y, x, 2), in pixels along y and x."""

    weight: jax.Array
    """The weights of these two frames in the last round, (2, t), from 0 to 1; see :func:`reconstruct_series`."""

    stats: tuple[Stats, ...]
    """How the solves for the frames went: one for the start, and one for each round."""


def reconstruct_series(
    A: ForwardModel,
    kspace: jax.Array,
    motion: Motion | None = None,
    *,
    rounds: int = 4,
    method: Reconstructor | None = None,
) -> Series:
    """Reconstruct a series of frames of an object that moves, by solving for the frames and the motion in turn.

    The frames x_t are first reconstructed one by one. Each round (1) finds the motion from every frame to the one
    before and the one after it, (2) predicts every frame from itself and these two, moved to it,

        ``p_t = (0.2 x_t + w_- x_(t-1) o phi_- + w_+ x_(t+1) o phi_+) / (0.2 + w_- + w_+)``,

    which the method then denoises, and (3) takes as frames ``p_t`` plus a reconstruction of what it leaves of the data,
    so that changes that are no motion appear too. The weight of a neighbour is the part of the energy of the data of
    frame t that it explains, ``w = max(0, 1 - |A_t (x_s o phi) - y_t|^2 / |y_t|^2)``: where nothing is explained, a
    frame stands for itself. The first and the last frame have one neighbour. The smooth phase of the mean over the
    frames does not move.

    Source: H. Jung, J. C. Ye, "Motion estimated and compensated compressed sensing dynamic magnetic resonance imaging:
    what we can learn from video compression techniques", Int. J. Imaging Syst. Technol. 20:81, 2010, for step 3.

    Args:
      A: the forward model, with the axes "tyx"; neighbouring frames should have different masks.
      kspace: ([coil,] t, y, x) complex.
      motion: how the motion is found, nothing of it learned; `DemonsMotion` by default.
      rounds: the number of rounds, at least 1.
      method: the classical method for frames and remainders; total variation of each frame by default.

    Raises:
      ValueError: A is no model of a series, or there is no round.

    >>> from deqjax.physics import MaskedFourier
    >>> reconstruct_series(MaskedFourier(jnp.ones((1, 8))), jnp.ones((8, 8), complex))
    Traceback (most recent call last):
    ValueError: reconstruct_series needs a forward model with the axes "tyx"; those of MaskedFourier are "yx"
    """
    if A.axes != "tyx":
        raise ValueError(
            f'reconstruct_series needs a forward model with the axes "tyx"; those of {type(A).__name__} are "{A.axes}"'
        )
    if rounds < 1:
        raise ValueError(f"rounds must be at least 1; it is {rounds}")
    method = classical_method("total-variation") if method is None else method
    motion = DemonsMotion() if motion is None else motion
    phase = smooth_phase(jnp.mean(A.adjoint(kspace), axis=0, keepdims=True))
    still, complete = PhaseModulated(A, phase), MaskedFourier(jnp.ones((1, 1, 1)), "tyx")
    frames, found = method({}, still, kspace)
    stats = [found]
    for _ in range(rounds):
        displacement, moved, weight = _neighbours(still, frames, kspace, motion)
        shares = weight[..., None, None]
        predicted = (OWN_SHARE * frames + jnp.sum(shares * moved, axis=0)) / (OWN_SHARE + jnp.sum(shares, axis=0))
        predicted, _ = method({}, complete, fft2c(predicted))
        remainder, found = method({}, still, kspace - still.forward(predicted))
        frames = predicted + remainder
        stats.append(found)
    return Series(phase * frames, displacement, weight, tuple(stats))


def find_motion(motion: Motion, fixed: jax.Array, moving: jax.Array) -> jax.Array:
    """Find the displacement from every fixed to its moving frame (t, y, x), (t, y, x, 2), in pixels."""
    power = jnp.abs(fixed) ** 2
    scale = jnp.sqrt(jnp.sum(power**2) / jnp.maximum(jnp.sum(power), jnp.finfo(power.dtype).tiny))
    scale = jnp.where(scale > 0, scale, 1)
    return motion.find({}, jnp.abs(fixed) / scale, jnp.abs(moving) / scale, None).there


@partial(jax.jit, static_argnames="motion")
def _neighbours(
    A: ForwardModel, frames: jax.Array, kspace: jax.Array, motion: Motion
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return for the frame before and the one after: the displacement to it, its moved image, and its weight."""
    place = jnp.arange(len(frames))

    def one(step: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        neighbour = jnp.clip(place + step, 0, len(frames) - 1)
        displacement = find_motion(motion, frames, frames[neighbour])
        moved = jax.vmap(move_image)(frames[neighbour], displacement)
        return displacement, moved, (neighbour != place) * _explained(A, moved, kspace)

    return jax.lax.map(one, jnp.array([-1, 1]))


def _explained(A: ForwardModel, frames: jax.Array, kspace: jax.Array) -> jax.Array:
    """Return the part of the energy of the data of each frame that the frames explain, (t,), at least 0."""

    def energy(values: jax.Array) -> jax.Array:
        return jnp.sum(jnp.abs(jnp.moveaxis(values, -3, 0)) ** 2, axis=tuple(range(1, values.ndim)))

    measured = energy(kspace)
    left = energy(kspace - A.forward(frames)) / jnp.where(measured > 0, measured, 1)
    return jnp.maximum(1 - left, 0)
