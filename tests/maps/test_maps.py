"""Iteration maps with a denoiser: the formula of a step, and the gradient of the fixed point."""

import dataclasses
from functools import partial
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from map_problems import MODELS, contractive_params, forward_model, random_complex

import deqjax as dj
from deqjax.types import ForwardModel, MapArgs

SHAPE, BATCH = (10, 9), 2
NET = dj.nets.DnCNN(layers=2, features=4, residual=False)
MAPS: dict[str, Any] = {
    "ProximalGradient": dj.maps.ProximalGradient(NET, step_size=0.8, learn_step_size=True),
    "Gradient": dj.maps.Gradient(NET, step_size=0.6, learn_step_size=True),
    "HalfQuadratic": dj.maps.HalfQuadratic(NET, penalty=0.3, learn_penalty=True, cg_steps=6),
}
each_map = pytest.mark.parametrize("name", MAPS)
each_model = pytest.mark.parametrize("model", MODELS)


def kspace_of(A: ForwardModel) -> jax.Array:
    return A.forward(random_complex(BATCH, *SHAPE, seed=4))


def dense(A: ForwardModel) -> np.ndarray:
    """Return A^H A as a matrix."""
    n = SHAPE[0] * SHAPE[1]
    return np.asarray(A.normal(jnp.eye(n, dtype=complex).reshape(n, *SHAPE))).reshape(n, n).T


@each_map
@each_model
def test_one_step_equals_the_formula(name: str, model: str, float64: None) -> None:
    A, params = forward_model(model, SHAPE), contractive_params(MAPS[name])
    image, zero_filled = random_complex(BATCH, *SHAPE, seed=5), A.adjoint(kspace_of(A))
    denoise = lambda x: np.asarray(jax.jit(NET.apply)({"params": params["net"]}, x))
    normal, z = np.asarray(A.normal(image)), np.asarray(zero_filled)
    if name == "ProximalGradient":
        expected = denoise(image - 0.8 * (normal - z))
    elif name == "Gradient":
        expected = image - 0.6 * (normal - z + image - denoise(image))
    else:
        right = (z + 0.3 * denoise(image)).reshape(BATCH, -1)
        expected = np.linalg.solve(dense(A) + 0.3 * np.eye(right.shape[1]), right.T).T.reshape(image.shape)
    step = dataclasses.replace(MAPS[name], cg_steps=40) if name == "HalfQuadratic" else MAPS[name]
    args = MapArgs(params, A, zero_filled)
    np.testing.assert_allclose(jax.jit(step)(image, args), expected, atol=2e-6)
    np.testing.assert_array_equal(step.start(args), zero_filled)
    np.testing.assert_array_equal(step.image(step.start(args)), zero_filled)


@partial(jax.jit, static_argnums=0)
def loss(recon: dj.Reconstructor, leaves: dict, mask: jax.Array) -> tuple[jax.Array, dj.Stats]:
    """A real function of the parameters, the k-space and the coil sensitivities."""
    A = dj.physics.Sense(leaves["smaps"], mask) if "smaps" in leaves else dj.physics.MaskedFourier(mask)
    image, stats = recon(leaves["params"], A, leaves["kspace"])
    weight = random_complex(BATCH, *SHAPE, seed=6)
    return jnp.sum((weight * image).real) + jnp.sum(jnp.abs(image - 1) ** 2), stats


gradient_of = jax.jit(jax.value_and_grad(loss, argnums=1, has_aux=True), static_argnums=0)


def leaves_of(name: str, model: str) -> tuple[dict, jax.Array]:
    A = forward_model(model, SHAPE)
    leaves = {"params": {"map": contractive_params(MAPS[name])}, "kspace": kspace_of(A)}
    return leaves | ({"smaps": A.smaps} if isinstance(A, dj.physics.Sense) else {}), A.mask


def reconstructor(name: str) -> dj.Reconstructor:
    solver = dj.solvers.Anderson(max_steps=200, rtol=1e-13)
    return dj.Reconstructor(MAPS[name], solver, dj.Implicit(solver, rtol=1e-11))


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("ProximalGradient", "Sense"),
        pytest.param("HalfQuadratic", "MaskedFourier", marks=pytest.mark.slow),  # the closed form
        pytest.param("HalfQuadratic", "Sense", marks=pytest.mark.slow),
        pytest.param("Gradient", "Sense", marks=pytest.mark.slow),
        pytest.param("ProximalGradient", "MaskedFourier", marks=pytest.mark.slow),
        pytest.param("Gradient", "MaskedFourier", marks=pytest.mark.slow),
    ],
)
def test_implicit_gradients_equal_unrolled_gradients_and_finite_differences(
    name: str, model: str, float64: None
) -> None:
    recon, (leaves, mask) = reconstructor(name), leaves_of(name, model)
    (_, stats), gradient = gradient_of(recon, leaves, mask)
    assert stats.converged.all()
    assert ("log_penalty" if name == "HalfQuadratic" else "log_step_size") in gradient["params"]["map"]
    picard = dj.solvers.Picard(max_steps=250, rtol=1e-13)
    (_, stats), unrolled = gradient_of(recon.replace(solver=picard, adjoint=dj.Unrolled()), leaves, mask)
    assert stats.converged.all()
    chex.assert_trees_all_close(gradient, unrolled, rtol=1e-5, atol=1e-7)
    flat, structure = jax.tree.flatten(leaves)
    rng, h = np.random.default_rng(7), 1e-5
    for index, leaf in enumerate(flat):
        direction = rng.normal(size=leaf.shape) + (1j * rng.normal(size=leaf.shape) if jnp.iscomplexobj(leaf) else 0)
        moved = [[*flat[:index], leaf + s * direction, *flat[index + 1 :]] for s in (h, -h)]
        up, down = (gradient_of(recon, jax.tree.unflatten(structure, tree), mask)[0][0] for tree in moved)
        predicted = jnp.sum(jax.tree.leaves(gradient)[index] * direction).real  # jax.grad gives the conjugate
        size = float(np.linalg.norm(jax.tree.leaves(gradient)[index]))
        np.testing.assert_allclose((up - down) / (2 * h), predicted, rtol=1e-5, atol=1e-6 * size + 1e-6)
    if name == "Gradient":  # its fixed point does not depend on the step size
        assert abs(gradient["params"]["map"]["log_step_size"]) < 1e-8
