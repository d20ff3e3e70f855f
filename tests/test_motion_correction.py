"""The reconstruction of a series that moves."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import deqjax as dj
from deqjax.data import RandomMotion
from deqjax.motion_correction import find_motion, reconstruct_series
from deqjax.objectives import DemonsMotion
from deqjax.objectives.motion import FoundMotion, both_ways, move_image
from deqjax.physics import MaskedFourier

SHAPE, FRAMES = (32, 32), 4


def series():
    """A smooth object that moves, (t, y, x), and its displacements to the first frame."""
    y, x = np.indices(SHAPE) / SHAPE[0]
    spots = np.random.default_rng(3).uniform(0.3, 0.7, (6, 2))
    image = jnp.asarray(sum(np.exp(-((y - a) ** 2 + (x - b) ** 2) / 0.006) for a, b in spots), jnp.complex64)
    velocity = jnp.asarray(RandomMotion(1.5, 6.0).velocity(SHAPE, np.random.default_rng(0)))
    displacement = jnp.stack([both_ways(t * velocity / 2)[0] for t in range(FRAMES)])
    return jax.vmap(lambda u: move_image(image, u))(displacement), displacement


@dataclass(frozen=True)
class Wrong:
    """Half of the image, wherever anything is."""

    def init(self, key):
        return {}

    def find(self, params, fixed, moving, known):
        there = jnp.full((*fixed.shape, 2), SHAPE[0] / 2)
        return FoundMotion(there, -there, jnp.zeros(()))


@pytest.mark.slow
def test_a_series_gains_from_its_motion_and_loses_nothing_by_a_wrong_one():
    frames, displacement = series()
    masks = jnp.asarray(np.stack([dj.masks.CartesianRandom(4, 0.15)(SHAPE, t) for t in range(FRAMES)]))
    A = MaskedFourier(masks, "tyx")
    kspace = A.forward(frames)
    motion = DemonsMotion(smoothing=(3.0, 3.0), levels=(2, 1))
    bright = jnp.abs(frames[0]) > 0.2
    first = jnp.broadcast_to(frames[0], frames.shape)
    wrong = jnp.linalg.norm(find_motion(motion, frames, first) - displacement, axis=-1)[:, bright].mean()
    assert wrong < 0.5 * jnp.linalg.norm(displacement, axis=-1)[:, bright].mean()
    alone, _ = dj.classical_methods.classical_method("total-variation")({}, A, kspace)
    found = reconstruct_series(A, kspace, motion, rounds=16)
    error = lambda x: float(jnp.linalg.norm(x - frames) / jnp.linalg.norm(frames))
    assert error(found.frames) < 0.7 * error(alone)
    assert all(bool(stats.converged) for stats in found.stats)
    lost = reconstruct_series(A, kspace, Wrong(), rounds=1)
    assert error(lost.frames) < 1.02 * error(alone)
    with pytest.raises(ValueError, match="rounds must be at least 1"):
        reconstruct_series(A, kspace, rounds=0)
