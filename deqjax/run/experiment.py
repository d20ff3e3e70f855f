"""An experiment: everything that training needs, made once from a config and never read from it again."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax

from deqjax import model_folders
from deqjax.config import Config, Phase, RunSettings, to_toml
from deqjax.data import Acquisitions, Batch, MeasuredBatch, Slices, batch_at, list_files, write_phantoms
from deqjax.domain import Domain
from deqjax.nets import bound_norms, norm_bounds
from deqjax.objectives import Acquisition, Problem
from deqjax.reconstruct import Reconstructor
from deqjax.report.log import validation_label
from deqjax.run.domains import training_domain
from deqjax.run.evaluation import evaluate
from deqjax.run.volumes import make_validation
from deqjax.training import make_optimizer
from deqjax.types import LearningObjective, MeasuredObjective, ObjectiveFunction, Params


@dataclass(frozen=True)
class TrainingPhase:
    """One phase of training.

    Attributes:
      name: for messages.
      steps: number of steps.
      objective: the function that is minimised.
      optimizer: from optax.
      batch: makes the batch of a step, counted over all phases. It is a pure function, so that a run resumes exactly.
    """

    name: str
    steps: int
    objective: ObjectiveFunction
    optimizer: optax.GradientTransformation
    batch: Callable[[int], Any]


@dataclass(frozen=True)
class Experiment:
    """What :func:`deqjax.run.fit` trains: a reconstruction method, a registration network, or anything else.

    Attributes:
      config: the text of the config with all its defaults.
      out: the folder that the config asks for, or nothing.
      seed: seed of all random numbers.
      settings: what all phases share.
      phases: the phases in their order.
      params: the parameters of the method at the start.
      loss_params: the parameters of the loss at the start.
      check: reads the data once, so that a bad file is reported before anything is written.
      exported: turns the averaged parameters into those that are validated and saved.
      validate: computes the metrics of the validation; the first one is the score of a checkpoint, larger is better.
      card: writes the model card, from the command, the parameters and the metrics of the last validation.
      evaluate: evaluates a model folder and writes the results to another; the command line goes on the page.
      domain: measures what the model was trained on, for its folder; None leaves it out.
    """

    config: str
    out: str
    seed: int
    settings: RunSettings
    phases: tuple[TrainingPhase, ...]
    params: Params
    loss_params: Params
    check: Callable[[], None]
    exported: Callable[[Params], Params]
    validate: Callable[[Params], dict[str, float]]
    card: Callable[[str, Params, dict[str, float]], str]
    evaluate: Callable[[Path, Path, str], Any]
    domain: Callable[[], Domain] | None = None


def reconstruction_experiment(config: Config) -> Experiment:
    """Make the experiment of a reconstruction config.

    Raises:
      ValueError: a file is missing or cannot be read, or the parts of the config do not fit together.
    """
    recon = model_folders.method_of(config)
    inference = model_folders.inference_method(config)
    data, bound = config.data, config.run.spectral_bound
    training = Slices(training_files(config), data.slices, data.crop, data.crop_mode)
    held_out = Slices(validation_files(config), data.slices, data.crop, data.crop_mode)
    problem = Problem(recon, config.loss, Acquisition(data.noise, config.mask.calibration_fraction, config.mask))
    second = Slices(list_files(data.second), data.slices, data.crop, data.crop_mode) if data.second else None
    acquisitions = Acquisitions(training, config.mask, data.noise, config.seed, second, data.motion)
    score, validation = make_validation(config, held_out)
    objectives = [phase.objective for phase in config.phase if phase.steps]
    measured = bool(objectives) and all(isinstance(objective, MeasuredObjective) for objective in objectives)

    def training_phase(phase: Phase) -> TrainingPhase:
        def batch(step: int) -> Batch | MeasuredBatch:
            size, objective = phase.batch_size, phase.objective
            if isinstance(objective, MeasuredObjective):
                pairs = objective.acquisitions == 2
                return acquisitions.batch(size, data.augment, config.seed, step, second=pairs)
            if data.fixed_acquisitions:
                return acquisitions.batch(size, data.augment, config.seed, step, full=True)
            return batch_at(training, config.mask, size, data.augment, config.seed, step)

        return TrainingPhase(phase.name, phase.steps, phase.objective.bind(problem), optimizer_of(phase), batch)

    def exported(params: Params) -> Params:
        return params | {"map": bound_norms(params["map"], bound)} if bound else params

    def evaluate_model(folder: Path, out: Path, command: str) -> None:
        params = model_folders.load_params(folder, inference)
        method = inference.replace(domain=model_folders.load_domain(folder))
        evaluate(method, params, config, validation_files(config), out, command, folder.parent / "training.png")

    return Experiment(
        config=to_toml(config),
        out=config.out,
        seed=config.seed,
        settings=config.run,
        phases=tuple(training_phase(phase) for phase in config.phase if phase.steps),
        params=starting_params(config, recon),
        loss_params=config.loss.init(),
        check=lambda: check_slices(training, undersampled=measured),
        exported=exported,
        validate=lambda params: {score: validation(inference, params)},
        card=lambda command, params, metrics: reconstruction_card(config, command, params, metrics),
        evaluate=evaluate_model,
        domain=lambda: training_domain(config, training, held_out, measured),
    )


def optimizer_of(phase: Phase) -> optax.GradientTransformation:
    """Make the optimizer of a phase."""
    return make_optimizer(
        steps=phase.steps,
        learning_rate=phase.learning_rate,
        final_learning_rate=phase.final_learning_rate,
        warmup_steps=phase.warmup_steps,
        clip_norm=phase.clip_norm,
    )


def starting_params(config: Config, recon: Reconstructor) -> Params:
    """Make fresh parameters, or read those of ``run.init_from``. Parts that the model does not have stay fresh.

    Parts that an objective learns, such as the network of a motion, are fresh unless ``run.init_parts`` names them.

    Raises:
      ValueError: the model cannot be read, has other shapes, or has no part of ``run.init_parts``.
    """
    key = jax.random.key(config.seed)
    fresh = recon.init(key)
    for phase in config.phase:
        if isinstance(phase.objective, LearningObjective):
            fresh |= phase.objective.init(key)
    source, parts = config.run.init_from, config.run.init_parts
    if parts:
        absent = set(parts) - set(fresh)
        if absent:
            raise ValueError(
                f"run.init_parts: the model of this config has no {sorted(absent)[0]}; it has {sorted(fresh)}"
            )
        return fresh | model_folders.load_parts(source, {part: fresh[part] for part in parts})
    if not source:
        return fresh
    missing: dict[str, Any] = {part: None for part in {"smaps", "start", "finish"} - model_folders.parts_of(source)}
    return fresh | model_folders.load_params(source, recon.replace(**missing))


def check_slices(slices: Slices, undersampled: bool = False, budget: int = 2**28) -> None:
    """Read up to a quarter of a gigabyte of the slices, so that a bad file is found."""
    for i in range(len(slices)):
        budget -= (slices.measured(i)[0] if undersampled else slices.example(i)).nbytes
        if budget < 0:
            return


def training_files(config: Config) -> list[Path]:
    """List the training files of a config. Without any, simulated brains are written where they are missing.

    Raises:
      ValueError: there is no file, or none in the range ``data.files``.
    """
    data = config.data
    files = list_files(data.train) if data.train else _phantoms(config, data.phantoms.train, 0)
    if data.files is None:
        return files
    first, end = data.files
    if not 0 <= first < min(end, len(files)):
        raise ValueError(f"data.files is [{first}, {end}], and there are {len(files)} training files, counted from 0")
    return files[first:end]


def validation_files(config: Config) -> list[Path]:
    """List the validation files of a config. Without any, these are simulated brains of other patients."""
    return list_files(config.data.val) if config.data.val else _phantoms(config, config.data.phantoms.val, 1)


def _phantoms(config: Config, count: int, seed: int) -> list[Path]:
    phantoms = config.data.phantoms
    size = "x".join(map(str, phantoms.shape))
    settings = f"{size}-coils{phantoms.coils}-noise{phantoms.noise:g}"  # configs that differ use different folders
    folder = Path(phantoms.folder) / settings / ("train", "val")[seed]
    return write_phantoms(folder, count, phantoms.shape, phantoms.coils, phantoms.noise, seed)


def reconstruction_card(config: Config, command: str, params: Params, metrics: dict[str, float]) -> str:
    """Write the card of a reconstruction model."""
    data = config.data.train or "the simulated brains of the package"
    norms = norm_bounds(params["map"]).values()  # a classical map has none
    (score, value), *_ = metrics.items()
    label, unit = validation_label(score)
    largest = f"; largest norm of a convolution of the map {max(norms):.3f}" if norms else ""
    return f"""# {config.title}

* Paper: {config.paper or "none"}
* Data: trained on {data}, validated on {config.data.val or "other simulated brains"}
* Command: `{command}`, seed {config.seed}
* Parameters: {sum(int(np.size(leaf)) for leaf in jax.tree.leaves(params)):,}{largest}
* {label[0].upper()}{label[1:]}: {value:.2f} {unit} (mean over {config.run.validation_slices} slices); the results
  for every volume are in ../evaluation
* Limits: trained at the acceleration, noise and anatomy of its config, which is the file config.toml in this folder.
  domain.toml has the measured conditions, outside which `deqjax reconstruct` warns. Read the Stats of every
  reconstruction.
"""
