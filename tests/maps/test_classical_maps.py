"""Primal-dual splitting, FISTA and ADMM: their fixed points minimise the objective, and the gradients are exact."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from map_problems import MODELS, contractive_params, forward_model, random_complex

import deqjax as dj
from deqjax.types import ForwardModel, IterationMap, MapArgs, Prior, Solver

SHAPE, BATCH = (8, 12), 2
TV = dj.priors.TotalVariation()
WAVELET = dj.priors.Wavelet(moments=2, levels=2)
EXACT = dj.solvers.Anderson(history=10, ridge=1e-10, max_steps=2000, rtol=1e-12)
NET = dj.nets.DnCNN(layers=2, features=4, residual=False)


def blocks() -> jax.Array:
    image = np.zeros((BATCH, *SHAPE), complex)
    image[0, 2:6, 3:9], image[1, 1:7, 5:11] = 3.0, 6.0j
    return image + random_complex(BATCH, *SHAPE, seed=3)


def objective(A: ForwardModel, kspace: jax.Array, prior: Prior, weight: float, image: jax.Array) -> np.ndarray:
    misfit = A.forward(image) - kspace
    energy = jnp.sum(jnp.abs(misfit) ** 2, axis=tuple(range(1, misfit.ndim)))
    return np.asarray(0.5 * energy + weight * prior.value(image))


def solve(
    iteration: IterationMap, A: ForwardModel, kspace: jax.Array, solver: Solver = EXACT
) -> tuple[jax.Array, dj.Stats]:
    """Solve in the units of the data, so that the weight is that of the objective."""
    args = MapArgs(iteration.init(jax.random.key(0)), A, A.adjoint(kspace))
    state, stats = dj.fixed_point(iteration, iteration.start(args), args, solver=solver, adjoint=dj.Implicit())
    return iteration.image(state), stats


@pytest.mark.parametrize(
    ("model", "prior"),
    [
        ("MaskedFourier", TV),
        ("Sense", WAVELET),
        pytest.param("Sense", TV, marks=pytest.mark.slow),
        pytest.param("Sense", dj.priors.TotalVariation(isotropic=False), marks=pytest.mark.slow),
        pytest.param("MaskedFourier", WAVELET, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_the_fixed_point_minimises_the_objective(model: str, prior: Prior, float64: None) -> None:
    A, weight = forward_model(model, SHAPE), 0.2
    kspace = A.forward(blocks())
    image, stats = solve(dj.maps.PrimalDual(prior, weight), A, kspace)
    assert stats.converged.all()
    least = objective(A, kspace, prior, weight, image)
    for scale in (1e-1, 1e-2, 1e-3):
        for seed in range(4):
            other = image + scale * random_complex(BATCH, *SHAPE, seed=10 + seed)
            assert (objective(A, kspace, prior, weight, other) > least).all()
    assert (least < objective(A, kspace, prior, weight, A.adjoint(kspace))).all()


@pytest.mark.parametrize("model", ["Sense", pytest.param("MaskedFourier", marks=pytest.mark.slow)])
def test_fista_and_primal_dual_find_the_same_image(model: str, float64: None) -> None:
    A, kspace = forward_model(model, SHAPE), forward_model(model, SHAPE).forward(blocks())
    expected, _ = solve(dj.maps.PrimalDual(WAVELET, 0.05), A, kspace)
    found, stats = solve(dj.maps.FISTA(WAVELET, 0.05), A, kspace, dj.solvers.Picard(max_steps=3000, rtol=1e-8))
    assert stats.converged.all()
    assert np.linalg.norm(found - expected) < 1e-5 * np.linalg.norm(expected)


def test_fista_is_faster_than_proximal_gradient_without_momentum(float64: None) -> None:
    A, weight = forward_model("MaskedFourier", SHAPE), 0.01
    kspace = A.forward(blocks())
    fista = dj.maps.FISTA(WAVELET, weight, step_size=0.1)
    args = MapArgs({}, A, A.adjoint(kspace))
    state = fista.start(args)
    accelerated = jax.jit(fista)
    for _ in range(40):
        state = accelerated(state, args)
    image = fista.image(state)
    plain = A.adjoint(kspace)

    @jax.jit
    def without_momentum(image: jax.Array) -> jax.Array:
        moved = image - 0.1 * (A.normal(image) - A.adjoint(kspace))
        clipped = WAVELET.project(WAVELET.analysis(moved), 0.1 * weight)
        return moved - dj.maps.primal_dual.adjoint(WAVELET.analysis, moved, clipped)

    for _ in range(40):
        plain = without_momentum(plain)
    value = partial(objective, A, kspace, WAVELET, weight)
    assert (value(image) < value(plain)).all()


def test_full_sampling_with_wavelets_is_soft_thresholding(float64: None) -> None:
    A, image = dj.physics.MaskedFourier(jnp.ones((1, SHAPE[1]))), blocks()
    found, _ = solve(dj.maps.FISTA(WAVELET, 0.3), A, A.forward(image), dj.solvers.Picard(max_steps=200, rtol=1e-13))
    soft = lambda c: c * np.maximum(1 - 0.3 / np.maximum(abs(c), 1e-300), 0)
    for band, expected in zip(WAVELET.analysis(found), WAVELET.analysis(image)):
        np.testing.assert_allclose(band, soft(np.asarray(expected)), atol=1e-7)


@pytest.mark.parametrize("model", ["Sense", pytest.param("MaskedFourier", marks=pytest.mark.slow)])
def test_admm_balances_data_and_denoiser(model: str, float64: None) -> None:
    A, admm = forward_model(model, SHAPE), dj.maps.ADMM(NET, penalty=0.4, cg_steps=60)
    params = contractive_params(admm, 0.7)
    zero_filled = A.adjoint(A.forward(blocks()))
    args = MapArgs(params, A, zero_filled)
    (image, dual), stats = dj.fixed_point(admm, admm.start(args), args, solver=EXACT, adjoint=dj.Implicit())
    assert stats.converged.all()
    np.testing.assert_allclose(A.normal(image) - zero_filled + 0.4 * dual, 0, atol=1e-8)
    np.testing.assert_allclose(dj.maps.parameters.apply_net(NET, params, image + dual), image, atol=1e-8)


LEARNED: dict[str, IterationMap] = {
    "ADMM": dj.maps.ADMM(NET, 0.4, learn_penalty=True, cg_steps=60),
    "total variation": dj.maps.PrimalDual(TV, 0.05, learn_weight=True),
    "wavelets": dj.maps.PrimalDual(WAVELET, 0.05, learn_weight=True),
}


QUICK = {("total variation", "MaskedFourier")}
CASES = [
    pytest.param(name, model, marks=[] if (name, model) in QUICK else pytest.mark.slow)
    for name in LEARNED
    for model in MODELS
]


@pytest.mark.parametrize(("name", "model"), CASES)
def test_implicit_gradients_equal_finite_differences(name: str, model: str, float64: None) -> None:
    A, iteration = forward_model(model, SHAPE), LEARNED[name]
    params = {"map": contractive_params(iteration, 0.7)}
    recon = dj.Reconstructor(
        iteration,
        EXACT,
        dj.Implicit(
            dj.solvers.Anderson(history=10, ridge=1e-10, max_steps=2000, rtol=1e-10), rtol=1e-8, nan_above=np.inf
        ),
    )
    weight = random_complex(BATCH, *SHAPE, seed=6)

    @jax.jit
    def loss(leaves: dict) -> tuple[jax.Array, dj.Stats]:
        image, stats = recon(leaves["params"], A, leaves["kspace"])
        return jnp.sum((weight * image).real) + jnp.sum(jnp.abs(image - 1) ** 2), stats

    leaves = {"params": params, "kspace": A.forward(blocks())}
    (_, stats), gradient = jax.value_and_grad(loss, has_aux=True)(leaves)
    assert stats.converged.all()
    flat, structure = jax.tree.flatten(leaves)
    rng, h = np.random.default_rng(7), 1e-6
    for index, leaf in enumerate(flat):
        direction = rng.normal(size=leaf.shape) + (1j * rng.normal(size=leaf.shape) if jnp.iscomplexobj(leaf) else 0)
        moved = [[*flat[:index], leaf + s * direction, *flat[index + 1 :]] for s in (h, -h)]
        up, down = (loss(jax.tree.unflatten(structure, tree))[0] for tree in moved)
        predicted = jnp.sum(jax.tree.leaves(gradient)[index] * direction).real
        size = float(np.linalg.norm(jax.tree.leaves(gradient)[index]))
        np.testing.assert_allclose((up - down) / (2 * h), predicted, rtol=1e-4, atol=1e-5 * size + 1e-6)


def test_the_weight_is_relative_to_the_data() -> None:
    A, image = forward_model("MaskedFourier", SHAPE), blocks()
    recon = dj.Reconstructor(dj.maps.PrimalDual(TV, 0.05))
    one, _ = recon({}, A, A.forward(image))
    large, _ = recon({}, A, 1e6 * A.forward(image))
    np.testing.assert_allclose(large, 1e6 * one, rtol=2e-3, atol=2e3)


def test_settings_that_cannot_converge_raise_errors() -> None:
    with pytest.raises(ValueError, match="PrimalDual needs 0 < step_size < 2; it is 2"):
        dj.maps.PrimalDual(TV, step_size=2)
    with pytest.raises(ValueError, match=r"FISTA needs 0 < step_size <= 1; it is 1.5"):
        dj.maps.FISTA(WAVELET, step_size=1.5)
    A = forward_model("MaskedFourier", SHAPE)
    for prior in (TV, dj.priors.Wavelet(levels=3), dj.priors.Wavelet(levels=2, shifts=(0, 1))):
        with pytest.raises(ValueError, match="FISTA needs an orthonormal prior"):
            solve(dj.maps.FISTA(prior), A, A.forward(blocks()))
