"""What an experiment is: the settings that a TOML file names, with their defaults."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from deqjax import implicit, losses, masks, solvers
from deqjax import normalisation as normalisations
from deqjax.data import Augment
from deqjax.jacobian_penalty import JacobianPenalty
from deqjax.physics import LearnedSmaps
from deqjax.toml_settings import build, override
from deqjax.types import IterationMap, Loss, Mask, Net, Solver


@dataclass(frozen=True)
class Phantoms:
    """The embedded data set, used where no files are named: so many volumes of (slice, y, x), kept under ``folder``."""

    train: int = 16
    val: int = 4
    shape: tuple[int, int, int] = (8, 128, 128)
    coils: int = 1
    noise: float = 0.0
    folder: str = "runs/phantoms"


@dataclass(frozen=True)
class Data:
    """Where slices come from. ``train`` and ``val`` are a file, a folder or a glob; empty takes the embedded set.

    ``noise`` is the range from which the standard deviation of the complex measurement noise is drawn, image by image,
    relative to the scale of the image (:class:`deqjax.EnergyScale`).
    """

    train: str = ""
    val: str = ""
    slices: tuple[int, int] | None = None
    crop: tuple[int, int] | None = None
    crop_mode: Literal["field_of_view", "resolution"] = "field_of_view"
    noise: tuple[float, float] = (0.0, 0.0)
    augment: Augment = field(default_factory=Augment)
    phantoms: Phantoms = field(default_factory=Phantoms)


@dataclass(frozen=True)
class Optimiser:
    """Adam with a warm-up and a cosine decay: a phase of training."""

    steps: int = 0
    batch_size: int = 4
    learning_rate: float = 1e-4
    final_learning_rate: float = 1e-5
    warmup_steps: int = 0
    clip_norm: float = 1.0

    def __post_init__(self) -> None:
        _check_at_least(self, 0, "steps", "learning_rate", "final_learning_rate", "warmup_steps")
        _check_at_least(self, 1, "batch_size")


@dataclass(frozen=True)
class Pretrain(Optimiser):
    """A start for the equilibrium: the net alone removes Gaussian noise, with a level drawn from the range ``noise``.

    With ``unrolled`` above 0, that many iterations of the map are trained end to end instead, with the Jacobian
    penalty of the equilibrium.
    """

    noise: tuple[float, float] = (0.0, 0.2)
    unrolled: int = 0


@dataclass(frozen=True)
class Train(Optimiser):
    """Equilibrium training, and what surrounds both phases.

    ``spectral_bound`` bounds the operator norm of every convolution (0: no bound); ``jacobian`` is the
    penalty that keeps the map contracting; ``ema`` is the decay of the averaged parameters, which are evaluated and
    saved; ``init_from`` names a model folder to start from.
    """

    steps: int = 1000
    ema: float = 0.999
    spectral_bound: float = 0.0
    jacobian: JacobianPenalty = field(default_factory=JacobianPenalty)
    validate_every: int = 100
    validation_slices: int = 8
    checkpoint_every: int = 100
    parallel: Literal["shard_map", "pmap"] = "shard_map"
    init_from: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_at_least(self, 0, "spectral_bound")
        _check_at_least(self, 1, "validate_every", "validation_slices", "checkpoint_every")
        if not 0 <= self.ema < 1:
            raise ValueError(f"ema must be in [0, 1); it is {self.ema}")


@dataclass(frozen=True)
class Config:
    """One experiment. ``inference``, if given, is the solver of the model that is saved and evaluated; ``smaps``, if
    given, is trained to refine the coil sensitivities; ``start``, if given, to guess the fixed point before the solve;
    ``finish``, if given, is a map of which one step is taken after it.
    """

    title: str
    map: IterationMap
    paper: str = ""
    out: str = ""
    seed: int = 0
    data: Data = field(default_factory=Data)
    mask: Mask = field(default_factory=masks.CartesianRandom)
    solver: Solver = field(default_factory=solvers.Anderson)
    adjoint: implicit.Adjoint = field(default_factory=implicit.Implicit)
    normalisation: normalisations.Normalisation = field(default_factory=normalisations.EnergyScale)
    smaps: LearnedSmaps | None = None
    start: Net | None = None
    finish: IterationMap | None = None
    loss: Loss = field(default_factory=losses.MSE)
    inference: Solver | None = None
    pretrain: Pretrain = field(default_factory=Pretrain)
    train: Train = field(default_factory=Train)


def read_config(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Read an experiment from a TOML file.

    Args:
      path: of the file.
      overrides: ``["solver.rtol=1e-3", "--train.steps=10"]``; the value is TOML, or else a string.

    Raises:
      ValueError: a missing or malformed file, an unknown key, a wrong type, a value that a setting refuses. It names
        the file and the key.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such config file")
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not valid TOML, {error}") from error
    # Types first: what is set for the new type comes after the switch to it, in whatever order it was written.
    for text in sorted(overrides, key=lambda text: not text.partition("=")[0].endswith(".type")):
        override(table, text)
    return build(Config, table, str(path))


def _check_at_least(settings: Any, least: float, *names: str) -> None:
    for name in names:
        if not getattr(settings, name) >= least:
            raise ValueError(f"{name} must be at least {least}; it is {getattr(settings, name)}")
