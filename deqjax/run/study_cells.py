"""The cells of a study: trained models and their evaluations, each in a folder of its own."""

import contextlib
import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from deqjax.config import Trust, read_config, to_toml
from deqjax.run.configs import find_config
from deqjax.run.folder import locked
from deqjax.run.study_settings import Study, combinations

RESULT = "result.json"
IMAGES = "images.npz"


@dataclass(frozen=True)
class Cell:
    """A training run, or an evaluation of its model.

    The name of the folder ends with a hash of the config with all its defaults, so that a cell with other settings has
    another folder. What the data files hold, and the version of deqjax, are not part of it.

    Attributes:
      levels: the level of each axis.
      config: the file of the config.
      overrides: its changes.
      settings: the text of the config with all its defaults and without ``out``.
      folder: where the cell lives.
    """

    levels: dict[str, str]
    config: Path
    overrides: tuple[str, ...]
    settings: str
    folder: Path

    @property
    def name(self) -> str:
        """The levels in words."""
        return ", ".join(f"{axis} {level}" for axis, level in self.levels.items()) or "the model"

    @contextlib.contextmanager
    def claimed(self) -> Iterator[bool]:
        """Claim the cell for this process, and tell whether that worked. The claim ends with the process."""
        lock = self.folder.with_name(f"{self.folder.name}.lock")
        lock.parent.mkdir(parents=True, exist_ok=True)
        lock.touch()
        with locked(lock) as mine:
            yield mine

    @property
    def failure(self) -> Path:
        """The file that holds the message if the cell failed."""
        return self.folder.with_name(f"{self.folder.name}.failed")


@dataclass(frozen=True)
class TrainingCell(Cell):
    """A training run, whose folder is that of a :class:`deqjax.run.Run`."""

    @property
    def model(self) -> Path:
        """The folder of the trained model."""
        return self.folder / "model"

    @property
    def done(self) -> bool:
        """Whether the model is trained."""
        return self.model.is_dir()


@dataclass(frozen=True)
class EvaluationCell(Cell):
    """An evaluation of the model of a training cell. Its ``overrides`` are changes of the config of that model."""

    training: TrainingCell

    @property
    def done(self) -> bool:
        """Whether the result is there."""
        return (self.folder / RESULT).is_file()

    def result(self) -> dict[str, Any]:
        """Read the result.

        Raises:
          ValueError: it belongs to other settings, because somebody renamed a folder or changed a file.
        """
        path = self.folder / RESULT
        result = json.loads(path.read_text(encoding="utf-8"))
        if result["settings"] != self.settings:
            raise ValueError(f"{path}: holds the result of other settings; remove the folder {self.folder}")
        return result


def plan(study: Study, out: str | Path) -> list[TrainingCell | EvaluationCell]:
    """Return all cells of a study in their order: every model, followed by its evaluations.

    Args:
      study: the study.
      out: the folder of the study.

    Raises:
      ValueError: a config cannot be read with the overrides of a cell, or two cells have the same settings.
    """
    cells: list[TrainingCell | EvaluationCell] = []
    for levels, changes in combinations(study.train):
        config, overrides = _chosen_config(study.config, (*study.overrides, *changes))
        settings = _settings(config, overrides)
        folder = Path(out) / "models" / _folder_name(levels, settings)
        training = TrainingCell(levels, config, overrides, settings, folder)
        cells.append(training)
        for more, extra in combinations(study.evaluate):
            settings = _settings(config, (*overrides, *extra))
            folder = Path(out) / "cells" / training.folder.name / _folder_name(more, settings)
            cells.append(EvaluationCell(levels | more, config, extra, settings, folder, training))
    _check_different(cells)
    return cells


def _chosen_config(name: str, overrides: tuple[str, ...]) -> tuple[Path, tuple[str, ...]]:
    """Take ``config=NAME`` out of the overrides: a level may start from another config than the study."""
    named = [text.removeprefix("config=") for text in overrides if text.startswith("config=")]
    rest = tuple(text for text in overrides if not text.startswith("config="))
    return find_config(named[-1] if named else name), rest


def _settings(path: Path, overrides: Sequence[str]) -> str:
    trust = Trust.here(path.resolve().parent)
    return to_toml(replace(read_config(path, overrides, trust), out=""))


def _folder_name(levels: dict[str, str], settings: str) -> str:
    """Name a folder after its levels and a hash of its settings.

    >>> _folder_name({"loss": "MSE", "noise": "1 %"}, "text")
    'loss=MSE,noise=1_-982d9e3e'
    """
    words = ",".join(f"{axis}={level}" for axis, level in levels.items()) or "all"
    return f"{re.sub('[^A-Za-z0-9.=,+]+', '_', words)[:120]}-{hashlib.sha256(settings.encode()).hexdigest()[:8]}"


def _check_different(cells: Sequence[TrainingCell | EvaluationCell]) -> None:
    """Refuse two models with the same settings, and two evaluations with the same settings of the same model."""
    seen: dict[tuple[str, ...], Cell] = {}
    for cell in cells:
        trained = (cell.training.settings,) if isinstance(cell, EvaluationCell) else ()
        other = seen.setdefault((*trained, cell.settings), cell)
        if other is not cell:
            raise ValueError(f"the cells ({other.name}) and ({cell.name}) have the same settings: remove one level")
