"""The log of a training run: the same metrics as JSON lines, in TensorBoard and on the terminal."""

import json
import math
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from deqjax.atomic_write import atomic_file
from deqjax.report.optional_packages import require

SOLVES = ("forward", "backward")
"""The solves of a training step whose steps and residuals are logged."""


def read_log(path: str | Path) -> list[dict[str, Any]]:
    """Return the rows of a ``log.jsonl``, or an empty list if it does not exist.

    A line that a crash has truncated is left out.

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


def validation_label(name: str) -> tuple[str, str]:
    """Return the label and the unit of a metric whose name starts with ``validation_``.

    >>> validation_label("validation_psnr"), validation_label("validation_mean_dice")
    (('validation PSNR', 'dB'), ('validation mean dice', ''))
    """
    metric = name.removeprefix("validation_")
    short = ("psnr", "snr", "ssim", "nmse", "vif")
    words = [word.upper() if word in short else word for word in metric.split("_")]
    return " ".join(["validation", *words]), "dB" if metric in ("psnr", "held_out_snr") else ""


class TrainingLog:
    """A log of the metrics of a training run: a context manager around the training loop.

    On a terminal it draws a progress bar; elsewhere it prints a line from time to time and after every validation.
    Every row is written to ``folder/log.jsonl`` and to TensorBoard files in the folder. A run that is resumed at a step
    keeps the rows up to this step and drops the later ones; a run from step 0 starts an empty log.

    Args:
        folder: the folder of the run; it is created.
        total_steps: the number of steps of the complete run.
        resumed_step: the number of steps that are already done.
        every: seconds between printed lines.
        console: a ``rich.console.Console``, by default the terminal.

    Raises:
        ValueError: ``resumed_step`` is not in ``0 .. total_steps``.
        ImportError: rich or tensorboardX is not installed.

    >>> import tempfile
    >>> from rich.console import Console
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with TrainingLog(folder, total_steps=2, console=Console(force_terminal=False)) as log:
    ...         log.record(2, loss=0.5, validation_psnr=31.5, forward_steps=12.0, forward_residual=1e-4)
    ...     read_log(f"{folder}/log.jsonl")[0]["loss"]
    step 2/2 | loss 0.5 | validation PSNR 31.50 dB | forward 12.0 steps, 1.0e-04 | 0:00:00 left
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
        self._console = console or require("rich.console").Console()
        self._latest: dict[str, float] = {}
        self._printed = -math.inf

    def __enter__(self) -> "TrainingLog":
        kept = [row for row in read_log(self.path) if row["step"] <= self.resumed_step] if self.resumed_step else []
        with atomic_file(self.path, overwrite=True) as temporary:
            temporary.write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")
        self._file = self.path.open("a", buffering=1, encoding="utf-8")
        purge = self.resumed_step + 1 if self.resumed_step else None
        self._writer = require("tensorboardX").SummaryWriter(str(self.path.parent), purge_step=purge)
        self._started = time.monotonic()
        self._bar = self._live = None
        if self._console.is_terminal:
            progress = require("rich.progress")
            columns = progress.BarColumn(bar_width=None), progress.MofNCompleteColumn(), progress.TimeElapsedColumn()
            self._bar = progress.Progress(*columns, console=self._console, expand=True)
            self._bar.add_task("training", total=self.total_steps, completed=self.resumed_step)
            self._live = require("rich.live").Live(self._bar, console=self._console, refresh_per_second=4)
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._live is not None:
            self._live.stop()
        self._file.close()
        self._writer.close()

    def say(self, text: str) -> None:
        """Print a line of plain text, which is not logged."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def record(self, step: int, **metrics: Any) -> None:
        """Log the metrics of one step.

        Args:
            step: the number of steps done, counted from 1.
            metrics: scalars by name; None is left out. The printed line shows ``loss``, every name that starts with
                ``validation_`` (``validation_psnr`` in dB), and ``forward_steps``, ``forward_residual``,
                ``backward_steps``, ``backward_residual``, which are means over the batch. Other metrics are only
                written to the files. NaN and infinity become null in the JSON.
        """
        values = {name: float(value) for name, value in metrics.items() if value is not None}
        finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
        self._file.write(json.dumps({"step": int(step), "time": round(time.time(), 3), **finite}) + "\n")
        for name, value in values.items():
            self._writer.add_scalar(name, value, int(step))
        self._latest |= values
        validated = any(name.startswith("validation_") for name in values)
        if self._live is not None and self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=step)
            self._live.update(require("rich.console").Group(self._bar, require("rich.text").Text(self._line(step))))
        elif step >= self.total_steps or validated or time.monotonic() - self._printed > self.every:
            self._printed = time.monotonic()
            print(f"step {step}/{self.total_steps} | {self._line(step)}", file=self._console.file, flush=True)

    def _line(self, step: int) -> str:
        latest, parts = self._latest, []
        if "loss" in latest:
            parts.append(f"loss {latest['loss']:.4g}")
        for name, value in latest.items():
            if name.startswith("validation_"):
                label, unit = validation_label(name)
                parts.append(f"{label} {value:.2f} {unit}" if unit else f"{label} {value:.4g}")
        for name in SOLVES:
            solve = [f"{latest[f'{name}_steps']:.1f} steps"] if f"{name}_steps" in latest else []
            solve += [f"{latest[f'{name}_residual']:.1e}"] if f"{name}_residual" in latest else []
            parts += [f"{name} {', '.join(solve)}"] if solve else []
        pace = (time.monotonic() - self._started) / max(step - self.resumed_step, 1)
        parts.append(f"{timedelta(seconds=round(pace * max(self.total_steps - step, 0)))} left")
        return " | ".join(parts)
