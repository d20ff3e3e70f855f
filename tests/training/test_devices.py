"""A training step on four devices equals that on one, has no communication in the solver loops, and donates its state.

The devices are virtual devices of a second process, which runs this file as a program and prints its results as JSON.
"""

import json
import os
import re
import subprocess
import sys
import warnings
from functools import partial
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import deqjax as dj
from deqjax.data import Batch, phantom_volume
from deqjax.jacobian_penalty import JacobianPenalty
from deqjax.objectives import Acquisition, Problem, Supervised
from deqjax.training import Checkpoints, TrainState, create_state, make_train_step, replicate
from deqjax.types import IterationMap, Loss

ROOT = Path(__file__).parents[2]
SGD = optax.sgd(10.0)  # Adam divides by the gradient and thereby amplifies rounding errors
COLLECTIVES = ("all-reduce", "all-gather", "all-to-all", "collective-permute", "reduce-scatter")


def problem_of(coils: int) -> Problem:
    """A problem with noise and a fixed number of steps, so that the results differ only by rounding errors."""
    net = dj.nets.DnCNN(layers=2, features=4)
    step: IterationMap = dj.maps.HalfQuadratic(net, learn_penalty=True) if coils == 1 else dj.maps.ProximalGradient(net)
    loss: Loss = dj.losses.PerpendicularSSIM() if coils == 1 else dj.losses.MSE()
    solver = dj.solvers.Anderson(history=5, ridge=1e-2, max_steps=8, rtol=0.0)
    recon = dj.Reconstructor(step, solver, dj.Implicit(solver, nan_above=float("inf")))
    return Problem(recon, loss, Acquisition(noise=(0.0, 0.1), center_fraction=0.25))


def batch_of(coils: int) -> Batch:
    kspace = phantom_volume(0, (4, 32, 32), coils).kspace
    return Batch(kspace, np.stack([dj.masks.CartesianRandom(2, 0.25)((32, 32), seed) for seed in range(4)]))


def collectives_of(text: str) -> dict:
    """Count the collectives of a compiled module, and those in the computations that a while loop calls."""
    bodies: dict[str, str] = {}
    for line in text.splitlines():
        head = re.match(r"(?:ENTRY )?%?([\w.-]+) \(.*\{$", line)
        if head:
            name = head[1]
            bodies[name] = ""
        elif bodies:
            bodies[name] += line + "\n"
    inside = {name for body in bodies.values() for name in re.findall(r"(?:body|condition)=%?([\w.-]+)", body)}
    loops = len(inside) // 2
    grown: set[str] = set()
    while grown != inside:
        grown = set(inside)
        for name in grown:
            inside |= {called for called in re.findall(r"%([\w.-]+)", bodies[name]) if called in bodies}
    count = lambda body: sum(len(re.findall(rf" {kind}(?:-start)?\(", body)) for kind in COLLECTIVES)
    reduces = sum(len(re.findall(r" all-reduce(?:-start)?\(", body)) for body in bodies.values())
    total = sum(map(count, bodies.values()))
    return {"loops": loops, "all": total, "all-reduce": reduces, "in loops": sum(count(bodies[n]) for n in inside)}


def vector(tree: Any) -> np.ndarray:
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(jax.device_get(tree))])


def distance(a: Any, b: Any) -> float:
    """The relative distance of two pytrees, which is 0 if both are zero."""
    size = float(np.linalg.norm(vector(b)))
    return float(np.linalg.norm(vector(a) - vector(b))) / max(size, 1e-30)


def main(folder: str) -> None:
    results: dict[str, Any] = {"devices": jax.device_count()}
    cases: list[tuple[int, list[Literal["shard_map", "pmap"]]]] = [(1, ["shard_map", "pmap"]), (2, ["shard_map"])]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for coils, kinds in cases:
            problem, batch = problem_of(coils), batch_of(coils)
            fresh = partial(start_of, problem)
            start = vector(fresh(1).params)
            expected, metrics = step_of(problem, 1)(fresh(1), batch)
            for kind in kinds:
                step = step_of(problem, 4, kind)
                compiled = compiled_step(step, fresh(4), batch) if kind == "shard_map" else step
                state, other_metrics = compiled(fresh(4), batch)
                entry = results[f"{coils} {kind}"] = {
                    "parameters": distance(state.params, expected.params),
                    "change": distance(vector(state.params) - start, vector(expected.params) - start),
                    "size of the change": float(np.linalg.norm(vector(expected.params) - start)),
                    "average": distance(state.ema, expected.ema),
                    "spectral": distance(state.spectral, expected.spectral),
                    "metrics": {name: distance(other_metrics[name], value) for name, value in metrics.items()},
                    "jacobian": float(metrics["jacobian"]),
                }
                try:
                    step(fresh(4), jax.tree.map(lambda leaf: leaf[:3], batch))
                except ValueError as error:
                    entry["error"] = str(error)
                if kind == "shard_map":
                    entry |= second_step(compiled, state, batch, fresh(4), f"{folder}/{coils}")
    results["warnings"] = [str(warning.message) for warning in caught]
    print(json.dumps(results))


def start_of(problem: Problem, devices: int) -> TrainState:
    params = problem.recon.init(jax.random.key(0))
    return replicate(create_state(params, problem.loss.init(), SGD, bounded=True), devices)


def step_of(problem: Problem, devices: int, parallel: Literal["shard_map", "pmap"] = "shard_map") -> Any:
    objective = Supervised(jacobian=JacobianPenalty(weight=0.1)).bind(problem)
    return make_train_step(objective, SGD, spectral_bound=0.5, ema=0.9, devices=devices, parallel=parallel)


def compiled_step(step: Any, state: TrainState, batch: Batch) -> Any:
    """Compile a step, whose random key stays an argument."""
    return partial(step.func.lower(state, batch, **step.keywords).compile(), **step.keywords)


def second_step(compiled: Any, state: TrainState, batch: Batch, like: TrainState, folder: str) -> dict:
    """Compute a second step, once directly and once from the checkpoint of the first step."""
    with Checkpoints(folder) as checkpoints:
        checkpoints.save(state, 1.0)
    leaves, first = jax.tree.leaves(state), jax.tree.map(jnp.array, state)
    state, _ = compiled(state, batch)
    donated = all(leaf.is_deleted() for leaf in leaves)
    with Checkpoints(folder) as checkpoints:
        restored = checkpoints.restore(like)
    restored_distance = distance(restored, first)
    resumed, _ = compiled(replicate(restored), batch)
    text = collectives_of(compiled.func.as_text())
    return {"text": text, "donated": donated, "restored": restored_distance, "resumed": distance(resumed, state)}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    environment = os.environ | {
        "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=4",
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, __file__, str(tmp_path_factory.mktemp("devices"))]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1]) | {"stderr": done.stderr}


@pytest.mark.parametrize("case", ["1 shard_map", "1 pmap", "2 shard_map"])
def test_the_step_on_four_devices_equals_the_step_on_one(results: dict[str, Any], case: str) -> None:
    assert results["devices"] == 4
    entry = results[case]
    assert entry["size of the change"] > 0.1
    assert entry["jacobian"] > 1e-3
    for name in ("parameters", "change", "average", "spectral"):
        assert entry[name] < 1e-5, name
    exact = {name: gap for name, gap in entry["metrics"].items() if "residual" not in name}
    assert max(exact.values()) < 1e-5, exact
    assert max(entry["metrics"].values()) < 1e-3, entry["metrics"]


@pytest.mark.parametrize("case", ["1 shard_map", "2 shard_map"])
def test_devices_communicate_once_per_step_and_never_inside_a_loop(results: dict[str, Any], case: str) -> None:
    text = results[case]["text"]
    assert text["loops"] >= 2  # the forward and the backward solve
    assert text == text | {"all": 1, "all-reduce": 1, "in loops": 0}


@pytest.mark.parametrize("case", ["1 shard_map", "2 shard_map"])
def test_the_state_is_donated(results: dict[str, Any], case: str) -> None:
    assert results[case]["donated"]


def test_there_are_no_warnings(results: dict[str, Any]) -> None:
    assert results["warnings"] == []
    assert "arning" not in results["stderr"]


@pytest.mark.parametrize("case", ["1 shard_map", "2 shard_map"])
def test_a_run_on_four_devices_resumes_from_its_checkpoint(results: dict[str, Any], case: str) -> None:
    assert results[case]["restored"] == 0
    assert results[case]["resumed"] == 0


@pytest.mark.parametrize("case", ["1 shard_map", "1 pmap"])
def test_a_batch_that_the_devices_do_not_divide_raises_an_error(results: dict[str, Any], case: str) -> None:
    assert "3 images cannot be divided over 4 devices" in results[case]["error"]


if __name__ == "__main__":
    main(sys.argv[1])
