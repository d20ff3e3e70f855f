"""The folder of a training run: its config, its checkpoints, its log, the model and its evaluation."""

import contextlib
import shutil
from collections.abc import Iterator
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

    @contextlib.contextmanager
    def open(self, resume_from: Path | None = None) -> Iterator[Checkpoints]:
        """Claim the folder, keep other processes from training in it, and open its checkpoints.

        Args:
          resume_from: the folder of another run. A run without checkpoints takes its newest one, and its log.

        Raises:
          ValueError: the folder holds another run or other files, another process trains in it, or the other folder
            has no checkpoint.
        """
        if resume_from is not None and not _numbers(resume_from / "checkpoints"):
            raise ValueError(f"{resume_from}: is not the folder of a run with a checkpoint")
        self.claim()
        with locked(self.folder / CONFIG) as mine:
            if not mine:
                raise ValueError(f"{self.folder}: another process trains in this folder; choose another --out")
            if resume_from is not None and not _numbers(self.folder / "checkpoints"):
                newest = str(max(_numbers(resume_from / "checkpoints")))
                shutil.copytree(resume_from / "checkpoints" / newest, self.folder / "checkpoints" / newest)
                shutil.copy(resume_from / "log.jsonl", self.folder / "log.jsonl")
            with Checkpoints(self.folder) as checkpoints:
                yield checkpoints

    def log(self, total: int, done: int) -> TrainingLog:
        """Open the log of a run of ``total`` steps of which some are done, a context manager."""
        if done == total:
            print(f"{self.folder}: all {total} steps are done")
        return TrainingLog(self.folder, total, done)

    def draw_training_curve(self) -> None:
        """Draw the metrics of the log over the steps, if there are any."""
        if rows := read_log(self.folder / "log.jsonl"):
            training_curve(self.folder / "training.png", rows)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Lock a file that exists, and tell whether this process has the lock. It ends with the process, however that ends.

    On a system without such locks, every process has the lock.

    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile() as file, locked(Path(file.name)) as mine, locked(Path(file.name)) as again:
    ...     print(mine, again)
    True False
    """
    try:
        import fcntl
    except ImportError:
        yield True
        return
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            mine = False
        else:
            mine = True
        yield mine


def _numbers(folder: Path) -> list[int]:
    """Return the steps of the checkpoints in a folder."""
    return [int(path.name) for path in folder.iterdir() if path.name.isdecimal()] if folder.is_dir() else []
