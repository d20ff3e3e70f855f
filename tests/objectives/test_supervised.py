"""Training trains: both objectives go down on phantoms, and whatever is learned moves and stays where it may be."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import deqjax as dj
from deqjax.data import Batch, phantom_volume
from deqjax.jacobian_penalty import JacobianPenalty
from deqjax.maps.parameters import apply_net
from deqjax.objectives import Acquisition, Denoising, Problem, Supervised
from deqjax.reconstruct import equilibrium
from deqjax.training import check_finite, create_state, make_optimizer, make_train_step, replicate

SIZE = 32


def batch_of(coils: int = 1) -> Batch:
    kspace = phantom_volume(0, (2, SIZE, SIZE), coils).kspace
    return Batch(kspace, np.stack([dj.masks.CartesianRandom(3, 0.125)((SIZE, SIZE), seed) for seed in range(2)]))


def train(objective, problem, batch, steps, learning_rate):
    optimizer = make_optimizer(steps=steps, learning_rate=learning_rate, final_learning_rate=learning_rate / 10)
    step = make_train_step(objective.bind(problem), optimizer, ema=0.5)
    params = problem.recon.init(jax.random.key(0))
    state, found = replicate(create_state(params, problem.loss.init(), optimizer, bounded=False)), []
    for number in range(steps):
        state, metrics = step(state, batch)
        check_finite(metrics, number + 1)
        found.append({name: float(value) for name, value in metrics.items()})
    return state, found


def mean(rows, name):
    return np.mean([row[name] for row in rows])


@pytest.mark.parametrize("coils", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_the_denoiser_learns_to_denoise(coils):
    net = dj.nets.DnCNN(layers=3, features=8)
    recon = dj.Reconstructor(dj.maps.ProximalGradient(net))
    problem = Problem(recon, dj.losses.MSE())
    state, found = train(Denoising(noise=(0.3, 0.3)), problem, batch_of(coils), 30, 1e-2)
    assert found[0]["loss"] == pytest.approx(0.09, rel=0.2)  # at the start R is near the identity
    assert mean(found[-5:], "loss") < 0.6 * mean(found[:5], "loss")
    assert "forward_steps" not in found[0]
    # and so in use, on noise that it has not seen, in the units in which the map works
    image = Acquisition((0.0, 0.0), 0.125)(batch_of(coils), jax.random.split(jax.random.key(0), 2)).target
    image = recon.normalisation(image).apply(image)
    noisy = image + 0.3 * jax.random.normal(jax.random.key(9), image.shape, image.dtype)
    denoised = apply_net(net, state.ema["map"], noisy)
    assert jnp.mean(jnp.abs(denoised - image) ** 2) < 0.7 * jnp.mean(jnp.abs(noisy - image) ** 2)


@pytest.mark.slow
def test_the_equilibrium_learns_and_so_does_everything_that_is_learned():
    """One run with the exact adjoint, a learned penalty, a learned weight of the loss and a Jacobian penalty.

    The net is not residual: it starts near zero, so that the map contracts from the first step.
    """
    solver = dj.solvers.Anderson(max_steps=20, rtol=1e-4)
    step = dj.maps.HalfQuadratic(dj.nets.DnCNN(layers=3, features=8, residual=False), penalty=0.2, learn_penalty=True)
    recon = dj.Reconstructor(step, solver, dj.Implicit(solver, rtol=1e-3, nan_above=np.inf))
    loss = dj.losses.PerpendicularSSIM(weight=0.6)
    problem = Problem(recon, loss, Acquisition(center_fraction=0.125))
    batch = batch_of()
    state, found = train(Supervised(jacobian=JacobianPenalty(0.2)), problem, batch, 40, 3e-3)
    assert mean(found[-5:], "loss") < 0.85 * mean(found[:5], "loss")

    penalty = float(jnp.exp(state.params["method"]["map"]["log_penalty"]))
    assert penalty > 0
    assert abs(penalty - 0.2) > 0.004
    weight = float(jax.nn.sigmoid(state.params["loss"]["weight_logit"]))
    assert 0 < weight < 1
    assert abs(weight - 0.6) > 0.01

    keys = jax.random.split(jax.random.key(0), 2)
    A, kspace, target = Acquisition((0.0, 0.0), 0.125)(batch, keys)

    def errors(params):
        image, _ = recon(params, A, kspace)
        return float(loss(image, target)), float(jnp.mean(jnp.abs(image - target) ** 2))

    fresh, trained = errors(recon.init(jax.random.key(0))), errors(state.ema)
    assert trained[0] < 0.8 * fresh[0]  # with the weight that does not learn
    assert trained[1] < 0.8 * fresh[1]

    first, last = found[0], found[-1]
    assert 1 < first["forward_steps"] < last["forward_steps"] <= 20
    assert 1 < first["backward_steps"] <= 20
    assert 0 < first["forward_residual"] <= 1e-4
    assert 0 < first["backward_residual"] <= 1.1e-3
    assert mean(found, "backward_refused") == 0  # the map stops contracting, and every gradient is used here
    assert first["forward_converged"] == 1
    assert 0 < first["jacobian"] < 1


@pytest.mark.slow
def test_the_loss_is_that_of_the_finished_image():
    step = dj.maps.HalfQuadratic(dj.nets.DnCNN(layers=2, features=4, residual=False), penalty=0.2)
    recon = dj.Reconstructor(step, dj.solvers.Anderson(max_steps=20, rtol=1e-4), finish=step)
    objective, params = Supervised().bind(Problem(recon, dj.losses.MSE())), recon.init(jax.random.key(0))
    batch, keys, probe = batch_of(), jax.random.split(jax.random.key(0), 2), dj.implicit.backward_probe(2)
    (value, _), slope = jax.jit(jax.value_and_grad(objective, has_aux=True))(params, {}, batch, keys, probe)
    A, kspace, target = Acquisition()(batch, keys)
    found = equilibrium(recon, params, A, A.adjoint(kspace))
    finished, target = step(found.state, found.args._replace(params=params["finish"])), found.units.apply(target)
    np.testing.assert_allclose(value, jnp.mean(jnp.abs(finished - target) ** 2), rtol=1e-3)
    assert all(jnp.any(leaf) for leaf in jax.tree.leaves(slope))  # of the map and of the finish
    both, _ = Supervised(before_finish=0.5).bind(Problem(recon, dj.losses.MSE()))(params, {}, batch, keys, probe)
    np.testing.assert_allclose(both, value + 0.5 * jnp.mean(jnp.abs(found.state - target) ** 2), rtol=1e-3)


@pytest.mark.parametrize("wrong", [{"unrolled": -1}, {"before_finish": -0.5}])
def test_a_negative_setting_is_refused(wrong):
    with pytest.raises(ValueError, match="at least 0"):
        Supervised(**wrong)


@pytest.mark.slow
def test_the_start_learns_to_be_near_the_fixed_point_and_pulls_at_nothing_else():
    net = dj.nets.DnCNN(layers=2, features=8)
    step = dj.maps.HalfQuadratic(dj.nets.DnCNN(layers=2, features=4, residual=False), penalty=0.2)
    recon = dj.Reconstructor(step, dj.solvers.Anderson(max_steps=20, rtol=1e-4))
    plain, started = (Problem(each, dj.losses.MSE()) for each in (recon, recon.replace(start=net)))
    batch, keys, probe = batch_of(), jax.random.split(jax.random.key(0), 2), dj.implicit.backward_probe(2)
    params = started.recon.init(jax.random.key(0))
    slope = lambda problem: jax.jit(jax.grad(Supervised().bind(problem), has_aux=True))(params, {}, batch, keys, probe)
    (with_start, metrics), (without, _) = slope(started), slope(plain)
    largest = max(jnp.abs(leaf).max() for leaf in jax.tree.leaves(without["map"]))
    chex.assert_trees_all_close(with_start["map"], without["map"], rtol=1e-7, atol=float(1e-2 * largest))
    assert not any(leaf.any() for leaf in jax.tree.leaves(without["start"]))
    assert any(leaf.any() for leaf in jax.tree.leaves(with_start["start"]))

    A, kspace, _ = Acquisition()(batch, keys)
    found = equilibrium(started.recon, params, A, A.adjoint(kspace))
    expected = jnp.mean(jnp.abs(started.recon.first_state(params, found.args) - found.state) ** 2)
    np.testing.assert_allclose(metrics["start"], expected, rtol=1e-3)

    state, _ = train(Supervised(), started, batch, 30, 1e-2)
    found = equilibrium(started.recon, state.params["method"], A, A.adjoint(kspace))
    energy = lambda image: float(jnp.mean(jnp.abs(image) ** 2))
    first = started.recon.first_state(state.params["method"], found.args)
    assert energy(first - found.state) < 0.85 * energy(found.args.zero_filled - found.state)


def test_the_loss_is_that_of_the_reconstruction_in_its_units():
    """The objective without training: its value is the loss of what a call gives, divided by the units."""
    recon = dj.Reconstructor(
        dj.maps.ProximalGradient(dj.nets.DnCNN(layers=2, features=3)), dj.solvers.Picard(max_steps=4)
    )
    batch, keys = batch_of(), jax.random.split(jax.random.key(0), 2)
    params = recon.init(jax.random.key(0))
    objective = Supervised().bind(Problem(recon, dj.losses.MSE(), Acquisition(center_fraction=0.125)))
    value, metrics = objective(params, {}, batch, keys, dj.implicit.backward_probe(2))
    A, kspace, target = Acquisition((0.0, 0.0), 0.125)(batch, keys)
    image, stats = recon(params, A, kspace)
    scale = dj.EnergyScale()(A.adjoint(kspace)).scale
    expected = jnp.mean(jnp.abs((image - target) / scale) ** 2)
    np.testing.assert_allclose(value, expected, rtol=1e-4)
    np.testing.assert_allclose(metrics["forward_residual"], jnp.mean(stats.residual), rtol=1e-4)
    assert metrics["forward_steps"] == 4


def test_an_image_whose_gradient_is_refused_does_not_spoil_the_batch():
    """With a bound that no backward solve of one step reaches, only the direct terms of the loss are left."""
    step = dj.maps.HalfQuadratic(dj.nets.DnCNN(layers=2, features=4, residual=False), penalty=0.2)
    solver, adjoint = dj.solvers.Anderson(max_steps=20, rtol=1e-4), dj.Implicit(dj.solvers.Picard(max_steps=2))
    problem = Problem(dj.Reconstructor(step, solver, dataclasses.replace(adjoint, nan_above=1e-6)), dj.losses.MSE())
    _, found = train(Supervised(), problem, batch_of(), 2, 1e-3)
    assert all(row["backward_refused"] == 1 for row in found)
    assert all(row["gradient_norm"] == 0 for row in found)
    _, found = train(
        Supervised(), problem._replace(recon=problem.recon.replace(adjoint=dj.Implicit())), batch_of(), 2, 1e-3
    )
    assert all(row["backward_refused"] == 0 for row in found)
    assert all(row["gradient_norm"] > 0 for row in found)
