"""The work of a study: train and evaluate what is missing, in one process or in several."""

import contextlib
import json
import multiprocessing
import time
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import deqjax
from deqjax import model_folders
from deqjax.atomic_write import atomic_folder
from deqjax.config import Config
from deqjax.data import Slices
from deqjax.masks import realised_acceleration
from deqjax.reconstruct import Reconstructor, parameter_shapes
from deqjax.report import read_log
from deqjax.run.compilation_cache import use_compilation_cache
from deqjax.run.evaluation import evaluate_command
from deqjax.run.experiment import validation_files
from deqjax.run.study_cells import IMAGES, RESULT, EvaluationCell, TrainingCell
from deqjax.run.training_run import train
from deqjax.run.volumes import Row, Volume, evaluate_file, metrics_of, undersample
from deqjax.training import NonFiniteError
from deqjax.types import MapArgs, Params

WAIT = 1.0
"""Seconds between two looks at the cells that other processes work on."""

AnyCell = TrainingCell | EvaluationCell


def run_cells(cells: Sequence[AnyCell], command: str, processes: int = 1) -> list[str]:
    """Train and evaluate all cells that are not done, and return the messages of those that failed.

    A cell that fails, because its training diverges or its data cannot be read, does not stop the others. Another call
    tries it again.

    Args:
      cells: what is to be done, in this order.
      command: the command line, for the model cards.
      processes: the number of processes. Other calls of this function in the same folder may run too.
    """
    for cell in cells:
        with cell.claimed() as mine:
            if mine:
                cell.failure.unlink(missing_ok=True)
    if processes == 1:
        work(cells, command)
    else:
        start = multiprocessing.get_context("spawn").Process
        workers = [start(target=_work_until_interrupted, args=(cells, command)) for _ in range(processes)]
        for worker in workers:
            worker.start()
        try:
            for worker in workers:
                worker.join()
        finally:
            for worker in workers:
                worker.terminate()  # a training saves its state first
                worker.join()
    return [f"{cell.name}: {cell.failure.read_text(encoding='utf-8')}" for cell in cells if cell.failure.exists()]


def work(cells: Sequence[AnyCell], command: str) -> None:
    """Work on cells until each is done or has failed, here or in another process."""
    use_compilation_cache()
    while missing := [cell for cell in cells if not cell.done and not cell.failure.exists()]:
        idle = True
        for cell in missing:
            if isinstance(cell, EvaluationCell) and not cell.training.done:
                if cell.training.failure.exists():
                    _fail(cell, "its model could not be trained")
                continue
            with cell.claimed() as mine:
                if not mine or cell.done:
                    continue
                idle = False
                print(f"{len(missing)} cells are missing; now: {cell.name}", flush=True)
                try:
                    run_cell(cell, command)
                except (ValueError, OSError, NonFiniteError) as error:
                    _fail(cell, " ".join(str(error).split()))
        if idle:
            time.sleep(WAIT)


def _work_until_interrupted(cells: Sequence[AnyCell], command: str) -> None:
    with contextlib.suppress(KeyboardInterrupt):  # the process that started this one reports it
        work(cells, command)


def run_cell(cell: AnyCell, command: str) -> None:
    """Train or evaluate one cell."""
    if isinstance(cell, EvaluationCell):
        evaluate_cell(cell)
    else:
        train(cell.config, [*cell.overrides, f"out={cell.folder}"], command, evaluated=False)


def evaluate_cell(cell: EvaluationCell) -> None:
    """Evaluate a model, and write the metrics of all volumes and slices, the profile and the middle slices."""
    model = cell.training.model
    recon, params = model_folders.load(model, cell.overrides, trust_code=True)
    config = model_folders.load_config(model, cell.overrides, trust_code=True)
    files = validation_files(config)
    volumes = [evaluate_file(recon.replace(domain=None), params, file, config) for file in files]
    cost = profile(recon, params, config, files[0]) | training_profile(cell.training)
    cost["realised acceleration"] = float(np.mean([realised_acceleration(volume.middle.mask) for volume in volumes]))
    result = {
        "settings": cell.settings,
        "levels": cell.levels,
        "version": deqjax.__version__,
        "command": evaluate_command(model, "OUT", overrides=cell.overrides),
        "volume": [volume.row for volume in volumes],
        "slice": [row for volume in volumes for row in slice_rows(volume)],
        "profile": cost,
    }
    with atomic_folder(cell.folder) as temporary:
        np.savez(temporary / IMAGES, **middle_slice(volumes[0]))  # type: ignore[arg-type]
        (temporary / RESULT).write_text(json.dumps(result, indent=1), encoding="utf-8")


def slice_rows(volume: Volume) -> list[Row]:
    """Compute the metrics of every slice of a volume, with the maximum of the volume as the data range."""
    if volume.complex_target is None:
        return []
    data_range = float(np.abs(volume.complex_target).max()) or 1.0
    rows: list[Row] = []
    for number, target in enumerate(volume.complex_target):
        before = metrics_of(volume.complex_zero_filled[number], target, data_range)
        row: Row = {"volume": f"{volume.name}:{number}"}
        row |= {f"{name} zero-filled": value for name, value in before.items()}
        row |= metrics_of(volume.complex_image[number], target, data_range)
        row |= {"steps": float(volume.stats.num_steps[number]), "converged": float(volume.stats.converged[number])}
        rows.append(row)
    return rows


def middle_slice(volume: Volume) -> dict[str, np.ndarray]:
    """Return the complex images of the middle slice of a volume, for the pictures."""
    middle = len(volume.complex_image) // 2
    found = {"zero_filled": volume.complex_zero_filled[middle], "image": volume.complex_image[middle]}
    return found if volume.complex_target is None else found | {"target": volume.complex_target[middle]}


def profile(recon: Reconstructor, params: Params, config: Config, file: Path) -> dict[str, float]:
    """Measure the cost of reconstructing the first slice of a file: seconds, evaluations, FLOPs and memory.

    The seconds are those of a second call, without compilation. XLA counts the body of a loop once, so the FLOPs are
    those of one evaluation of the map times the number of evaluations.
    """
    data = config.data
    kspace = jnp.asarray(Slices([file], data.slices, data.crop, data.crop_mode).example(0))[None]
    mask = jnp.asarray(config.mask(kspace.shape[-2:], file.name))
    A, measured, _ = undersample(kspace, mask, data.noise[1], config.mask.calibration_fraction, jax.random.key(0))
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), (A, measured))
    leaves, structure = jax.tree.flatten(shapes)
    flops, memory = static_profile(recon, tuple(leaves), structure)
    jax.block_until_ready(recon(params, A, measured))
    started = time.perf_counter()
    _, stats = jax.block_until_ready(recon(params, A, measured))
    seconds, steps = time.perf_counter() - started, float(stats.num_steps[0])
    return {
        "seconds per slice": seconds,
        "evaluations": steps,
        "GFLOP per slice": steps * flops / 1e9,
        "peak memory, MB": memory / 1e6,
        "parameters": sum(int(np.size(leaf)) for leaf in jax.tree.leaves(params)),
    }


@lru_cache
def static_profile(recon: Reconstructor, leaves: tuple[Any, ...], structure: Any) -> tuple[float, float]:
    """Return the FLOPs of one evaluation of the map, and the bytes of a reconstruction, as XLA counts them.

    The leaves and the structure are those of the shapes of the forward model and of the k-space.
    """
    A, measured = jax.tree.unflatten(structure, leaves)
    params = parameter_shapes(recon)
    memory: Any = jax.jit(lambda *arguments: recon(*arguments)).lower(params, A, measured).compile().memory_analysis()

    def one_evaluation(params: Params, A: Any, kspace: jax.Array) -> Any:
        args = MapArgs(params["map"], A, A.adjoint(kspace))
        return recon.map(recon.map.start(args), args)

    cost = jax.jit(one_evaluation).lower(params, A, measured).cost_analysis() or {}
    sizes = ("temp_size_in_bytes", "argument_size_in_bytes", "output_size_in_bytes")
    return float(cost.get("flops", 0.0)), float(sum(getattr(memory, size, 0) for size in sizes))


def training_profile(cell: TrainingCell) -> dict[str, float]:
    """Return the steps of a training, and its seconds: the median time of a step times their number."""
    rows = read_log(cell.folder / "log.jsonl")
    times = np.diff([row["time"] for row in rows])
    seconds = float(np.median(times)) * len(rows) if len(times) else 0.0
    return {"training steps": len(rows), "training seconds": seconds}


def _fail(cell: AnyCell, message: str) -> None:
    cell.failure.write_text(message, encoding="utf-8")
    print(f"failed: {cell.name}: {message}", flush=True)
