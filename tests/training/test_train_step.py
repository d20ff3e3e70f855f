"""A training step on a small problem whose results are known in closed form."""

import math
from dataclasses import dataclass, field, replace
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import deqjax as dj
from deqjax.data import Batch
from deqjax.objectives import Acquisition, Problem, Supervised
from deqjax.training import (
    NonFiniteError,
    TrainState,
    check_finite,
    count_refused,
    create_state,
    make_optimizer,
    make_train_step,
    replicate,
    restart,
)
from deqjax.types import MapArgs, Metrics, ObjectiveFunction, Params


@dataclass(frozen=True)
class Quadratic:
    """``sum |w - c|^2 / 2``, where c is the mean of the batch. The metrics contain a random number of each image."""

    failure: str = ""

    def __call__(
        self, params: Params, loss_params: Params, batch: Batch, keys: jax.Array, probe: Any
    ) -> tuple[jax.Array, Metrics]:
        center = jnp.mean(jnp.asarray(batch.kspace).real)
        value = jnp.sum((params["w"] - center) ** 2) / 2
        if self.failure == "loss":
            value = value * jnp.nan
        if self.failure == "gradient":
            value = value + jnp.sqrt(jnp.sum((params["w"] - params["w"]) ** 2))  # 0, with the gradient 0 / 0
        return value, {"draws": jax.vmap(lambda key: jax.random.normal(key, ()))(keys)}


BATCH = Batch(np.full((2, 8, 8), 3, np.complex64), np.ones((2, 1, 8), np.float32))
SGD = optax.sgd(0.25)


def run(
    steps: int,
    optimizer: optax.GradientTransformation = SGD,
    state: TrainState | None = None,
    objective: ObjectiveFunction | None = None,
    **settings: Any,
) -> tuple[list[Any], list[Any]]:
    """Run some steps, and return the states and the metrics on the host."""
    step = make_train_step(objective or Quadratic(), optimizer, **settings)
    state = start(optimizer) if state is None else state
    states, metrics = [jax.device_get(state)], []
    for _ in range(steps):
        state, found = step(state, BATCH)
        states.append(jax.device_get(state))
        metrics.append(jax.device_get(found))
    return states, metrics


def start(optimizer: optax.GradientTransformation = SGD) -> TrainState:
    return replicate(create_state({"w": jnp.array([0.0, 1.0])}, {}, optimizer, bounded=False))


def method(state: TrainState) -> np.ndarray:
    """The parameter of the method."""
    return state.params["method"]["w"]


def test_a_step_follows_the_gradient() -> None:
    states, metrics = run(2)
    np.testing.assert_allclose(method(states[1]), [0.75, 1.5])
    assert int(states[2].step) == 2
    assert metrics[0]["loss"] == pytest.approx((9 + 4) / 2)
    assert metrics[0]["gradient_norm"] == pytest.approx(math.sqrt(13))
    assert metrics[0]["parameter_norm"] == pytest.approx(math.hypot(0.75, 1.5))


@pytest.mark.parametrize("largest", [0.0, 0.3, 0.999])
def test_the_decay_of_the_moving_average_is_smaller_in_the_first_steps(largest: float) -> None:
    states, _ = run(15, ema=largest)
    average = method(states[0])
    for number, state in enumerate(states[1:]):
        decay = min(largest, (1 + number) / (10 + number))
        average = decay * average + (1 - decay) * method(state)
        np.testing.assert_allclose(state.ema["w"], average, rtol=1e-5)


def test_random_numbers_depend_on_the_seed_the_step_and_the_position_in_the_batch() -> None:
    draws = np.stack([found["draws"] for found in run(3)[1]])
    assert draws.shape == (3, 2)
    assert len(np.unique(draws)) == 6
    np.testing.assert_array_equal(draws, np.stack([found["draws"] for found in run(3)[1]]))
    other = np.stack([found["draws"] for found in run(3, seed=1)[1]])
    assert len(np.unique(np.stack([draws, other]))) == 12
    late = replace(start(), step=jnp.int32(2))
    np.testing.assert_array_equal(run(1, state=replicate(late))[1][0]["draws"], draws[2])


def test_pmap_computes_the_same_steps() -> None:
    states, metrics = run(3)
    other_states, other_metrics = run(3, parallel="pmap")
    chex.assert_trees_all_close(other_states[-1], states[-1], rtol=1e-7)
    chex.assert_trees_all_close(other_metrics, metrics, rtol=1e-7)


def test_a_step_is_traced_once_for_all_steps_phases_and_masks() -> None:
    """A second phase with the same optimizer, and batches with other masks, use the compiled step."""
    net, adam = dj.nets.DnCNN(layers=2, features=2), optax.adam(0.1)
    recon = dj.Reconstructor(dj.maps.ProximalGradient(net), dj.solvers.Picard(max_steps=3, rtol=0.0), dj.OneStep())
    objective = Supervised().bind(Problem(recon, dj.losses.MSE(), Acquisition(noise=(0.0, 0.1))))
    step = make_train_step(chex.assert_max_traces(objective, n=1), adam, spectral_bound=0.9)
    state = replicate(create_state(recon.init(jax.random.key(0)), {}, adam, bounded=True))
    for mask in (np.ones((2, 1, 8)), np.eye(2, 8)[:, None], np.ones((2, 1, 8))):
        state, metrics = step(state, Batch(BATCH.kspace, mask.astype(np.float32)))
    state, _ = step(restart(state, adam), BATCH)
    state, metrics = step(state, BATCH)
    assert int(state.step) == 5
    assert jnp.isfinite(metrics["loss"])


def test_steps_of_other_seeds_are_the_same_program() -> None:
    """The seed is an argument of the compiled step, so that the cache of compiled programs serves every seed."""
    steps: list[Any] = [make_train_step(Quadratic(), SGD, seed=seed) for seed in (0, 1)]
    texts = [step.func.lower(start(), BATCH, **step.keywords).as_text() for step in steps]
    assert texts[0] == texts[1]


def test_a_reconstruction_is_traced_once_for_all_masks_and_parameters() -> None:
    """It is traced again for k-space of another shape."""

    @dataclass(frozen=True)
    class Counted:
        """A map that counts the traces of its start."""

        traces: list[int] = field(default_factory=list, compare=False)

        def init(self, key: jax.Array) -> Params:
            return {"shift": jnp.zeros(())}

        def start(self, args: MapArgs) -> jax.Array:
            self.traces.append(1)
            return args.zero_filled

        def __call__(self, image: jax.Array, args: MapArgs) -> jax.Array:
            return 0.5 * args.zero_filled + args.params["shift"]

        def image(self, state: jax.Array) -> jax.Array:
            return state

    counted = Counted()
    recon, kspace = dj.Reconstructor(counted), jnp.ones((6, 8), complex)
    params = recon.init(jax.random.key(0))
    for mask in (jnp.ones((1, 8)), jnp.eye(1, 8)):
        for other in (params, jax.tree.map(lambda leaf: leaf + 1, params)):
            recon(other, dj.physics.MaskedFourier(mask), mask * kspace)
            recon.replace()(other, dj.physics.MaskedFourier(mask), 2 * mask * kspace)
    assert len(counted.traces) == 1
    recon(params, dj.physics.MaskedFourier(jnp.ones((1, 8))), kspace[:5])
    assert len(counted.traces) == 2


def test_the_state_is_donated() -> None:
    step = make_train_step(Quadratic(), SGD)
    state = start()
    step(state, BATCH)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(state))


def moments_of(state: Any) -> Any:
    """The first moments of Adam."""
    (moments,) = (leaf for leaf in state.optimizer[1] if hasattr(leaf, "mu"))
    return moments.mu["method"]["w"]


def test_the_gradient_is_clipped_by_its_norm_before_adam() -> None:
    optimizer = make_optimizer(steps=10, learning_rate=0.1, final_learning_rate=0.1, clip_norm=0.5)
    states, metrics = run(1, optimizer)
    assert metrics[0]["gradient_norm"] == pytest.approx(math.sqrt(13))  # the metric is the norm before clipping
    gradient = np.array([-3.0, -2.0])
    np.testing.assert_allclose(moments_of(states[1]), 0.1 * 0.5 * gradient / math.sqrt(13), rtol=1e-5)
    loose = make_optimizer(steps=10, learning_rate=0.1, final_learning_rate=0.1, clip_norm=5.0)
    np.testing.assert_allclose(moments_of(run(1, loose)[0][1]), 0.1 * gradient, rtol=1e-5)


def rates(number: int, **settings: Any) -> list[float]:
    """The learning rate of every step, which is the update of Adam for a constant gradient."""
    optimizer = make_optimizer(**settings)
    state, found = optimizer.init(jnp.array(0.0)), []
    for _ in range(number):
        update, state = optimizer.update(jnp.array(1.0), state)
        found.append(-float(jnp.asarray(update)))
    return found


def test_the_learning_rate_warms_up_and_decays() -> None:
    found = rates(12, steps=10, learning_rate=0.1, final_learning_rate=0.02, warmup_steps=4)
    cosine = [0.02 + 0.08 * (1 + math.cos(math.pi * t / 6)) / 2 for t in range(7)]
    expected = [0, 0.025, 0.05, 0.075, *cosine, 0.02]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)
    found = rates(5, steps=4, learning_rate=0.1, final_learning_rate=0.0)
    np.testing.assert_allclose(found, [0.1, 0.08535534, 0.05, 0.01464466, 0], rtol=1e-4, atol=1e-7)
    assert rates(3, steps=3, learning_rate=0.1, final_learning_rate=0.5)[2] == pytest.approx(0.1, rel=1e-4)
    assert rates(1, steps=0, learning_rate=0.1, final_learning_rate=0.1)[0] == pytest.approx(0.1, rel=1e-4)


def test_a_new_phase_has_a_fresh_optimizer_and_a_fresh_average() -> None:
    first = make_optimizer(steps=5, learning_rate=0.1, final_learning_rate=0.0)
    second = make_optimizer(steps=5, learning_rate=0.3, final_learning_rate=0.0)
    states, _ = run(5, first)
    before = states[-1]
    fresh = jax.device_get(restart(jax.tree.map(jnp.asarray, before), second))
    assert int(fresh.step) == 5
    chex.assert_trees_all_equal(fresh.params, before.params)
    np.testing.assert_array_equal(fresh.ema["w"], method(before))
    assert not np.allclose(before.ema["w"], method(before))
    chex.assert_trees_all_equal_structs(fresh, before)
    chex.assert_trees_all_equal(fresh.optimizer, jax.device_get(second.init(before.params)))
    moved, _ = run(1, second, replicate(jax.tree.map(jnp.asarray, fresh)))
    change = method(moved[1]) - method(before)
    np.testing.assert_allclose(np.abs(change), 0.3, rtol=1e-3)  # the first learning rate of the second schedule


@pytest.mark.parametrize(
    ("failure", "optimizer", "message"),
    [
        ("loss", SGD, "step 4: the loss is nan"),
        ("gradient", SGD, "step 4: the gradient norm is nan (loss 6.5, parameter norm nan)"),
        ("", optax.sgd(float("inf")), "step 4: the parameter norm is inf (loss 6.5, gradient norm 3.60555)"),
    ],
)
def test_the_error_names_the_first_metric_that_is_not_finite(
    failure: str, optimizer: optax.GradientTransformation, message: str
) -> None:
    _, (metrics,) = run(1, optimizer, objective=Quadratic(failure))
    with pytest.raises(NonFiniteError) as caught:
        check_finite(metrics, 4)
    assert str(caught.value).startswith(message)


def metrics_of(**values: float) -> Metrics:
    return {"loss": jnp.array(0.0), "gradient_norm": jnp.array(1e30), "parameter_norm": jnp.array(0.0)} | {
        name: jnp.array(value) for name, value in values.items()
    }


def test_finite_metrics_raise_no_error() -> None:
    check_finite(run(1)[1][0], 1)
    check_finite(metrics_of(backward_residual=math.inf), 1)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["loss", "gradient_norm", "parameter_norm"])
def test_each_of_the_three_metrics_is_checked(name: str, value: float) -> None:
    with pytest.raises(NonFiniteError, match=name.replace("_", " ")):
        check_finite(metrics_of(**{name: value}), 9)


@pytest.mark.parametrize(
    ("shares", "stops"),
    [
        ([1.0] * 20, 20),
        ([1.0] * 19, None),
        ([0.0] + [1.0] * 25, 21),
        ([1.0] * 19 + [0.99] + [1.0] * 19, None),
        ([1.0, 0.5] * 40, None),
        ([0.75] * 100, None),
        ([None] * 100, None),
        ([1.0] * 10 + [None] + [1.0] * 20, 31),
        ([math.nan] * 40, None),
        (([1.0] * 19 + [0.0]) * 5, None),
        (([1.0] * 19 + [0.0]) * 2 + [1.0] * 20, 60),
    ],
)
def test_training_stops_after_20_steps_in_a_row_without_an_accepted_gradient(
    shares: list[float | None], stops: int | None
) -> None:
    """A share of None: the objective has no equilibrium."""
    count = 0
    for step, share in enumerate(shares, 1):
        metrics = metrics_of() if share is None else metrics_of(backward_refused=share)
        if step == stops:
            with pytest.raises(NonFiniteError, match=f"step {stops}: .* refused in 20 steps in a row.*--resume-from"):
                count_refused(metrics, step, count)
            return
        count = count_refused(metrics, step, count)
    assert stops is None
