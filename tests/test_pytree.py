"""Operands, and the view of complex pytrees as real vectors."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deqjax.pytree import operand, real_view


def mixed(seed: int = 0) -> dict:
    rng = np.random.default_rng(seed)
    draw = lambda *shape: rng.normal(size=(3, *shape)).astype(np.float32)
    return {
        "image": jnp.asarray(draw(4, 5) + 1j * draw(4, 5)),
        "more": (jnp.asarray(draw(2)), jnp.asarray(draw() + 1j * draw()), [jnp.asarray(draw())]),
    }


def test_restore_is_the_inverse_of_real_view() -> None:
    tree = mixed()
    flat, restore = real_view(tree)
    assert flat.shape == (3, 2 * 20 + 2 + 2 + 1)
    assert flat.dtype == jnp.float32
    chex.assert_trees_all_equal(restore(flat), tree, strict=True)


def test_inner_products_of_rows_are_the_real_inner_products_of_the_pytrees() -> None:
    a, b = mixed(0), mixed(1)
    rows = jnp.sum(real_view(a)[0] * real_view(b)[0], axis=1)
    for image in range(3):
        pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b))
        expected = sum(np.vdot(x[image], y[image]).real for x, y in pairs)
        np.testing.assert_allclose(rows[image], expected, rtol=1e-5)


def test_leaves_of_different_types_are_restored(float64: None) -> None:
    tree = {
        "a": jnp.ones((2, 3), jnp.complex64),
        "b": jnp.ones((2, 3), jnp.float64),
        "c": jnp.ones((2, 1), jnp.float32),
    }
    flat, restore = real_view(tree)
    assert flat.dtype == jnp.float64
    assert [leaf.dtype for leaf in restore(flat).values()] == [jnp.complex64, jnp.float64, jnp.float32]


def test_real_view_works_inside_jit_and_grad() -> None:
    norm = lambda tree: jnp.sum(real_view(tree)[0] ** 2)
    gradient = jax.jit(jax.grad(norm))(mixed())
    np.testing.assert_allclose(gradient["image"], 2 * jnp.conj(mixed()["image"]), rtol=1e-6)


@pytest.mark.parametrize(
    "tree", [{}, jnp.zeros(()), (jnp.zeros((2, 1)), jnp.zeros((3, 1))), [jnp.zeros(2), jnp.ones(())]]
)
def test_leaves_without_a_common_batch_axis_raise_an_error(tree: object) -> None:
    with pytest.raises(ValueError, match="same leading batch axis"):
        real_view(tree)


def test_an_operand_is_frozen_and_may_hold_static_fields() -> None:
    @operand
    class Model:
        weight: jax.Array
        name: str = dataclasses.field(default="", metadata={"static": True})

    model = Model(jnp.ones(2), "a")
    assert jax.tree.leaves(model)[0] is model.weight
    assert len(jax.tree.leaves(model)) == 1
    doubled = jax.jit(lambda m: jax.tree.map(lambda leaf: 2 * leaf, m))(model)
    assert doubled.name == "a"
    np.testing.assert_array_equal(doubled.weight, 2.0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        model.name = "b"  # type: ignore[misc]


def test_the_checks_of_an_operand_see_only_what_a_caller_passes() -> None:
    @operand
    class Positive:
        value: jax.Array
        name: str = dataclasses.field(default="a", metadata={"static": True})

        def __post_init__(self) -> None:
            if not isinstance(self.value, jax.core.Tracer) and self.value.min() < 0:
                raise ValueError("negative")

    given = Positive(jnp.ones(2))
    with pytest.raises(ValueError, match="negative"):
        Positive(-jnp.ones(2))
    assert float(jax.grad(lambda one: -one.value.sum())(given).value[0]) == -1
    assert jax.jit(lambda one: one)(given).name == "a"
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(given)]
    assert paths == [".value"]
    structures = [jax.tree.structure(one) for one in (given, Positive(jnp.ones(2), "b"))]
    assert structures[0] is not None
    assert structures[0] != structures[1]
