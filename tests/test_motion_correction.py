"""The forward model of a moving object, and the reconstruction of a series that moves."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import deqjax as dj
from deqjax.data import RandomMotion
from deqjax.motion_correction import MovingObject, find_motion, moving_object, reconstruct_series
from deqjax.objectives import DemonsMotion
from deqjax.objectives.motion import both_ways, move_image
from deqjax.physics import MaskedFourier, dot_product_gap
from deqjax.physics.linear_solvers import largest_eigenvalue

SHAPE, FRAMES = (32, 32), 4


def series():
    """A smooth object that moves, (t, y, x), and its displacements to the first frame."""
    y, x = np.indices(SHAPE) / SHAPE[0]
    spots = np.random.default_rng(3).uniform(0.3, 0.7, (6, 2))
    image = jnp.asarray(sum(np.exp(-((y - a) ** 2 + (x - b) ** 2) / 0.006) for a, b in spots), jnp.complex64)
    velocity = jnp.asarray(RandomMotion(1.5, 6.0).velocity(SHAPE, np.random.default_rng(0)))
    displacement = jnp.stack([both_ways(t * velocity / 2)[0] for t in range(FRAMES)])
    return jax.vmap(lambda u: move_image(image, u))(displacement), displacement


def test_the_adjoint_of_a_moving_object():
    frames, displacement = series()
    masks = np.stack([dj.masks.CartesianRandom(2, 0.2)(SHAPE, t) for t in range(FRAMES)])
    A = MovingObject(MaskedFourier(jnp.asarray(masks), "tyx"), displacement, jnp.asarray(0.5))
    assert dot_product_gap(A, jax.random.key(0), SHAPE) < 1e-5
    full = MovingObject(MaskedFourier(jnp.ones((FRAMES, 1, 1)), "tyx"), displacement, jnp.ones(()))
    np.testing.assert_allclose(full.A.adjoint(full.forward(frames[0])), frames, atol=1e-5)
    assert largest_eigenvalue(moving_object(full.A, displacement), jax.random.key(1), SHAPE, 20) < 1.02


@pytest.mark.slow
def test_a_series_gains_from_its_motion():
    frames, displacement = series()
    masks = jnp.asarray(np.stack([dj.masks.CartesianRandom(4, 0.15)(SHAPE, t) for t in range(FRAMES)]))
    A = MaskedFourier(masks, "tyx")
    kspace = A.forward(frames)
    motion = DemonsMotion(smoothing=3.0, levels=(2.0, 1.0))
    bright = jnp.abs(frames[0]) > 0.2
    wrong = jnp.linalg.norm(find_motion(motion, frames, 0) - displacement, axis=-1)[:, bright].mean()
    assert wrong < 0.5 * jnp.linalg.norm(displacement, axis=-1)[:, bright].mean()
    alone, _ = dj.classical_methods.classical_method("total-variation")({}, A, kspace)
    found = reconstruct_series(A, kspace, motion, rounds=2)
    error = lambda x: float(jnp.linalg.norm(x - frames) / jnp.linalg.norm(frames))
    assert error(found.frames) < 0.7 * error(alone)
    assert all(bool(stats.converged) for stats in found.stats)
    with pytest.raises(ValueError, match="number of a frame"):
        reconstruct_series(A, kspace, reference=FRAMES)
