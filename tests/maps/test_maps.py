"""Every map with every forward model: its formula, and the gradient of its fixed point."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import deqjax as dj
from deqjax.types import ForwardModel, MapArgs

SHAPE, BATCH, COILS = (10, 9), 2, 3
NET = dj.nets.DnCNN(layers=2, features=4, residual=False)
MAPS = {
    "ProximalGradient": dj.maps.ProximalGradient(NET, step_size=0.8, learn_step_size=True),
    "Gradient": dj.maps.Gradient(NET, step_size=0.6, learn_step_size=True),
    "HalfQuadratic": dj.maps.HalfQuadratic(NET, penalty=0.3, learn_penalty=True, cg_steps=6),
}
each_map = pytest.mark.parametrize("name", MAPS)
each_model = pytest.mark.parametrize("model", ["MaskedFourier", "Sense"])


def random_complex(*shape: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=shape) + 1j * rng.normal(size=shape)


def forward_model(model: str) -> ForwardModel:
    mask = jnp.asarray(np.random.default_rng(1).uniform(size=(1, SHAPE[1])) < 0.6, float).at[0, SHAPE[1] // 2].set(1)
    smaps = random_complex(COILS, *SHAPE, seed=2)
    smaps = smaps / np.sqrt((abs(smaps) ** 2).sum(axis=0))
    return dj.physics.MaskedFourier(mask) if model == "MaskedFourier" else dj.physics.Sense(jnp.asarray(smaps), mask)


def contractive_params(name: str) -> dict:
    """Layers of norm 0.9 each, and biases that make the rectifiers work."""
    rng = np.random.default_rng(3)
    params = jax.jit(MAPS[name].init)(jax.random.key(0))
    for layer in params["net"].values():
        layer["kernel"] *= 0.9 / jax.jit(dj.nets.operator_norm_bound)(layer["kernel"])
        layer["bias"] += 0.3 * rng.normal(size=layer["bias"].shape)
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, float), params)


def kspace_of(A: ForwardModel) -> jax.Array:
    return A.forward(jnp.asarray(random_complex(BATCH, *SHAPE, seed=4), complex))


def dense(A: ForwardModel) -> np.ndarray:
    """A^H A as a matrix."""
    n = SHAPE[0] * SHAPE[1]
    return np.asarray(A.normal(jnp.eye(n, dtype=complex).reshape(n, *SHAPE))).reshape(n, n).T


@each_map
@each_model
def test_one_step_is_the_formula(name: str, model: str, float64: None) -> None:
    A, params = forward_model(model), contractive_params(name)
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
    np.testing.assert_allclose(jax.jit(step)(jnp.asarray(image), args), expected, atol=2e-6)
    np.testing.assert_array_equal(step.start(args), zero_filled)
    np.testing.assert_array_equal(step.image(step.start(args)), zero_filled)


@partial(jax.jit, static_argnums=0)
def loss(recon: dj.Reconstructor, leaves: dict, mask: jax.Array) -> tuple[jax.Array, dj.Stats]:
    """A real number of everything that a gradient may be asked for."""
    A = dj.physics.Sense(leaves["smaps"], mask) if "smaps" in leaves else dj.physics.MaskedFourier(mask)
    image, stats = recon(leaves["params"], A, leaves["kspace"])
    weight = random_complex(BATCH, *SHAPE, seed=6)
    return jnp.sum((weight * image).real) + jnp.sum(jnp.abs(image - 1) ** 2), stats


gradient_of = jax.jit(jax.value_and_grad(loss, argnums=1, has_aux=True), static_argnums=0)


def leaves_of(name: str, model: str) -> tuple[dict, jax.Array]:
    A = forward_model(model)
    leaves = {"params": contractive_params(name), "kspace": kspace_of(A)}
    return leaves | ({"smaps": A.smaps} if model == "Sense" else {}), A.mask


def reconstructor(name: str) -> dj.Reconstructor:
    solver = dj.solvers.Anderson(max_steps=200, rtol=1e-13)
    return dj.Reconstructor(MAPS[name], solver, dj.Implicit(solver, rtol=1e-11))


def assert_same(found: dict, expected: dict) -> None:
    """Each array of a tree to a relative error of 1e-5, beside gradients of about 1."""
    for (path, a), b in zip(jax.tree.leaves_with_path(found), jax.tree.leaves(expected), strict=True):
        assert np.linalg.norm(a - b) < 1e-5 * np.linalg.norm(b) + 1e-9, jax.tree_util.keystr(path)


@pytest.mark.parametrize(
    ("name", "model"),
    [
        *((name, "Sense") for name in MAPS),
        ("HalfQuadratic", "MaskedFourier"),  # the closed form
        pytest.param("ProximalGradient", "MaskedFourier", marks=pytest.mark.slow),
        pytest.param("Gradient", "MaskedFourier", marks=pytest.mark.slow),
    ],
)
def test_implicit_gradients_equal_differences_and_unrolling(name: str, model: str, float64: None) -> None:
    recon, (leaves, mask) = reconstructor(name), leaves_of(name, model)
    (_, stats), gradient = gradient_of(recon, leaves, mask)
    assert stats.converged.all()
    assert ("log_penalty" if name == "HalfQuadratic" else "log_step_size") in gradient["params"]
    picard = dj.solvers.Picard(max_steps=250, rtol=1e-13)
    (_, stats), unrolled = gradient_of(recon.replace(solver=picard, adjoint=dj.Unrolled()), leaves, mask)
    assert stats.converged.all()
    assert_same(gradient, unrolled)
    flat, structure = jax.tree.flatten(leaves)
    rng, h = np.random.default_rng(7), 1e-5
    for index, leaf in enumerate(flat):
        direction = rng.normal(size=leaf.shape) + (1j * rng.normal(size=leaf.shape) if jnp.iscomplexobj(leaf) else 0)
        moved = [[*flat[:index], leaf + s * direction, *flat[index + 1 :]] for s in (h, -h)]
        up, down = (gradient_of(recon, jax.tree.unflatten(structure, tree), mask)[0][0] for tree in moved)
        predicted = jnp.sum(jax.tree.leaves(gradient)[index] * direction).real  # jax.grad gives the conjugate
        size = np.linalg.norm(jax.tree.leaves(gradient)[index])
        assert abs((up - down) / (2 * h) - predicted) < 1e-5 * max(abs(predicted), 0.1 * size) + 1e-6, (
            index,
            leaf.shape,
        )
    if name == "Gradient":  # its fixed point does not depend on the step size
        assert abs(gradient["params"]["log_step_size"]) < 1e-8


@each_map
@each_model
def test_an_all_zero_slice_has_a_finite_gradient(name: str, model: str, float64: None) -> None:
    leaves, mask = leaves_of(name, model)
    for images in (slice(0, 1), slice(None)):
        (value, stats), gradient = gradient_of(
            reconstructor(name), leaves | {"kspace": leaves["kspace"].at[images].set(0)}, mask
        )
        assert jnp.isfinite(value)
        assert stats.converged.all()
        assert all(jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(gradient))


@each_map
def test_learned_numbers_start_at_their_setting_and_stay_positive(name: str) -> None:
    learned, key = MAPS[name], jax.random.key(0)
    word = "penalty" if name == "HalfQuadratic" else "step_size"
    fixed = dataclasses.replace(learned, **{f"learn_{word}": False})
    params, plain = learned.init(key), fixed.init(key)
    assert set(params) - set(plain) == {f"log_{word}"}
    A = forward_model("MaskedFourier")
    args = MapArgs(params, A, A.adjoint(kspace_of(A)))
    image = jnp.asarray(random_complex(BATCH, *SHAPE, seed=5), complex)
    np.testing.assert_allclose(learned(image, args), fixed(image, args._replace(params=plain)), rtol=1e-5, atol=1e-6)
    assert dj.maps.parameters.positive({f"log_{word}": jnp.float32(-50)}, word, 1.0) > 0
    for value in (0.0, -1.0):
        with pytest.raises(ValueError, match=f"{word} must be positive, not {value}"):
            dataclasses.replace(learned, **{word: value}).init(key)
