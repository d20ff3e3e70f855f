"""The contract of every iteration map in ``deqjax.maps``: one row for each setting."""

import dataclasses
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from map_problems import MODELS, contractive_params, forward_model, random_complex

import deqjax as dj
from deqjax import maps
from deqjax.maps.parameters import positive
from deqjax.types import DenoiserMap, ForwardModel, IterationMap, MapArgs


class Row(NamedTuple):
    """A map with a learned scalar, the name of the scalar, and the size of its test images."""

    map: Any
    learned: str
    shape: tuple[int, int] = (7, 9)


NET = dj.nets.DnCNN(layers=2, features=3, residual=False)
ROWS = {
    "ADMM": Row(maps.ADMM(NET, penalty=0.4, learn_penalty=True), "penalty"),
    "FISTA": Row(maps.FISTA(dj.priors.Wavelet(levels=2), weight=0.05, learn_weight=True), "weight", (8, 12)),
    "Gradient": Row(maps.Gradient(NET, step_size=0.6, learn_step_size=True), "step_size"),
    "HalfQuadratic": Row(maps.HalfQuadratic(NET, penalty=0.3, learn_penalty=True), "penalty"),
    "MultiScaleHalfQuadratic": Row(
        maps.MultiScaleHalfQuadratic(dj.nets.MultiScaleUNet(2, 2), penalty=0.3, learn_penalty=True), "penalty"
    ),
    "PrimalDual": Row(maps.PrimalDual(dj.priors.TotalVariation(), weight=0.05, learn_weight=True), "weight"),
    "ProximalGradient": Row(maps.ProximalGradient(NET, step_size=0.8, learn_step_size=True), "step_size"),
}
each_row = pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
QUICK = ("HalfQuadratic", "PrimalDual")
each_model = pytest.mark.parametrize("model", MODELS)


def with_mask_of(model: Any, other: Any) -> ForwardModel:
    """The other model with the mask of the model, so that no derivative with respect to the mask is taken."""
    return dataclasses.replace(other, mask=model.mask)


def args_of(row: Row, model: str, batch: int) -> MapArgs:
    A = forward_model(model, row.shape)
    return MapArgs(contractive_params(row.map), A, A.adjoint(A.forward(random_complex(batch, *row.shape, seed=4))))


def test_every_export_has_a_row() -> None:
    assert set(maps.__all__) == set(ROWS) | {"Sequence"}  # it has no setting of its own, see test_multiscale.py


@pytest.mark.parametrize("name", ROWS)
def test_the_row_has_a_map_of_its_name(name: str) -> None:
    iteration = ROWS[name].map
    assert type(iteration) is getattr(maps, name)
    assert isinstance(iteration, IterationMap)
    assert isinstance(iteration, DenoiserMap) == hasattr(iteration, "net")


@each_row
def test_settings_are_frozen_hashable_and_free_of_arrays(row: Row) -> None:
    assert dataclasses.replace(row.map) == row.map
    assert hash(dataclasses.replace(row.map)) == hash(row.map)
    assert not any(isinstance(leaf, jax.Array | np.ndarray) for leaf in vars(row.map).values())
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(row.map, row.learned, 1.0)


@each_row
@each_model
@pytest.mark.parametrize("batch", [1, 3])
def test_a_step_keeps_the_structure_of_the_state_and_the_shape_of_the_image(row: Row, model: str, batch: int) -> None:
    args = args_of(row, model, batch)
    state = row.map.start(args)
    np.testing.assert_array_equal(row.map.image(state), args.zero_filled)
    assert all(leaf.shape[0] == batch for leaf in jax.tree.leaves(state))
    following = jax.eval_shape(row.map, state, args)
    chex.assert_trees_all_equal_shapes_and_dtypes(following, state)
    image = row.map.image(following)
    assert image.shape == (batch, *row.shape)
    assert image.dtype == jnp.complex64


@each_row
def test_images_of_a_batch_are_independent(row: Row) -> None:
    args = args_of(row, "Sense", 3)
    state = jax.tree.map(lambda leaf: jnp.linspace(1.0, 0.7, leaf.size).reshape(leaf.shape) * leaf, row.map.start(args))
    found = jax.jit(row.map)(state, args)
    last = lambda leaf: leaf[2:]
    single = jax.jit(row.map)(jax.tree.map(last, state), args._replace(zero_filled=last(args.zero_filled)))
    chex.assert_trees_all_close(single, jax.tree.map(last, found), atol=1e-5)


@each_row
@each_model
def test_the_gradient_of_a_step_equals_finite_differences(row: Row, model: str, float64: None) -> None:
    """It covers the parameters, the state, the zero-filled image, and the coil sensitivities."""
    args = args_of(row, model, 2)
    shift = lambda leaf: leaf + 0.3 * np.random.default_rng(8).uniform(size=leaf.shape)
    leaves = {"state": jax.tree.map(shift, row.map.start(args)), "args": args}

    @jax.jit
    def value(leaves: dict) -> jax.Array:
        result = row.map(leaves["state"], leaves["args"]._replace(A=with_mask_of(args.A, leaves["args"].A)))
        weigh = lambda leaf: jnp.sum(jnp.cos(jnp.arange(leaf.size)).reshape(leaf.shape) * (leaf.real + 0.5 * leaf.imag))
        return jnp.sum(jnp.stack([weigh(leaf) for leaf in jax.tree.leaves(result)]))

    gradients = jax.tree.leaves(jax.jit(jax.grad(value))(leaves))
    flat, structure = jax.tree.flatten(leaves)
    rng, h = np.random.default_rng(7), 1e-6
    for index, (leaf, gradient) in enumerate(zip(flat, gradients, strict=True)):
        direction = rng.normal(size=leaf.shape) + (1j * rng.normal(size=leaf.shape) if jnp.iscomplexobj(leaf) else 0)
        moved = [[*flat[:index], leaf + s * direction, *flat[index + 1 :]] for s in (h, -h)]
        up, down = (value(jax.tree.unflatten(structure, tree)) for tree in moved)
        predicted = jnp.sum(gradient * direction).real  # JAX returns the conjugate of the complex gradient
        np.testing.assert_allclose(predicted, (up - down) / (2 * h), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "model"),
    [
        pytest.param(name, model, marks=[] if model == "Sense" and name in QUICK else pytest.mark.slow)
        for name in ROWS
        for model in ("MaskedFourier", "Sense")
    ],
)
def test_all_zero_kspace_gives_a_zero_image_and_a_finite_gradient(name: str, model: str) -> None:
    row = ROWS[name]
    solver = dj.solvers.Anderson(max_steps=30)
    recon = dj.Reconstructor(row.map, solver, dj.Implicit(solver, nan_above=float("inf")))
    A, params = forward_model(model, row.shape), {"map": contractive_params(row.map)}
    kspace = A.forward(random_complex(2, *row.shape, seed=4)).at[0].set(0)

    @jax.jit
    def loss(params: dict, kspace: jax.Array) -> tuple[jax.Array, tuple[jax.Array, dj.Stats]]:
        image, stats = recon(params, A, kspace)
        return jnp.sum(jnp.abs(image - 1) ** 2), (image, stats)

    (value, (image, stats)), gradient = jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)(params, kspace)
    assert not image[0].any()
    assert image[1].any()
    chex.assert_tree_all_finite((value, stats.residual, gradient))


@each_row
def test_a_learned_scalar_starts_at_its_setting_and_stays_positive(row: Row) -> None:
    name, key = row.learned, jax.random.key(0)
    fixed = dataclasses.replace(row.map, **{f"learn_{name}": False})
    params, plain = row.map.init(key), fixed.init(key)
    assert set(params) - set(plain) == {f"log_{name}"}
    args = args_of(row, "MaskedFourier", 2)._replace(params=params)
    state = row.map.start(args)
    chex.assert_trees_all_close(row.map(state, args), fixed(state, args._replace(params=plain)), rtol=1e-5, atol=1e-6)
    assert positive({f"log_{name}": jnp.float32(-50)}, name, 1.0) > 0


@each_row
@pytest.mark.parametrize("value", [0.0, -1.0])
def test_a_scalar_that_is_not_positive_raises_an_error(row: Row, value: float) -> None:
    with pytest.raises(ValueError, match=f"{row.learned} must be positive; it is {value}|needs 0 < step_size"):
        dataclasses.replace(row.map, **{row.learned: value}).init(jax.random.key(0))
