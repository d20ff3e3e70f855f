"""States with features at several resolutions, and maps that depend on the number of the iteration."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from map_problems import contractive_params, forward_model, random_complex

import deqjax as dj
from deqjax.types import MapArgs

SHAPE = (7, 9)
NET = dj.nets.MultiScaleUNet(levels=3, features=6)
MULTISCALE = dj.maps.MultiScaleHalfQuadratic(NET, penalty=0.3, learn_penalty=True)
STEP = dj.maps.HalfQuadratic(dj.nets.DnCNN(layers=2, features=3, residual=False), penalty=0.3, learn_penalty=True)
EXACT = dj.solvers.Anderson(max_steps=200, rtol=1e-12)


@pytest.mark.slow
def test_one_step_with_the_features_zero_is_half_quadratic_splitting_with_the_same_net():
    plain = dj.maps.HalfQuadratic(NET, penalty=0.3, learn_penalty=True)
    A, params = forward_model("Sense", SHAPE), contractive_params(MULTISCALE)
    args = MapArgs(params, A, A.adjoint(A.forward(random_complex(2, *SHAPE))))
    following = MULTISCALE(MULTISCALE.start(args), args)
    np.testing.assert_allclose(following.values[0], plain(args.zero_filled, args), atol=1e-6)
    again = MULTISCALE(following, args)
    features = MULTISCALE(following._replace(values=(following.values[0], *again.values[1:])), args)
    assert not np.allclose(features.values[0], again.values[0], atol=1e-6)  # the image depends on the old features


@pytest.mark.slow
@pytest.mark.parametrize("unrolled", [False, True])
def test_the_implicit_gradient_equals_finite_differences_and_unrolling(unrolled, float64):
    recon = dj.Reconstructor(MULTISCALE, EXACT, dj.Implicit(EXACT, rtol=1e-11, nan_above=float("inf")))
    A = dj.physics.MaskedFourier(jnp.ones((1, SHAPE[1])))  # so that x + N(x) contracts
    params = {"map": contractive_params(MULTISCALE, 0.6)}
    kspace = A.forward(random_complex(3, *SHAPE, seed=4))

    def loss(params, recon):
        image, stats = recon(params, A, kspace)
        return jnp.sum(jnp.abs(image - 1) ** 2), stats

    (_, stats), gradient = jax.value_and_grad(loss, has_aux=True)(params, recon)
    assert stats.converged.all()
    assert any(leaf.any() for leaf in jax.tree.leaves(gradient["map"]["net"]["old_1"]))
    if unrolled:
        picard = recon.replace(solver=dj.solvers.Picard(max_steps=200, rtol=1e-13), adjoint=dj.Unrolled())
        (_, stats), expected = jax.value_and_grad(loss, has_aux=True)(params, picard)
        chex.assert_trees_all_close(gradient, expected, rtol=1e-5, atol=1e-7)
    rng, h = np.random.default_rng(1), 1e-6
    direction = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape), params)
    up, down = (loss(jax.tree.map(lambda p, d, s=s: p + s * d, params, direction), recon)[0] for s in (h, -h))
    predicted = sum(jnp.vdot(a, b) for a, b in zip(jax.tree.leaves(gradient), jax.tree.leaves(direction)))
    np.testing.assert_allclose(predicted, (up - down) / (2 * h), rtol=1e-5)


def test_a_net_without_features_is_refused():
    with pytest.raises(ValueError, match="UNet is for HalfQuadratic"):
        dj.maps.MultiScaleHalfQuadratic(dj.nets.UNet())


@pytest.mark.slow
def test_a_sequence_is_its_steps_one_after_the_other():
    schedule = dj.maps.Sequence(STEP, steps=3)
    A, params = forward_model("Sense", SHAPE), schedule.init(jax.random.key(0))
    args = MapArgs(params, A, A.adjoint(A.forward(random_complex(2, *SHAPE))))
    state = schedule.start(args)
    for k in range(3):
        state = STEP(state, args._replace(params=params[f"step_{k}"]))
    np.testing.assert_allclose(schedule.image(schedule(schedule.start(args), args)), state, atol=1e-6)
    first, second = (params[f"step_{k}"]["net"]["conv_0"]["kernel"] for k in (0, 1))
    assert not np.allclose(first, second)
    with pytest.raises(ValueError, match="steps >= 1; it is 0"):
        dataclasses.replace(schedule, steps=0)


@pytest.mark.slow
def test_a_schedule_as_the_start_keeps_the_fixed_point_and_its_gradient(float64):
    A = forward_model("MaskedFourier", SHAPE)
    kspace = A.forward(random_complex(1, *SHAPE, seed=4))
    recon = dj.Reconstructor(STEP, EXACT, dj.Implicit(EXACT, rtol=1e-11))
    scheduled = recon.replace(start=dj.maps.Sequence(STEP, steps=2))
    params = scheduled.init(jax.random.key(0)) | {"map": contractive_params(STEP, 0.3)}
    loss = lambda params, recon: jnp.sum(jnp.abs(recon(params, A, kspace)[0] - 1) ** 2)
    (value, gradient), (expected, plain) = (jax.value_and_grad(loss)(params, recon) for recon in (scheduled, recon))
    np.testing.assert_allclose(value, expected, rtol=1e-9)
    chex.assert_trees_all_close(gradient["map"], plain["map"], rtol=1e-7, atol=1e-9)
    assert not any(leaf.any() for leaf in jax.tree.leaves(gradient["start"]))  # Supervised trains it to predict x*
