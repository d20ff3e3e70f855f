"""The log of a training run: a progress bar, JSON lines and TensorBoard, the same numbers in each."""

import json
import math
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from deqjax.atomic_write import atomic_file
from deqjax.report.extra import extra


def read_log(path: str | Path) -> list[dict[str, Any]]:
    """Return the rows of a ``log.jsonl``, none if it does not exist; a line cut short by a crash is left out.

    >>> read_log("no/such/log.jsonl")
    []
    """
    rows = []
    for line in Path(path).read_text(encoding="utf-8").splitlines() if Path(path).exists() else []:
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return rows


class TrainingLog:
    """Where the training loop tells its numbers: a context manager around the loop.

    On a terminal it draws a progress bar; elsewhere it prints a plain line now and then. Every row goes to
    ``folder/log.jsonl`` and to TensorBoard files in the folder. A run resumed at a step keeps the rows up to it and
    drops the later ones; a run from step 0 starts an empty log.

    Args:
        folder: of the run; it is made.
        total_steps: of the whole run.
        resumed_step: the steps already done.
        every: seconds between plain lines.
        console: a ``rich.console.Console``, default the terminal.

    Raises:
        ImportError: rich or tensorboardX is not installed.

    >>> import tempfile
    >>> from rich.console import Console
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with TrainingLog(folder, total_steps=2, console=Console(force_terminal=False)) as log:
    ...         log.record(2, loss=0.5, forward_steps=12.0, forward_residual=1e-4)
    ...     read_log(f"{folder}/log.jsonl")[0]["loss"]
    step 2/2 | loss 0.5 | forward 12.0 steps, 1.0e-04 | 0:00:00 left
    0.5
    """

    def __init__(
        self,
        folder: str | Path,
        total_steps: int,
        resumed_step: int = 0,
        every: float = 30.0,
        console: Any = None,
    ) -> None:
        if not 0 <= resumed_step <= total_steps:
            raise ValueError(f"resumed_step is {resumed_step}: give a step from 0 to total_steps, {total_steps}")
        self.path = Path(folder) / "log.jsonl"
        self.total_steps, self.resumed_step, self.every = total_steps, resumed_step, every
        self._console = console or extra("rich.console").Console()
        self._latest: dict[str, float] = {}
        self._printed = -math.inf

    def __enter__(self) -> "TrainingLog":
        kept = [row for row in read_log(self.path) if row["step"] <= self.resumed_step] if self.resumed_step else []
        with atomic_file(self.path, overwrite=True) as temporary:
            temporary.write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")
        self._file = self.path.open("a", buffering=1, encoding="utf-8")
        purge = self.resumed_step + 1 if self.resumed_step else None
        self._writer = extra("tensorboardX").SummaryWriter(str(self.path.parent), purge_step=purge)
        self._started = time.monotonic()
        self._bar = self._live = None
        if self._console.is_terminal:
            progress = extra("rich.progress")
            columns = progress.BarColumn(bar_width=None), progress.MofNCompleteColumn(), progress.TimeElapsedColumn()
            self._bar = progress.Progress(*columns, console=self._console, expand=True)
            self._bar.add_task("training", total=self.total_steps, completed=self.resumed_step)
            self._live = extra("rich.live").Live(self._bar, console=self._console, refresh_per_second=4)
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._live is not None:
            self._live.stop()
        self._file.close()
        self._writer.close()

    def record(self, step: int, **numbers: Any) -> None:
        """Log the numbers of one step.

        Args:
            step: counted from 1, the steps done.
            numbers: scalars, by name; None is left out. The line shows ``loss``, ``validation_psnr`` in dB, and
                ``forward_steps``, ``forward_residual``, ``backward_steps``, ``backward_residual``, means over the
                batch; other names are only written. NaN and infinity become null in the JSON.
        """
        values = {name: float(value) for name, value in numbers.items() if value is not None}
        finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
        self._file.write(json.dumps({"step": int(step), "time": round(time.time(), 3), **finite}) + "\n")
        for name, value in values.items():
            self._writer.add_scalar(name, value, int(step))
        self._latest |= values
        if self._live is not None and self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=step)
            self._live.update(extra("rich.console").Group(self._bar, extra("rich.text").Text(self._line(step))))
        elif step >= self.total_steps or "validation_psnr" in values or time.monotonic() - self._printed > self.every:
            self._printed = time.monotonic()
            print(f"step {step}/{self.total_steps} | {self._line(step)}", file=self._console.file, flush=True)

    def _line(self, step: int) -> str:
        latest, parts = self._latest, []
        if "loss" in latest:
            parts.append(f"loss {latest['loss']:.4g}")
        if "validation_psnr" in latest:
            parts.append(f"validation {latest['validation_psnr']:.2f} dB")
        for name in ("forward", "backward"):
            solve = [f"{latest[f'{name}_steps']:.1f} steps"] if f"{name}_steps" in latest else []
            solve += [f"{latest[f'{name}_residual']:.1e}"] if f"{name}_residual" in latest else []
            parts += [f"{name} {', '.join(solve)}"] if solve else []
        pace = (time.monotonic() - self._started) / max(step - self.resumed_step, 1)
        parts.append(f"{timedelta(seconds=round(pace * max(self.total_steps - step, 0)))} left")
        return " | ".join(parts)
