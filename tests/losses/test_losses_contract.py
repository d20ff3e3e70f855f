"""The contract of every export of `deqjax.losses`: one row for each setting, with the function that it agrees with."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deqjax import losses
from deqjax.types import Loss

LossFunction = Callable[[Any, Any], jax.Array]


class Row(NamedTuple):
    """A setting, the public function that it calls and its arguments, and the terms of the loss.

    Each term is a pair of a function and the power of a common positive scale of image and target.
    """

    loss: Loss
    function: Callable[..., jax.Array]
    arguments: tuple[float, ...]
    terms: tuple[tuple[LossFunction, int], ...]


def phase_term(image: Any, target: Any) -> jax.Array:
    return losses.perpendicular(image, target, 0.0)


def magnitude_term(image: Any, target: Any) -> jax.Array:
    return jnp.mean((jnp.abs(image) - jnp.abs(target)) ** 2)


def times(weight: float, term: LossFunction) -> LossFunction:
    return lambda image, target: weight * term(image, target)


ROWS = [
    Row(losses.MSE(), losses.mse, (), ((losses.mse, 2),)),
    Row(losses.L1(), losses.l1, (), ((losses.l1, 1),)),
    Row(losses.SSIMLoss(), losses.ssim_loss, (), ((losses.ssim_loss, 0),)),
    Row(
        losses.Perpendicular(magnitude_weight=1.3),
        losses.perpendicular,
        (1.3,),
        ((phase_term, 1), (times(1.3, magnitude_term), 2)),
    ),
    Row(
        losses.PerpendicularSSIM(weight=0.3, magnitude_weight=1.3),
        losses.perpendicular_ssim,
        (0.3, 1.3),
        ((times(0.3, phase_term), 1), (times(0.7 * 1.3, losses.ssim_loss), 0)),
    ),
]
each_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: type(row.loss).__name__)


def random_images(seed: int, shape: tuple[int, ...] = (2, 9, 8)) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.standard_normal(shape) + 1j * rng.standard_normal(shape)


def test_every_export_has_a_row() -> None:
    of_kspace = {"kspace_l1_l2", "kspace_smooth_l1", "weighted_l2"}  # they take weights, see test_kspace_losses.py
    rows = {type(row.loss).__name__ for row in ROWS} | {row.function.__name__ for row in ROWS}
    assert rows | of_kspace == set(losses.__all__)


@each_row
def test_settings_are_frozen_hashable_and_free_of_arrays(row: Row) -> None:
    loss: Any = row.loss
    assert hash(loss) == hash(dataclasses.replace(loss))
    assert all(isinstance(value, float) for value in dataclasses.asdict(loss).values())
    with pytest.raises(dataclasses.FrozenInstanceError):
        loss.weight = 1.0


@each_row
def test_init_returns_finite_scalar_parameters(row: Row) -> None:
    params = row.loss.init()
    assert isinstance(params, dict)
    assert all(np.shape(leaf) == () and np.isfinite(leaf) for leaf in jax.tree.leaves(params))


@each_row
def test_a_setting_agrees_with_its_function_with_and_without_params_and_under_jit(row: Row) -> None:
    image, target = jnp.asarray(random_images(0)), jnp.asarray(random_images(1))
    value = jax.jit(row.loss)(image, target, row.loss.init())
    assert value.shape == ()
    assert jnp.isrealobj(value)
    expected = float(row.function(image, target, *row.arguments))
    assert float(value) == pytest.approx(expected, rel=1e-5)
    assert float(row.loss(image, target)) == pytest.approx(expected, rel=1e-5)


@each_row
def test_the_loss_is_zero_for_the_target_and_positive_otherwise(row: Row) -> None:
    image, target = jnp.asarray(random_images(0)), jnp.asarray(random_images(1))
    assert float(row.loss(target, target, row.loss.init())) == pytest.approx(0, abs=1e-6)
    assert float(row.loss(image, target)) > 0
    assert float(row.loss(image.real, target.real)) > 0


@each_row
@pytest.mark.parametrize("scale", [0.25, 3.0])
def test_a_positive_scale_changes_each_term_by_its_power(row: Row, scale: float) -> None:
    image, target = jnp.asarray(random_images(0)), jnp.asarray(random_images(1))
    expected = sum(scale**power * float(term(image, target)) for term, power in row.terms)
    assert float(row.loss(scale * image, scale * target)) == pytest.approx(expected, rel=1e-5)


@each_row
def test_the_loss_of_a_batch_is_the_mean_over_its_images(row: Row) -> None:
    image, target = jnp.asarray(random_images(0)), jnp.array([1.0, 3.0])[:, None, None] * jnp.asarray(random_images(1))
    singles = [float(row.loss(*pair)) for pair in zip(image, target, strict=True)]
    assert float(row.loss(image, target)) == pytest.approx(np.mean(singles), rel=1e-5)


@each_row
def test_gradient_agrees_with_finite_differences(row: Row) -> None:
    with jax.enable_x64(True):
        image, target, direction = (jnp.asarray(random_images(seed)) for seed in range(3))
        gradient = jax.jit(jax.grad(row.loss))(image, target, row.loss.init())
        plus, minus = (float(row.loss(image + step * direction, target)) for step in (1e-6, -1e-6))
        # JAX returns the conjugate, so the directional derivative is Re sum(gradient direction) without a conjugate.
        assert float(jnp.sum(gradient * direction).real) == pytest.approx((plus - minus) / 2e-6, rel=1e-5)


@each_row
def test_value_and_gradient_are_finite_at_zero(row: Row) -> None:
    zero, some = np.zeros((2, 9, 8), np.complex64), random_images(0).astype(np.complex64)
    holes = np.where(np.arange(8) % 2, some, 0)
    tiny = 1e-25 * some
    value_and_gradient = jax.jit(jax.value_and_grad(row.loss))
    for image, target in [(zero, zero), (zero, some), (some, zero), (holes, some), (some, holes), (tiny, some)]:
        value, gradient = value_and_gradient(image, target, row.loss.init())
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()


@each_row
def test_the_error_names_different_shapes_under_jit(row: Row) -> None:
    with pytest.raises(ValueError, match=r"image has shape \(2, 9, 8\) but target has shape \(1, 9, 8\)"):
        jax.jit(row.loss)(np.ones((2, 9, 8)), np.ones((1, 9, 8)), row.loss.init())
