"""The symmetric demons as a fixed point, and its gradients."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deqjax.implicit import Implicit
from deqjax.registration import Grid, demons, measures, optimizers, register, regularizers, similarities, transforms
from deqjax.solvers import Anderson, Broyden, Picard

SHAPE = (13, 10)
WITHOUT_CURVATURE: Any = similarities.NGF()


def spots(points, seed=3):
    centres = np.random.RandomState(seed).uniform(1, 10, (7, points.shape[-1]))
    return sum((-1) ** k * jnp.exp(-jnp.sum((points - p) ** 2, -1) / 6) for k, p in enumerate(centres))


def pair(shape=SHAPE, size=0.6):
    """Make two images that a smooth map takes to one another, and the mapped points."""
    points = Grid.of(shape).points()
    bent = points + size * jnp.sin(0.5 * points[..., ::-1] + 1)
    return spots(bent), spots(points), bent


@pytest.mark.slow
@pytest.mark.parametrize("solver", [Picard, Anderson])
def test_every_solver_finds_the_same_fixed_point(solver, float64):
    fixed, moving, _ = pair()
    velocities = []
    for one in (solver, Broyden):
        mapping, stats = demons(fixed, moving, 2.0, 0.5, solver=one(max_steps=400, rtol=1e-8))
        assert bool(stats.converged[0])
        velocities.append(mapping.velocity)
    np.testing.assert_allclose(velocities[0], velocities[1], atol=1e-5)


@pytest.mark.slow
def test_a_validation_loss_has_gradients_for_smoothing_and_weight(float64):
    fixed, moving, bent = pair()
    grid = Grid.of(SHAPE)

    def loss(strengths):
        mapping, stats = demons(
            fixed,
            moving,
            *strengths,
            grid=grid,
            order=3,
            solver=Broyden(max_steps=400, rtol=1e-12),
            adjoint=Implicit(solver=Broyden(max_steps=400), rtol=1e-10),
        )
        return jnp.mean(jnp.sum((mapping.apply_points(grid.points()) - bent) ** 2, -1)), stats

    at, h = jnp.array([1.7, 0.4]), 1e-5
    (_, stats), gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))(at)
    assert bool(stats.converged[0])
    value = jax.jit(lambda at: loss(at)[0])
    differences = [(value(at + h * unit) - value(at - h * unit)) / (2 * h) for unit in jnp.eye(2)]
    assert np.all(np.abs(differences) > 1e-4)
    np.testing.assert_allclose(gradient, differences, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [SHAPE, (9, 11, 7)])
def test_exchanging_the_images_gives_the_inverse(shape):
    fixed, moving, _ = pair(shape)
    forward, backward = demons(fixed, moving, 2.0)[0], demons(moving, fixed, 2.0)[0]
    np.testing.assert_allclose(backward.velocity, -forward.velocity, atol=2e-3)
    assert float(measures.volume_change(forward.displacement(forward.grid), forward.grid).min()) > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "transform",
    [transforms.Velocity(smoothing=1.5), transforms.Dense(smoothing=1.5)],
    ids=["diffeomorphic", "additive"],
)
def test_demons_register_on_two_levels(transform):
    fixed, moving, bent = pair((29, 26), size=0.8)
    found = register(fixed, moving, transform, levels=(2.0, 1.0), optimizer=optimizers.Demons())
    points = Grid.of((29, 26)).points()
    inner = np.s_[2:10, 2:10]  # The spots are here.
    before, after = (jnp.linalg.norm(at - bent, axis=-1)[inner] for at in (points, found.map.apply_points(points)))
    assert float(after.mean()) < 0.5 * float(before.mean())
    assert found.measures["similarity_after"] < 0.15 * found.measures["similarity_before"]
    assert float(found.measures["folded_fraction"]) == 0
    assert all(values[0] > 0 for values in found.history)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda f, m: demons(f, m[:-1]), "one shape"),
        (lambda f, m: demons(f, m * 1j), "complex"),
        (lambda f, m: demons(f, m, similarity=WITHOUT_CURVATURE), "curvature"),
        (lambda f, m: register(f, m, transforms.Rigid(), optimizer=optimizers.Demons()), "Velocity or Dense"),
        (lambda f, m: register(f, m, transforms.Dense(), similarities.NGF(), optimizer=optimizers.Demons()), "LBFGS"),
        (
            lambda f, m: register(
                f, m, transforms.Dense(), regularizer=regularizers.Bending(), optimizer=optimizers.Demons()
            ),
            "leave out",
        ),
    ],
)
def test_invalid_use_of_demons_raises(call, message):
    fixed, moving, _ = pair()
    with pytest.raises(ValueError, match=message):
        call(fixed, moving)
