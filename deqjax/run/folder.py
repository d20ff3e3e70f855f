"""The folder of a training run: its config, its checkpoints, its log, the model and its evaluation."""

from pathlib import Path

from deqjax.atomic_write import atomic_file
from deqjax.model_folders import CONFIG
from deqjax.report import TrainingLog, read_log, training_curve
from deqjax.training import Checkpoints


class Run:
    """A training run, which owns its folder. Nothing else writes there.

    A run is identified by its config, which is written out in full. The same config in the same folder resumes the
    run; another config is refused.

    Args:
      folder: where the run lives; it is made by :meth:`claim`.
      config: the text of the config with all its defaults.

    >>> import tempfile
    >>> run = Run(Path(tempfile.mkdtemp(), "run"), 'title = "a"')
    >>> run.claim()
    >>> Run(run.folder, 'title = "b"').check()
    Traceback (most recent call last):
    ValueError: ...run: holds another run (...config.toml differs); choose another --out or remove the folder
    """

    def __init__(self, folder: str | Path, config: str) -> None:
        self.folder, self.config = Path(folder), config
        self.model, self.evaluation = self.folder / "model", self.folder / "evaluation"

    def check(self) -> None:
        """Refuse a folder that holds another run or other files.

        Raises:
          ValueError: it does.
        """
        path = self.folder / CONFIG
        if path.exists():
            if path.read_text(encoding="utf-8") != self.config:
                raise ValueError(
                    f"{self.folder}: holds another run ({path} differs); choose another --out or remove the folder"
                )
        elif self.folder.exists() and (not self.folder.is_dir() or any(self.folder.iterdir())):
            raise ValueError(f"{self.folder}: holds other files; choose another --out")

    def claim(self) -> None:
        """Take the folder for this run by writing its config."""
        self.check()
        if not (self.folder / CONFIG).exists():
            with atomic_file(self.folder / CONFIG, overwrite=True) as temporary:
                temporary.write_text(self.config, encoding="utf-8")

    def checkpoints(self) -> Checkpoints:
        """Open the checkpoints, a context manager."""
        return Checkpoints(self.folder)

    def log(self, total: int, done: int) -> TrainingLog:
        """Open the log of a run of ``total`` steps of which some are done, a context manager."""
        return TrainingLog(self.folder, total, done)

    def draw_training_curve(self) -> None:
        """Draw the metrics of the log over the steps, if there are any."""
        if rows := read_log(self.folder / "log.jsonl"):
            training_curve(self.folder / "training.png", rows)
