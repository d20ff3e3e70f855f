"""The time of a reconstruction and of a training step, compared with PyTorch: python benchmarks/reconstruction.py

Three things are timed: one network pass; one reconstruction of exactly 20 evaluations (DE-Prox, Anderson with history
5, single coil, batch 1); and one training step (20 evaluations, 20 products with the transposed Jacobian, the gradient
of the weights, Adam). deqjax and PyTorch take turns, so that the ratios of their times are meaningful on a busy machine
too. Finally, the memory of the gradient is measured at 10 and at 200 steps.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from deq_problem import STEPS, Problem, make_method, make_problem
from gradient_memory import compiled_memory, peak_memory
from rich.console import Console
from rich.table import Table

import deqjax as dj
from deqjax.data import Batch
from deqjax.objectives import Problem as TrainingProblem
from deqjax.objectives import Supervised
from deqjax.training import create_state, make_optimizer, make_train_step, replicate

try:
    import torch
    from pytorch_deq import DEProx, DnCNN
except ImportError:
    torch = None
else:
    FORMATS = {"NCHW": torch.contiguous_format, "channels_last": torch.channels_last}

LEARNING_RATE = 1e-5
TOLERANCE = 1e-3
"""The largest relative difference between the results of deqjax and PyTorch."""

MEMORY_STEPS = (10, 200)
NETWORK, RECONSTRUCTION, TRAINING = "network pass", "reconstruction", "training step"
PASSES = {RECONSTRUCTION: STEPS, TRAINING: 2 * STEPS}
CALLS = {NETWORK: STEPS}
"""Calls in one round, if more than one. A round has as many network passes as a reconstruction."""

Cases = dict[str, Callable[[], Any]]
Seconds = dict[tuple[str, str], list[float]]
"""The seconds of one call in every round, for (case, side)."""


def deqjax_cases(problem: Problem, layers: int, features: int) -> Cases:
    """Make the three calls of deqjax."""
    recon, loss = make_method(layers, features), dj.losses.MSE()
    params = jax.tree.map(jnp.asarray, problem.params)
    A = dj.physics.MaskedFourier(jnp.asarray(problem.mask))
    kspace, image = jnp.asarray(problem.mask * problem.full), jnp.asarray(problem.target)
    net = dj.nets.DnCNN(layers=layers, features=features)
    network = jax.jit(lambda params, image: net.apply({"params": params["map"]["net"]}, image))
    optimizer = make_optimizer(steps=1000, learning_rate=LEARNING_RATE, final_learning_rate=LEARNING_RATE)
    step = make_train_step(Supervised().bind(TrainingProblem(recon, loss)), optimizer, devices=1)
    copied = jax.tree.map(jnp.array, params)  # the step overwrites the arrays of its state
    state = replicate(create_state(copied, loss.init(), optimizer, bounded=False), devices=1)
    batch = Batch(jnp.asarray(problem.full), jnp.asarray(problem.mask)[None])

    def train() -> tuple[float, float]:
        nonlocal state
        state, metrics = jax.block_until_ready(step(state, batch))
        return float(metrics["loss"]), float(metrics["gradient_norm"])

    return {
        NETWORK: lambda: jax.block_until_ready(network(params, image)),
        RECONSTRUCTION: lambda: jax.block_until_ready(recon(params, A, kspace)[0]),
        TRAINING: train,
    }


def torch_cases(problem: Problem, layers: int, features: int) -> tuple[Cases, str]:
    """Make the same three calls in PyTorch, in the memory format in which its network is faster."""
    torch.set_num_threads(os.cpu_count() or 1)
    mask, full, target = (torch.from_numpy(array) for array in (problem.mask, problem.full, problem.target))
    kspace = mask * full

    def load(memory_format: torch.memory_format) -> DnCNN:
        return DnCNN(layers, features, memory_format).load(problem.params["map"]["net"])

    passes: Cases = {}
    for name, memory_format in FORMATS.items():
        passes[name] = partial(torch.no_grad()(load(memory_format)), target)
    seconds = measure({NETWORK: passes}, repeats=3)
    faster = min(FORMATS, key=lambda name: statistics.median(seconds[NETWORK, name]))
    used, trained = load(FORMATS[faster]), load(FORMATS[faster])
    solver, trainer = DEProx(used, mask, STEPS), DEProx(trained, mask, STEPS)
    optimizer = torch.optim.Adam(trained.parameters(), lr=LEARNING_RATE)
    cases = {
        NETWORK: passes[faster],
        RECONSTRUCTION: lambda: solver.reconstruct(kspace),
        TRAINING: lambda: trainer.train_step(kspace, target, optimizer),
    }
    return cases, faster


def check_agreement(ours: Cases, theirs: Cases) -> dict[str, float]:
    """Run each case of both sides once, and return the relative differences of their results.

    Raises:
      SystemExit: the reconstructions, the losses or the norms of the gradients differ, so that the work differs.
    """
    image, other = np.array(ours[RECONSTRUCTION]()), theirs[RECONSTRUCTION]().numpy()
    (loss, norm), (other_loss, other_norm) = ours[TRAINING](), theirs[TRAINING]()
    differences = {
        "reconstruction": float(np.linalg.norm(image - other) / np.linalg.norm(other)),
        "loss": abs(loss - other_loss) / other_loss,
        "gradient norm": abs(norm - other_norm) / other_norm,
    }
    if not all(difference <= TOLERANCE for difference in differences.values()):
        raise SystemExit(f"the results of deqjax and PyTorch differ: relative differences {differences}")
    return differences


def measure(cases: dict[str, Cases], repeats: int) -> Seconds:
    """Time ``{case: {side: call}}``. In every round all calls take turns; the first round is not counted."""
    seconds: Seconds = {(name, side): [] for name, sides in cases.items() for side in sides}
    for number in range(repeats + 1):
        for name, side in seconds:
            calls = CALLS.get(name, 1)
            start = time.perf_counter()
            for _ in range(calls):
                cases[name][side]()
            if number:
                seconds[name, side].append((time.perf_counter() - start) / calls)
    return seconds


def median_ratio(above: list[float], below: list[float], times: int = 1) -> float:
    """Return the median over rounds of ``above / (times * below)``.

    Both times of one round were measured while the machine did the same other work.
    """
    return statistics.median(a / (times * b) for a, b in zip(above, below))


def benchmark(size: int, options: argparse.Namespace) -> dict[str, Any]:
    """Measure one image size, and return all results as plain numbers."""
    shape = size, options.layers, options.features
    problem = make_problem(*shape)
    sides = {"deqjax": deqjax_cases(problem, *shape[1:])}
    row: dict[str, Any] = {"size": size}
    if torch is not None:
        sides["torch"], row["torch_format"] = torch_cases(problem, *shape[1:])
        row["differences"] = check_agreement(sides["deqjax"], sides["torch"])
    cases = {name: {side: sides[side][name] for side in sides} for name in (NETWORK, RECONSTRUCTION, TRAINING)}
    seconds = measure(cases, options.repeats)
    row["seconds"] = {side: {name: seconds[name, side] for name in cases} for side in sides}
    row["over_passes"] = {
        side: {
            name: median_ratio(seconds[name, side], seconds[NETWORK, side], passes) for name, passes in PASSES.items()
        }
        for side in sides
    }
    if "torch" in sides:
        row["torch_over_deqjax"] = {
            name: median_ratio(seconds[name, "torch"], seconds[name, "deqjax"]) for name in cases
        }
    row["compiled_memory"] = {steps: compiled_memory(*shape, steps) for steps in MEMORY_STEPS}
    return row


def show(rows: list[dict[str, Any]], console: Console) -> None:
    """Print the table, the differences between both sides, and the memory of the gradient."""
    table = Table(title="seconds, median", title_justify="left")
    for column in ("size", "work", "deqjax", "over passes", "PyTorch", "over passes", "PyTorch / deqjax"):
        table.add_column(column, justify="left" if column == "work" else "right")
    for row in rows:
        for name in (NETWORK, RECONSTRUCTION, TRAINING):
            cells = [str(row["size"]), name]
            for side in ("deqjax", "torch"):
                known = side in row["seconds"]
                cells.append(f"{statistics.median(row['seconds'][side][name]):.3f}" if known else "-")
                cells.append(f"{row['over_passes'][side][name]:.2f}" if known and name in PASSES else "")
            cells.append(f"{row['torch_over_deqjax'][name]:.2f}" if "torch_over_deqjax" in row else "-")
            table.add_row(*cells, end_section=name == TRAINING)
    console.print(table)
    console.print(
        f"over passes: the time divided by that of {STEPS} network passes, or of {2 * STEPS} for the training step"
    )
    for row in rows:
        if "differences" in row:
            values = ", ".join(f"{name} {value:.1e}" for name, value in row["differences"].items())
            console.print(f"{row['size']}: relative difference to PyTorch ({row['torch_format']}): {values}")
        show_memory(f"{row['size']}: compiled temporary memory of the gradient", row["compiled_memory"], console)


def show_memory(title: str, memory: dict[int, int], console: Console) -> None:
    """Print the memory at few and at many steps, and their ratio."""
    few, many = memory
    console.print(
        f"{title}: {memory[few] / 2**20:.1f} MiB at {few} steps, {memory[many] / 2**20:.1f} MiB at {many}, "
        f"ratio {memory[many] / memory[few]:.3f}"
    )


def machine_and_versions() -> str:
    """Describe the machine and the versions of the software."""
    device = jax.devices()[0]
    peer = f"torch {torch.__version__}" if torch is not None else "no torch"
    return (
        f"{device.platform} {device.device_kind}, {processor()}, {os.cpu_count()} threads; python "
        f"{platform.python_version()}, deqjax {dj.__version__}, jax {jax.__version__}, {peer}"
    )


def processor() -> str:
    """Return the name of the processor if the system knows it, and of the architecture otherwise."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--sizes",
        type=int,
        nargs="+",
        default=[128, 320],
        help="pixels along each side, one or more sizes; default: 128 320",
    )
    parser.add_argument("--layers", type=int, default=17, help="layers of the DnCNN, at least 2; default: 17")
    parser.add_argument("--features", type=int, default=64, help="features of the DnCNN, at least 4; default: 64")
    parser.add_argument("--repeats", type=int, default=5, help="rounds whose median is shown; default: 5")
    parser.add_argument("--json", type=Path, metavar="OUT.json", help="write all results to a JSON file too")
    options = parser.parse_args()
    if options.features < 4 or options.layers < 2 or options.repeats < 1:
        parser.error("need --features >= 4, --layers >= 2 and --repeats >= 1")
    console = Console(width=None if sys.stdout.isatty() else 120, soft_wrap=True)
    console.print(machine_and_versions(), highlight=False)
    if torch is None:
        console.print("PyTorch is not installed, so its columns are empty (pip install torch)")
    rows = [benchmark(size, options) for size in options.sizes]
    show(rows, console)
    smallest = min(options.sizes), options.layers, options.features
    peak = {steps: peak_memory(*smallest, steps) for steps in MEMORY_STEPS}
    show_memory(f"{smallest[0]}: peak memory of a process", peak, console)
    if options.json:
        result = {
            "header": machine_and_versions(),
            "layers": options.layers,
            "features": options.features,
            "rows": rows,
            "peak": peak,
        }
        options.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
