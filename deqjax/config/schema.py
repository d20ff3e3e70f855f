"""The settings of a reconstruction experiment, with their defaults: what a TOML file may contain."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from deqjax import implicit, losses, masks, normalisation, solvers
from deqjax.config.toml import CHOICES, Trust, build, read_table
from deqjax.data import Augment, RandomMotion
from deqjax.objectives import Supervised
from deqjax.physics import LearnedSmaps
from deqjax.types import Adjoint, IterationMap, Loss, Mask, Net, Normalisation, Objective, Solver


@dataclass(frozen=True)
class Phantoms:
    """The data set of simulated brains that is used if no files are named. It is written below ``folder``.

    Attributes:
      train: number of volumes for training.
      val: number of volumes for validation.
      shape: (slice, y, x) of each volume.
      coils: number of coils.
      noise: standard deviation of the noise in the simulated measurement.
      folder: where the files go.
    """

    train: int = 16
    val: int = 4
    shape: tuple[int, int, int] = (8, 128, 128)
    coils: int = 1
    noise: float = 0.0
    folder: str = "runs/phantoms"


@dataclass(frozen=True)
class Data:
    """The slices of an experiment.

    Attributes:
      train: a file, a folder or a glob pattern. If it is empty, simulated brains are used.
      val: likewise, for validation.
      files: (first, end) of the training files in the order of their names: [0, 1000] takes the first 1000 of them.
      slices: (first, last) slice of every file, both included.
      crop: (y, x) to which images or k-space are cropped.
      crop_mode: ``field_of_view`` crops the image, ``resolution`` crops k-space.
      noise: range of the standard deviation of the complex noise that is added to the measurement. The level is drawn
        for each image, relative to the scale of the image (:class:`deqjax.EnergyScale`).
      augment: random changes of the training images.
      second: the second acquisitions of the training files, file by file, for objectives that learn from pairs. If it
        is empty, they are simulated.
      motion: how the objects move before simulated second acquisitions; None if they do not.
      fixed_acquisitions: whether objectives with targets see one acquisition of each slice in the whole run, as those
        without targets always do, and not a new mask and new noise in every step.
      phantoms: the simulated brains.
    """

    train: str = ""
    val: str = ""
    files: tuple[int, int] | None = None
    slices: tuple[int, int] | None = None
    crop: tuple[int, int] | None = None
    crop_mode: Literal["field_of_view", "resolution"] = "field_of_view"
    noise: tuple[float, float] = (0.0, 0.0)
    augment: Augment = field(default_factory=Augment)
    second: str = ""
    motion: RandomMotion | None = None
    fixed_acquisitions: bool = False
    phantoms: Phantoms = field(default_factory=Phantoms)

    def __post_init__(self) -> None:
        if not 0 <= self.noise[0] <= self.noise[1] < float("inf"):
            raise ValueError(f"noise must be the lowest and the highest level, at least 0; it is {self.noise}")
        if self.crop is not None and min(self.crop) < 1:
            raise ValueError(f"crop must be two sizes (y, x) of at least 1; it is {self.crop}")
        for name in ("files", "slices"):
            chosen = getattr(self, name)
            if chosen is not None and not 0 <= chosen[0] <= chosen[1]:
                raise ValueError(f"{name} must be two numbers of at least 0, the smaller one first; it is {chosen}")


@dataclass(frozen=True)
class Phase:
    """One phase of training: an objective, and Adam with a warm-up and a cosine decay of the learning rate.

    Attributes:
      name: how overrides refer to the phase, ``--phase.NAME.steps=100``.
      objective: what is minimised.
      steps: number of steps; a phase with 0 steps is skipped.
      batch_size: images per step.
      learning_rate: the highest learning rate.
      final_learning_rate: the learning rate at the last step.
      warmup_steps: steps of the linear warm-up.
      clip_norm: the largest global norm of the gradient.
    """

    name: str
    objective: Objective = field(default_factory=Supervised)
    steps: int = 1000
    batch_size: int = 4
    learning_rate: float = 1e-4
    final_learning_rate: float = 1e-5
    warmup_steps: int = 0
    clip_norm: float = 1.0

    def __post_init__(self) -> None:
        _check_at_least(self, 0, "steps", "learning_rate", "final_learning_rate", "warmup_steps")
        _check_at_least(self, 1, "batch_size")
        if not self.clip_norm > 0:  # a negative norm would turn the gradient around
            raise ValueError(f"clip_norm must be above 0; it is {self.clip_norm}")


@dataclass(frozen=True)
class RunSettings:
    """Settings of a training run that all phases share.

    Attributes:
      init_from: the name of a shipped model, or a model folder, whose parameters the run starts from.
      init_parts: the parts whose parameters are taken from there, such as "start" and "finish"; empty for all.
      spectral_bound: bound on the operator norm of every convolution of the map; 0 for no bound.
      ema: decay of the moving average of the parameters, which is evaluated and saved.
      validate_every: steps between validations.
      validation_slices: number of slices in a validation.
      validation: what a validation measures: the PSNR against the ``target``, or how well lines that were ``held_out``
        of the measurement are predicted; ``auto`` takes the target if the first file has one.
      checkpoint_every: steps between checkpoints.
      parallel: how a step runs on several devices.
    """

    init_from: str = ""
    init_parts: tuple[str, ...] = ()
    spectral_bound: float = 0.0
    ema: float = 0.999
    validate_every: int = 100
    validation_slices: int = 8
    validation: Literal["auto", "target", "held_out"] = "auto"
    checkpoint_every: int = 100
    parallel: Literal["shard_map", "pmap"] = "shard_map"

    def __post_init__(self) -> None:
        _check_at_least(self, 0, "spectral_bound")
        _check_at_least(self, 1, "validate_every", "validation_slices", "checkpoint_every")
        if not 0 <= self.ema < 1:
            raise ValueError(f"ema must be in [0, 1); it is {self.ema}")


@dataclass(frozen=True)
class Config:
    """One reconstruction experiment.

    ``map`` to ``finish`` are the fields of :class:`deqjax.Reconstructor`. ``inference``, if given, is the solver of the
    model that is saved and evaluated. ``phase`` lists the phases of training in their order, ``[[phase]]`` in TOML.
    """

    title: str
    map: IterationMap
    paper: str = ""
    out: str = ""
    seed: int = 0
    data: Data = field(default_factory=Data)
    mask: Mask = field(default_factory=masks.CartesianRandom)
    solver: Solver = field(default_factory=solvers.Anderson)
    adjoint: Adjoint | implicit.Unrolled = field(default_factory=implicit.Implicit)
    normalisation: Normalisation = field(default_factory=normalisation.EnergyScale)
    smaps: LearnedSmaps | None = None
    start: Net | IterationMap | None = None
    finish: IterationMap | None = None
    inference: Solver | None = None
    loss: Loss = field(default_factory=losses.MSE)
    run: RunSettings = field(default_factory=RunSettings)
    phase: tuple[Phase, ...] = ()

    def __post_init__(self) -> None:
        names = [phase.name for phase in self.phase]
        if len(set(names)) < len(names):
            raise ValueError(f"every phase needs a name of its own; the phases are called {names}")


def read_config(path: str | Path, overrides: Sequence[str] = (), trust: Trust | None = None) -> Config:
    """Read a reconstruction experiment from a TOML file.

    Args:
      path: the file.
      overrides: changes such as ``["solver.rtol=1e-3", "--phase.train.steps=10"]``. A value is TOML, or a string.
      trust: allows types of the form ``module:Class``, which import code; see :class:`~deqjax.config.Trust`.

    Raises:
      ValueError: the file is missing or malformed, or holds an unknown key, a wrong type, or a value that a setting
        refuses. The message names the file and the key.
    """
    table = from_version_0_1(read_table(path, overrides))
    return build(Config, table, str(path), CHOICES, trust)


def from_version_0_1(table: dict[str, Any]) -> dict[str, Any]:
    """Translate the tables ``[pretrain]`` and ``[train]`` of version 0.1 to ``[run]`` and ``[[phase]]``.

    Model folders of that version hold them. ``--train.steps=10`` and ``--pretrain.steps=10`` on a command line
    therefore still set the phases of these names.

    >>> from_version_0_1({"pretrain": {"steps": 5}, "train": {"steps": 7, "ema": 0.9}})["run"]
    {'ema': 0.9}
    """
    for name in ("pretrain", "train"):
        if not isinstance(table.get(name, {}), dict):
            return table  # the strict reader explains it
    pretrain, train = table.pop("pretrain", {}), table.pop("train", {})
    if not pretrain and not train:
        return table
    shared = {key: train.pop(key) for key in RunSettings.__dataclass_fields__ if key in train}
    jacobian = {"jacobian": train.pop("jacobian")} if "jacobian" in train else {}
    unrolled, noise = pretrain.pop("unrolled", 0), pretrain.pop("noise", None)
    if unrolled:
        pretrain["objective"] = {"type": "Supervised", "unrolled": unrolled} | jacobian
    elif noise is not None:
        pretrain["objective"] = {"noise": noise}
    if jacobian:
        train["objective"] = jacobian
    phases: dict[str, dict[str, Any]] = {phase.get("name", ""): phase for phase in table.get("phase", [])}
    if pretrain:
        default = {"name": "pretrain", "steps": 0, "objective": {"type": "Denoising"}}
        phases = {"pretrain": {}} | phases
        phases["pretrain"] = _merge(default, phases["pretrain"], pretrain)
    if train or not phases:
        default = {"name": "train", "objective": {"type": "Supervised"}}
        phases["train"] = _merge(default, phases.get("train", {}), train)
    table["phase"], table["run"] = list(phases.values()), table.get("run", {}) | shared
    return table


def _merge(*tables: dict[str, Any]) -> dict[str, Any]:
    """Merge nested tables. Later values win, and another ``type`` replaces the earlier table."""
    merged: dict[str, Any] = {}
    for table in tables:
        for key, value in table.items():
            old: Any = merged.get(key)
            both = (
                isinstance(value, dict)
                and isinstance(old, dict)
                and value.get("type", old.get("type")) == old.get("type")
            )
            merged[key] = _merge(old, value) if both else value
    return merged


def _check_at_least(settings: Any, least: float, *names: str) -> None:
    for name in names:
        if not getattr(settings, name) >= least:
            raise ValueError(f"{name} must be at least {least}; it is {getattr(settings, name)}")
