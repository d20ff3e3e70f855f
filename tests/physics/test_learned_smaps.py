"""Learned coil sensitivities: their start, norm, gradient and training."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_arrays import random_complex

import deqjax as dj
from deqjax.config import read_config
from deqjax.data import Batch, phantom_volume
from deqjax.objectives import Acquisition, Problem, Supervised
from deqjax.physics import LearnedSmaps, fft2c, low_resolution_smaps, rss
from deqjax.training import create_state, make_optimizer, make_train_step, replicate

SHAPE, BATCH, COILS = (16, 14), 2, 3
NET = dj.nets.UNet(levels=1, features=4)
EXACT = dj.solvers.Anderson(history=10, ridge=1e-10, max_steps=1000, rtol=1e-12)
RECON = dj.Reconstructor(
    dj.maps.PrimalDual(dj.priors.TotalVariation(), 0.05),
    EXACT,
    dj.Implicit(dataclasses.replace(EXACT, rtol=1e-9), rtol=1e-9, nan_above=np.inf),
    smaps=LearnedSmaps(NET),
)


def mask_of_lines(*batch: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(1).uniform(size=(*batch, 1, SHAPE[1])) < 0.6, float).at[..., 5:9].set(1)


def estimated_smaps(*batch: int) -> jax.Array:
    return low_resolution_smaps(random_complex((*batch, COILS, *SHAPE)), 0.3)


def test_fresh_parameters_return_the_estimate_and_the_norm_is_always_one() -> None:
    learned = jax.jit(LearnedSmaps(NET).__call__)
    params, smaps = jax.jit(LearnedSmaps(NET).init)(jax.random.key(0)), estimated_smaps(BATCH)
    np.testing.assert_allclose(learned(params, smaps), smaps, atol=1e-6)
    assert not learned(params, 0 * smaps).any()
    params["net"]["last"]["kernel"] *= 30
    refined = learned(params | {"gain": jnp.asarray(2.0)}, smaps)
    assert np.linalg.norm(refined - smaps) > 0.05 * np.linalg.norm(smaps)
    np.testing.assert_allclose(rss(refined), 1, atol=1e-5)
    alone = learned(params | {"gain": jnp.asarray(2.0)}, smaps[1])
    np.testing.assert_allclose(alone, refined[1], atol=1e-5)


@pytest.mark.slow
def test_gradients_through_the_solve_equal_finite_differences(float64: None) -> None:
    """The phase of ``SmoothPhase`` depends on the refined sensitivities, so that the gradient includes it."""
    recon = RECON.replace(normalisation=dj.SmoothPhase(0.3))
    A = dj.physics.Sense(estimated_smaps(), mask_of_lines())
    kspace = A.mask * random_complex((BATCH, COILS, *SHAPE), 3)
    params = jax.tree.map(lambda leaf: jnp.asarray(leaf, float), jax.jit(RECON.init)(jax.random.key(0)))
    params["smaps"]["gain"] += 0.7  # with a gain of 0 the net has no effect
    for layer in params["smaps"]["net"].values():
        layer["bias"] += 0.1  # a ReLU has no derivative at exactly 0
    weight = random_complex((BATCH, *SHAPE), 4)

    @jax.jit
    @partial(jax.value_and_grad, has_aux=True)
    def value_and_gradient(params: dict, kspace: jax.Array) -> tuple[jax.Array, dj.Stats]:
        image, stats = recon(params, A, kspace)
        return jnp.sum((weight * image).real) + jnp.sum(jnp.abs(image - 1) ** 2), stats

    (_, stats), gradient = value_and_gradient(params, kspace)
    assert stats.converged.all()
    flat, structure = jax.tree.flatten(params)
    rng, h = np.random.default_rng(1), 1e-6
    for index, (leaf, slope) in enumerate(zip(flat, jax.tree.leaves(gradient), strict=True)):
        direction = rng.normal(size=leaf.shape)
        moved = [[*flat[:index], leaf + s * direction, *flat[index + 1 :]] for s in (h, -h)]
        up, down = (float(value_and_gradient(jax.tree.unflatten(structure, tree), kspace)[0][0]) for tree in moved)
        predicted = float(jnp.sum(slope * direction))
        assert abs(predicted) > 1e-2
        assert (up - down) / (2 * h) == pytest.approx(predicted, rel=1e-4)


def test_fresh_parameters_do_not_change_the_reconstruction() -> None:
    recon = RECON.replace(solver=dj.solvers.Picard(max_steps=5))
    A = dj.physics.Sense(estimated_smaps(BATCH), mask_of_lines(BATCH))
    kspace = A.forward(random_complex((BATCH, *SHAPE), 3))
    params = jax.jit(recon.init)(jax.random.key(0))
    batch, _ = recon(params, A, kspace)
    np.testing.assert_allclose(batch, recon.replace(smaps=None)({}, A, kspace)[0], atol=1e-5)


@pytest.mark.slow
def test_training_lowers_the_loss_and_the_spectral_bound_does_not_apply_to_the_sensitivities() -> None:
    solver = dj.solvers.Picard(max_steps=6)
    step = dj.maps.HalfQuadratic(dj.nets.DnCNN(layers=2, features=4), penalty=0.1, cg_steps=4)
    recon = dj.Reconstructor(step, solver, dj.OneStep(), smaps=LearnedSmaps(NET))
    size = (32, 32)
    masks = np.stack([dj.masks.CartesianRandom(3, 0.2)(size, seed) for seed in range(2)])
    batch = Batch(phantom_volume(0, (2, *size), COILS).kspace, masks)
    problem = Problem(recon, dj.losses.MSE(), Acquisition(center_fraction=0.2))
    optimizer = make_optimizer(steps=15, learning_rate=1e-2, final_learning_rate=1e-3)
    start = jax.jit(recon.init)(jax.random.key(0))
    start["smaps"]["net"]["last"]["kernel"] *= 100  # a spectral bound would reduce it
    before = jax.tree.map(np.array, start)
    state = replicate(create_state(start, problem.loss.init(), optimizer, bounded=True))
    assert not any("smaps" in name for name in state.spectral)
    train, losses = make_train_step(Supervised().bind(problem), optimizer, spectral_bound=0.5), []
    for _ in range(15):
        state, metrics = train(state, batch)
        losses.append(float(metrics["loss"]))
    assert np.mean(losses[-3:]) < 0.95 * losses[0]
    after = state.params["method"]
    assert abs(float(after["smaps"]["gain"])) > 1e-3
    largest = lambda params: float(dj.nets.operator_norm_bound(params["smaps"]["net"]["last"]["kernel"]))
    assert largest(after) > 0.5 * largest(before) > 0.5


def test_config_builds_learned_smaps_and_forward_models_without_coils_raise() -> None:
    config = read_config("configs/learned_maps.toml")
    assert isinstance(config.smaps, LearnedSmaps)
    with pytest.raises(ValueError, match=r"needs type = .*it is \{'type': 'Sense'"):
        read_config("configs/learned_maps.toml", ["smaps.net.type=Sense"])
    kspace = fft2c(jnp.ones(SHAPE, complex))
    with pytest.raises(ValueError, match=r"refines coil sensitivities .* MaskedFourier of axes 'yx' has none"):
        RECON(RECON.init(jax.random.key(0)), dj.physics.MaskedFourier(mask_of_lines()), kspace)
