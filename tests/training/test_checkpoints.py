"""Which checkpoints are kept, that a state is restored exactly, and errors for other architectures."""

import math
from dataclasses import replace
from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import deqjax as dj
from deqjax.training import Checkpoints, TrainState, create_state, make_optimizer
from deqjax.types import Params

OPTIMIZER = make_optimizer(steps=5, learning_rate=0.1, final_learning_rate=0.1)


def state_of(params: Params, step: int = 0, bounded: bool = False) -> TrainState:
    """A state of a method with these parameters of the map."""
    state = create_state({"map": params}, dj.losses.PerpendicularSSIM().init(), OPTIMIZER, bounded)
    return replace(state, step=jnp.array(step))


def weights(shape: tuple[int, ...] = (4,)) -> Params:
    return {"net": {"w": jax.random.normal(jax.random.key(0), shape)}}


def save(folder: Path, psnrs: list[float], first: int = 1) -> None:
    with Checkpoints(folder) as checkpoints:
        for step, psnr in enumerate(psnrs, first):
            checkpoints.save(state_of(weights(), step), psnr)


def kept(folder: Path) -> list[int]:
    return sorted(int(path.name) for path in (folder / "checkpoints").iterdir())


NAN = math.nan


@pytest.mark.parametrize(
    ("psnrs", "left"),
    [
        ([1, 2, 3, 4], [3, 4]),
        ([9, 2, 3, 4], [1, 3, 4]),
        ([1, 9, 3, 4, 5], [2, 4, 5]),
        ([NAN, 9, NAN, 3, 4, 5], [2, 5, 6]),
        ([9, NAN, NAN, NAN, NAN], [1, 4, 5]),
        ([NAN, NAN, NAN, NAN], [3, 4]),
        ([NAN, NAN, NAN, 7], [3, 4]),
        ([-5, -9, -8, -7], [1, 3, 4]),
    ],
)
def test_the_latest_two_and_the_best_are_kept(tmp_path: Path, psnrs: list[float], left: list[int]) -> None:
    save(tmp_path, psnrs)
    assert kept(tmp_path) == left


def test_a_resumed_run_keeps_the_best_of_the_earlier_run(tmp_path: Path) -> None:
    save(tmp_path, [1, 9, 3, NAN])
    save(tmp_path, [NAN, 4, 5], first=5)
    assert kept(tmp_path) == [2, 6, 7]
    save(tmp_path, [NAN, 11, NAN, NAN], first=8)
    assert kept(tmp_path) == [9, 10, 11]


def test_a_state_is_restored_exactly(tmp_path: Path) -> None:
    state = state_of(weights((3, 3, 2, 4)) | {"log_penalty": jnp.float32(0.1)}, step=7, bounded=True)
    assert state.spectral
    state = jax.tree.map(lambda leaf: leaf + jnp.asarray(1 / 3).astype(leaf.dtype), state)
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.latest is None
        checkpoints.save(state, NAN)
        assert checkpoints.latest == 7
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.latest == 7
        found = checkpoints.restore(jax.tree.map(jnp.zeros_like, state))
    chex.assert_trees_all_equal(found, state, strict=True)


def test_donating_a_state_while_it_is_written_does_not_change_the_checkpoint(tmp_path: Path) -> None:
    grow = jax.jit(lambda state: jax.tree.map(lambda leaf: leaf + jnp.ones_like(leaf), state), donate_argnums=0)
    state = grow(state_of({"net": {"w": jnp.zeros((1000, 500))}}))
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(state, NAN)
        for _ in range(10):
            state = grow(state)
        jax.block_until_ready(state)
    with Checkpoints(tmp_path) as checkpoints:
        found = checkpoints.restore(state)
    assert int(found.step) == 1
    assert (np.asarray(found.params["method"]["map"]["net"]["w"]) == 1).all()
    assert (np.asarray(found.ema["map"]["net"]["w"]) == 1).all()


@pytest.mark.parametrize(
    "like",
    [
        {"net": {"w": jnp.zeros(5)}},
        {"net": {"w": jnp.zeros((4, 1))}},
        {"net": {"v": jnp.zeros(4)}},
        {"net": {"w": jnp.zeros(4), "v": jnp.zeros(4)}},
        {"net": {}},
    ],
    ids=["size", "rank", "name", "more", "fewer"],
)
def test_restoring_into_another_architecture_raises_an_error(tmp_path: Path, like: Params) -> None:
    save(tmp_path, [1])
    with (
        pytest.raises(ValueError, match=r"another architecture.*another output folder") as caught,
        Checkpoints(tmp_path) as checkpoints,
    ):
        checkpoints.restore(state_of(like))
    assert str(tmp_path / "checkpoints") in str(caught.value)
    assert "\n" not in str(caught.value)
    assert kept(tmp_path) == [1]


def test_restoring_without_a_checkpoint_raises_an_error(tmp_path: Path) -> None:
    with Checkpoints(tmp_path) as checkpoints, pytest.raises(ValueError, match="no checkpoint"):
        checkpoints.restore(state_of(weights()))
